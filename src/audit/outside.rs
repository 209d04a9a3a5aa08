//! The AuditEvents of an access record: those that are made of it, and those of other systems that its request stored.
use crate::definitions::r4;
use crate::model::ResourceId;
use crate::store::{Repository, StoreError};

use super::event::audit_events;
use super::making::{Event, Making};
use super::place::RecordPlace;
use super::record::{Access, Action};

/// The events of a record, and how many of them are made of it. These come first.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn events_of(
    repository: &Repository<'_>,
    place: RecordPlace,
    access: &Access,
    making: &Making<'_>,
) -> Result<(Vec<Event>, usize), StoreError> {
    let mut events = audit_events(place, access, making);
    let made = events.len();
    let added = access.released.iter().filter(|item| item.done == Some(Action::Create));
    for id in added.filter_map(|item| item.what.strip_prefix("AuditEvent/")) {
        events.extend(event_from_outside(repository, id, making)?);
    }
    Ok((events, made))
}

/// An event that another system stored. An event that names several patients is shown to none of them, because it names the
/// others.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn event_from_outside(
    repository: &Repository<'_>,
    id: &str,
    making: &Making<'_>,
) -> Result<Option<Event>, StoreError> {
    let (Some(def), Some(id)) = (r4().resource("AuditEvent"), ResourceId::parse(id)) else { return Ok(None) };
    let Some(current) = repository.current(def, &id)?.filter(|current| !current.deleted) else {
        return Ok(None);
    };
    let stored = repository.newest(&current)?;
    let patient = match current.facts.patients.as_slice() {
        [patient] => Some(format!("Patient/{patient}")),
        _ => None,
    };
    let text = stored.stamped(&(making.version_id)(stored.sequence));
    Ok(Some(Event { id: id.to_string(), patient, text }))
}

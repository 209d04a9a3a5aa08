//! What the index has of the events of a record.
use std::sync::{Arc, LazyLock};

use crate::audit::event::{Event, Making, Reader};
use crate::audit::log::RecordPlace;
use crate::audit::outside::events_of;
use crate::audit::record::Access;
use crate::definitions::r4;
use crate::model::{Millis, parse};
use crate::search::{Entry, Form, Param, Source, entries_by, param_id, search_params};
use crate::store::{Repository, StoreError};

use super::shapes::Shapes;

/// The parameters that AuditEvents are indexed by: all of the standard's but the words of their texts.
pub(super) static INDEXED: LazyLock<Vec<Arc<Param>>> = LazyLock::new(|| {
    let params = r4().resource("AuditEvent").map_or(&[][..], |def| search_params().of(def));
    params.iter().filter(|param| matches!(param.source, Source::Expressions(_))).cloned().collect()
});

/// Whether AuditEvents are indexed by a parameter.
pub(super) fn is_indexed(param: u32) -> bool {
    INDEXED.iter().any(|indexed| indexed.id == param)
}

/// The parameter of the time of an event.
pub(super) fn date() -> u32 {
    param_id("date")
}

/// The entry of an event's id.
pub(super) fn id_entry(id: &str) -> Entry {
    let value = [&[Form::Value.byte()], id.as_bytes(), &[0, 0]].concat();
    Entry { param: param_id("_id"), value, contained: None }
}

/// A record with the entries of its events.
pub(super) struct Described {
    pub(super) place: RecordPlace,
    pub(super) time: Millis,
    /// Whether it stands for patients whom it does not list.
    pub(super) of_many: bool,
    pub(super) events: Vec<Vec<Entry>>,
    /// How many of the events are made of it; the others came from outside.
    pub(super) made: usize,
}

impl Described {
    /// What the index has of a record.
    pub(super) fn of(
        repository: &Repository<'_>,
        place: RecordPlace,
        access: &Access,
        (making, shapes): (&Making<'_>, &mut Shapes),
    ) -> Result<Self, StoreError> {
        let making = Making { reader: Reader::Auditor, ..*making };
        let (events, made) = match shapes.entries(place, access, &making)? {
            Some(events) => {
                let made = events.len();
                (events, made)
            }
            None => {
                let (events, made) = events_of(repository, place, access, &making)?;
                (entries_of(&events, made)?, made)
            }
        };
        Ok(Self { place, time: access.time, of_many: access.is_of_many(), events, made })
    }
}

/// The entries of events, of which the first so many are made of a record: the time of these is the record's own, by which they are
/// found.
pub(super) fn entries_of(events: &[Event], made: usize) -> Result<Vec<Vec<Entry>>, StoreError> {
    let mut all = Vec::with_capacity(events.len());
    for (event, number) in events.iter().zip(0_usize..) {
        let tree = parse(event.text.clone().into_bytes())
            .map_err(|_| StoreError::Corrupt(format!("the AuditEvent {}", event.id)))?;
        let mut entries = entries_by(&INDEXED, tree.root());
        if number < made {
            entries.retain(|entry| entry.param != date());
        } else {
            entries.push(id_entry(&event.id));
        }
        all.push(entries);
    }
    Ok(all)
}

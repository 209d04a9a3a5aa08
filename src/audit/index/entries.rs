//! The indexed search parameters of AuditEvent, and the entries of an event.
use std::sync::{Arc, LazyLock};

use crate::definitions::r4;
use crate::model::parse;
use crate::search::{Entry, Form, Param, Source, entries_by, param_id, search_params};
use crate::store::StoreError;

use super::super::making::Event;

/// The parameters by which AuditEvents are indexed: all of the standard's, except those that search whole texts.
pub(super) static INDEXED: LazyLock<Vec<Arc<Param>>> = LazyLock::new(|| {
    let params = r4().resource("AuditEvent").map_or(&[][..], |def| search_params().of(def));
    params.iter().filter(|param| matches!(param.source, Source::Expressions(_))).cloned().collect()
});

/// Whether AuditEvents are indexed by a parameter.
pub(super) fn is_indexed(param: u32) -> bool {
    INDEXED.iter().any(|indexed| indexed.id == param)
}

/// The id of the parameter `date`, the time of an event.
pub(super) fn date() -> u32 {
    param_id("date")
}

/// The entry of an event's id.
pub(super) fn id_entry(id: &str) -> Entry {
    let value = [&[Form::Value.byte()], id.as_bytes(), &[0, 0]].concat();
    Entry { param: param_id("_id"), value, contained: None }
}

/// The entries of events, of which the first `made` are made of a record. These have no entry for `date`, because the record's
/// time serves instead. The others, from outside, get an entry for their id.
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

//! What AuditEvents are made with, and the parts of which they are made.
use serde_json::{Value, json};

use crate::store::Sequence;

use super::place::RecordPlace;
use super::record::{Access, Ground, Item};

/// Who reads the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Who watches over accesses: everything.
    Auditor,
    /// The patient: nothing of others, neither in what was asked nor in who asked.
    Subject,
}

/// What events are made with.
#[derive(Clone, Copy)]
pub struct Making<'m> {
    pub reader: Reader,
    /// The base URL of the server, which is its name in events.
    pub base_url: &'m str,
    /// The version id that a commit gives.
    pub version_id: &'m dyn Fn(Sequence) -> String,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Follows from the record, the patient and the kind, so that it is the same every time.
    pub id: String,
    /// `Patient/id` of whom it is about.
    pub patient: Option<String>,
    /// The AuditEvent in JSON.
    pub text: String,
}

/// The id of an event: its commit, and which of the commit's records and of the record's patients it is, both under the
/// permutation of version ids. Plain numbers would tell a patient how much is done between two accesses to the own file, and
/// how many others an access was about.
pub(super) fn event_id(
    (sequence, number): RecordPlace,
    index: usize,
    kind: &str,
    making: &Making<'_>,
) -> String {
    let within = u64::from(number) << 32 | u64::try_from(index).unwrap_or(0);
    let within = Sequence(within ^ sequence.0.rotate_left(32));
    format!("{}-{}{kind}", (making.version_id)(sequence), (making.version_id)(within))
}

/// Set in the number of a patient that is the patient's row: of records of many, which list none.
pub(super) const BY_ROW: u64 = 1 << 31;

/// One patient's part of a record, or the whole of one that concerns nobody.
pub(super) struct Part<'a> {
    pub(super) access: &'a Access,
    pub(super) sequence: Sequence,
    pub(super) patient: Option<(usize, &'a str)>,
    pub(super) making: &'a Making<'a>,
}

impl<'a> Part<'a> {
    /// The items that are about the patient.
    pub(super) fn of(&self, items: &'a [Item]) -> Vec<&'a Item> {
        items.iter().filter(|item| self.patient.is_none_or(|(number, _)| item.is_about(number))).collect()
    }

    /// Why an item was shown or withheld, as far as the reader may know: where it is about others too, it may be a
    /// Consent of theirs.
    pub(super) fn ground<'i>(&self, item: &'i Item) -> Option<&'i Ground> {
        let is_of_several = item.about.as_ref().map_or(self.access.patients.len(), Vec::len) > 1;
        (self.making.reader == Reader::Auditor || !is_of_several).then_some(&item.ground)
    }

    /// The Consents that decided on items, each once.
    pub(super) fn consents(&self, items: &[&'a Item]) -> Vec<&'a str> {
        let grounds = items.iter().filter_map(|item| self.ground(item));
        let mut consents: Vec<&str> = grounds
            .filter_map(|ground| match ground {
                Ground::Consent(consent, _) => Some(consent.as_str()),
                _ => None,
            })
            .collect();
        consents.sort_unstable();
        consents.dedup();
        consents
    }
}

/// A Coding.
pub(super) fn coding(system: &str, code: &str) -> Value {
    json!({"system": system, "code": code})
}

/// DICOM's codes for events and the parts that agents play.
pub(super) const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

//! The context in which AuditEvents are made, and the parts of access records that they are made of.
use serde_json::{Value, json};

use crate::store::Sequence;

use super::place::RecordPlace;
use super::record::{Access, Ground, Item};

/// Who reads the events, which decides how much they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// An auditor sees everything.
    Auditor,
    /// A patient sees nothing of other patients, neither in the request nor in the user.
    Subject,
}

/// The context in which events are made.
#[derive(Clone, Copy)]
pub struct Making<'m> {
    pub reader: Reader,
    /// The base URL of the server, which names the server in events.
    pub base_url: &'m str,
    /// Gives the version id for a commit.
    pub version_id: &'m dyn Fn(Sequence) -> String,
}

/// An AuditEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Derived from the record, the patient and the kind, so that it is the same every time.
    pub id: String,
    /// The patient (`Patient/id`) whom it is about.
    pub patient: Option<String>,
    /// The AuditEvent in JSON.
    pub text: String,
}

/// The id of an event: the commit, then the number of the record with the index of the patient, both permuted like version ids.
/// Plain numbers would tell a patient how much happens on the server between two accesses to the own file, and how many other
/// patients an access was about.
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

/// A bit in the index of a patient: the other bits are the patient's row. Set for records of many patients, which list none.
pub(super) const BY_ROW: u64 = 1 << 31;

/// The part of a record that is about one patient, or the whole record if it concerns none.
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

    /// Why an item was shown or withheld, if the reader may know that. If the item is about several patients, another patient's
    /// Consent may have decided.
    pub(super) fn ground<'i>(&self, item: &'i Item) -> Option<&'i Ground> {
        let is_of_several = item.about.as_ref().map_or(self.access.patients.len(), Vec::len) > 1;
        (self.making.reader == Reader::Auditor || !is_of_several).then_some(&item.ground)
    }

    /// The Consents that decided on items, without duplicates.
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

/// DICOM's code system for events and for the roles of agents.
pub(super) const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

//! Postings: a parameter and a value of an event, as the keys of the index contain them.
use std::sync::Arc;

use crate::search::{Entry, Form};
use crate::store::KeyRange;

/// Postings that all events of a shape have: sorted, without duplicates.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedPostings(Vec<Vec<u8>>);

impl SharedPostings {
    pub(super) fn of(mut postings: Vec<Vec<u8>>) -> Self {
        postings.sort_unstable();
        postings.dedup();
        Self(postings)
    }

    pub(super) fn all(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Those in a range.
    pub(super) fn within(&self, range: &KeyRange) -> &[Vec<u8>] {
        let at = |key: &[u8]| self.0.partition_point(|posting| posting.as_slice() < key);
        self.0.get(at(&range.start)..at(&range.end)).unwrap_or_default()
    }
}

/// The postings of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct EventPostings {
    pub(super) shared: Option<Arc<SharedPostings>>,
    /// Those of this event itself. `shared` may contain one of them, too.
    pub(super) own: Vec<Vec<u8>>,
}

impl EventPostings {
    /// The postings of an event with these entries, which are sorted by parameter.
    pub(super) fn of(entries: Vec<Entry>) -> Self {
        let mut own = Vec::with_capacity(entries.len() * 2);
        let mut param_before = None;
        for Entry { param, value, .. } in entries {
            if param_before.replace(param) != Some(param) {
                own.push(present(param));
            }
            own.push(posting(param, &value));
        }
        Self { shared: None, own }
    }
}

/// A parameter and a value, as keys contain them.
pub(super) fn posting(param: u32, value: &[u8]) -> Vec<u8> {
    [&param.to_be_bytes(), value].concat()
}

/// The posting of every event that has a value for a parameter.
pub(super) fn present(param: u32) -> Vec<u8> {
    posting(param, &[Form::Present.byte()])
}

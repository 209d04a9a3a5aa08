//! Records what a search did, for those who ask how its result was found.
use std::cell::RefCell;
use std::time::Duration;

use crate::model::hex;

use super::super::super::batch::KeyRange;

/// One step of the execution.
#[derive(Clone, Debug, Default)]
pub struct ReportStep {
    pub what: String,
    /// The key ranges that were read, in hexadecimal: start and end.
    pub ranges: Vec<(String, String)>,
    pub scanned: u64,
    pub returned: u64,
    pub time: Duration,
}

/// The steps of a search.
#[derive(Default)]
pub struct Report {
    steps: RefCell<Vec<ReportStep>>,
}

impl Report {
    pub(super) fn add(&self, step: ReportStep) {
        self.steps.borrow_mut().push(step);
    }

    /// The steps recorded so far.
    #[must_use]
    pub fn steps(&self) -> Vec<ReportStep> {
        self.steps.borrow().clone()
    }
}

/// A range in hexadecimal, to be compared with the table of keys.
pub(super) fn range_text(range: &KeyRange) -> (String, String) {
    let hex = |bytes: &[u8]| hex(bytes);
    (hex(&range.start), hex(&range.end))
}

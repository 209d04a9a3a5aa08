//! What a search did, for who asks how its answer was found.
use std::cell::RefCell;
use std::time::Duration;

use crate::model::hex;

use super::super::super::batch::KeyRange;

/// One step of a plan.
#[derive(Clone, Debug, Default)]
pub struct ReportStep {
    pub what: String,
    /// The keys that were read, in hexadecimal: from, up to.
    pub ranges: Vec<(String, String)>,
    pub scanned: u64,
    pub returned: u64,
    pub time: Duration,
}

/// The steps of a search, in the order of their beginning.
#[derive(Default)]
pub struct Report {
    steps: RefCell<Vec<ReportStep>>,
}

impl Report {
    pub(super) fn add(&self, step: ReportStep) {
        self.steps.borrow_mut().push(step);
    }

    /// The steps so far.
    #[must_use]
    pub fn steps(&self) -> Vec<ReportStep> {
        self.steps.borrow().clone()
    }
}

/// A range as people compare it with the table of keys.
pub(super) fn range_text(range: &KeyRange) -> (String, String) {
    let hex = |bytes: &[u8]| hex(bytes);
    (hex(&range.start), hex(&range.end))
}

//! What the access record keeps of a decision: which version was shown or withheld, about whom, and why.
use std::collections::BTreeSet;

use super::codes::Code;
use super::decision::Basis;

/// A version that was shown.
#[derive(Clone, Debug)]
pub struct Release {
    /// `Type/id`.
    pub reference: String,
    pub version_id: String,
    /// `Patient/id` of every data subject.
    pub patients: BTreeSet<String>,
    pub basis: Basis,
    /// Its security labels.
    pub labels: BTreeSet<Code>,
}

/// A resource that was asked for by its id and not shown. It is recorded and never put into an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// `Type/id`.
    pub reference: String,
    /// `Patient/id` of every data subject.
    pub patients: BTreeSet<String>,
    pub basis: Basis,
}

/// The number of withheld resources that are recorded for one request.
pub(super) const WITHHELD_MAX: usize = 16;

//! What newer versions have said about a resource.
use std::collections::BTreeSet;

use super::codes::Code;

/// What the versions after one say of it.
#[derive(Debug, Default)]
pub struct HighWaterMark {
    pub(super) labels: BTreeSet<Code>,
    pub(super) owners: BTreeSet<String>,
    pub(super) of_unknown: bool,
    /// Whether no scope reaches one of them.
    pub(super) is_unreached: bool,
}

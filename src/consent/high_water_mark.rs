//! The labels and subjects that the newer versions of a resource have had.
use std::collections::BTreeSet;

use super::codes::Code;

/// The labels and subjects of all versions after a given one; these apply to the given version too.
#[derive(Debug, Default)]
pub struct HighWaterMark {
    pub(super) labels: BTreeSet<Code>,
    pub(super) owners: BTreeSet<String>,
    pub(super) of_unknown: bool,
    /// Whether one of those versions is outside the reach of the scopes.
    pub(super) is_unreached: bool,
}

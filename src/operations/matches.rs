//! What the criteria of a conditional interaction or reference find (R4 http.html#cond-update).
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::definitions::TypeId;
use crate::model::ResourceId;
use crate::store::Expectation;

/// What the criteria of a conditional interaction match.
#[derive(Clone)]
pub(super) enum Matches {
    None { expectations: Vec<Expectation> },
    One { id: ResourceId, expectations: Vec<Expectation> },
    Several,
}

/// What was found on one snapshot, by type and criteria.
pub(super) type KnownMatches = RefCell<BTreeMap<(TypeId, Vec<(String, String)>), Matches>>;

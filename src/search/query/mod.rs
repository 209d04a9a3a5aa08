//! The structure of a search, and its parser for query strings. An unknown parameter is an error that names the nearest known
//! one.

mod control_values;
mod read;
mod reading;
mod suggest;

use std::sync::Arc;

use crate::definitions::TypeDef;

use super::filter::Filter;
use super::params::Param;

pub use read::{CHAIN_DEPTH_MAX, parse_query};
pub use reading::Reading;
pub(super) use reading::{chain_targets, id_of, last_updated};

/// A parsed search.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The conditions, all of which a match fulfils.
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
    pub count: Option<usize>,
    pub includes: Vec<Include>,
    pub rev_includes: Vec<Include>,
    pub summary: Summary,
    pub elements: Vec<String>,
    pub total: Option<TotalMode>,
    pub contained: Contained,
    /// Whether a match in a contained resource returns the contained resource instead of its container.
    pub gives_contained: bool,
    /// The types to search, if the search is not of a single type.
    pub types: Vec<&'static TypeDef>,
    pub explain: bool,
    pub cursor: Option<String>,
    /// The parameters that were used, as the client wrote them, for the self link.
    pub used: Vec<(String, String)>,
    /// The unknown parameters that were ignored because the client asked for lenient handling.
    pub ignored: Vec<String>,
}

/// A key to sort by.
#[derive(Clone, Debug)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

#[derive(Clone, Debug)]
pub enum SortKey {
    Param(Arc<Param>),
    Id,
    LastUpdated,
}

/// `Type:parameter[:Target]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The type of the referring resource; `None` for every type.
    pub source: Option<&'static str>,
    /// The reference parameter; `None` for all of them.
    pub param: Option<u32>,
    pub target: Option<&'static str>,
    /// Whether it also applies to included resources.
    pub iterate: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    #[default]
    False,
    True,
    Text,
    Data,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalMode {
    None,
    Estimate,
    Accurate,
}

/// Which resources are searched (R4 search.html#contained).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contained {
    #[default]
    False,
    True,
    Both,
}

/// What is wrong with a query. `parameter` is the name as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{parameter}`: {message}")]
pub struct QueryError {
    pub parameter: String,
    pub message: String,
    /// Lenient handling may ignore unknown parameters, never malformed ones.
    pub is_unknown: bool,
}

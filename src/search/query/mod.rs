//! What a search asks for, and how a query string is read against the parameters of its type. What is not known is an
//! error that names it and the nearest thing that is.

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

/// What a search asks for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// All of these.
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
    pub count: Option<usize>,
    pub includes: Vec<Include>,
    pub rev_includes: Vec<Include>,
    pub summary: Summary,
    pub elements: Vec<String>,
    pub total: Option<TotalMode>,
    pub contained: Contained,
    /// Whether matches in contained resources are given as such, not by what contains them.
    pub gives_contained: bool,
    /// The types of a search that is of no single one.
    pub types: Vec<&'static TypeDef>,
    pub explain: bool,
    pub cursor: Option<String>,
    /// The parameters that were used, as they were given, for the self link.
    pub used: Vec<(String, String)>,
    /// What was ignored, if the caller asked for leniency.
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
    /// The type that refers; `None` for every type.
    pub source: Option<&'static str>,
    /// The parameter; `None` for every reference.
    pub param: Option<u32>,
    pub target: Option<&'static str>,
    /// Whether it is applied to what was included, too.
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

/// What is wrong with a query. `parameter` is its name as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    pub parameter: String,
    pub message: String,
    /// Leniency may pass over unknown parameters, never over malformed ones.
    pub is_unknown: bool,
}

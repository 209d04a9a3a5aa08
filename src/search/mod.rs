//! Computes the index entries of a resource and parses search queries into conditions on such entries. Pure functions without
//! I/O: they read resources and query strings and yield bytes.

mod composite_value;
mod control;
mod decimal;
mod entry;
mod extract;
mod facts;
mod filter;
mod filter_language;
mod fold;
mod fulfils;
mod geography;
mod invalid_value;
mod matcher;
mod param;
mod params;
mod personal_values;
mod query;
mod text;
mod visibility;
mod whole_text;
mod word_query;

pub use control::{COMMON_FILTERS, CONTROLS, Control};
pub use entry::{Entry, Form};
pub use extract::{APART, EVERY, all_entries, entries, entries_by, entries_of_text, of_binary};
pub use facts::{Facts, plain};
pub use filter::{Filter, Link, Lookup, Way, compartment, part_param};
pub use fold::fold;
pub use fulfils::fulfils;
pub use invalid_value::InvalidValue;
pub use matcher::{Check, Matcher, sort_value};
pub use param::{MODIFIERS, Modifier, ValueContext, modifiers, moments_found};
pub use params::{Component, Param, SearchParams, Source, param_id, search_params};
pub use personal_values::{PersonalValue, sought};
pub use query::{
    CHAIN_DEPTH_MAX, Contained, Include, Query, QueryError, Reading, Sort, SortKey, Summary, TotalMode,
    parse_query,
};
pub use text::{Prefix, unescape};
pub use visibility::{Everything, Keep, Scope, Visibility};
pub use whole_text::TextCheck;

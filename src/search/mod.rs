//! Which index entries does a resource have, and which entries answer a query? Pure: it reads resources and query
//! strings and yields bytes.

mod control;
mod entry;
mod extract;
mod facts;
mod fold;
mod mask;
mod params;
mod query;
mod term;

pub use control::{CONTROLS, Control};
pub use entry::{Entry, Form};
pub use extract::entries;
pub use facts::Facts;
pub use fold::fold;
pub use mask::{Everything, Keep, Mask, Scope};
pub use params::{Param, SearchParams, search_params};
pub use query::{Filter, Include, Query, QueryError, Sort, SortKey, Summary, TotalMode, parse_query};
pub use term::{Check, Condition, Matcher, Term, conditions, modifiers};

//! A search oracle: answers every query by examining every resource, without an index.

mod coded;
mod condition;
mod corpus;
mod date;
mod elements;
mod escape;
mod extract;
mod filter;
mod filter_syntax;
mod fold;
mod generate;
mod hierarchy;
mod list;
mod near;
mod number;
mod occurrence;
mod path;
mod prefix;
mod quantity;
mod reference;
mod search;
mod sort;
mod text;
mod token;
mod value_set;
mod words;

pub use corpus::{OWN_BASE, Oracle};
pub use generate::{Random, queries};

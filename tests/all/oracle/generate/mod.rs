//! Random queries with values taken from the resources, so that most of them find something.

mod coded;
mod filter;
mod generator;
mod inventory;
mod links;
mod ordered;
mod parameter;
mod query;
mod random;
mod text;

pub use query::queries;
pub use random::Random;

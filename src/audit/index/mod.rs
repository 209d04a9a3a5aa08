//! An index of AuditEvents by their search parameters, so that a search among millions of access records reads a few keys. It is
//! made in the background of records that are stored already, in segments that never change; a search reads the segments, what
//! the background holds in memory of the records after them, and then the few records that came since.
//!
//! An event's number is its place among the events of its segment, which stand in the order of the records. Keys of the space, all
//! numbers big-endian:
//!
//! | key | value |
//! |---|---|
//! | 0, segment (4) | times, first and last place, number of events |
//! | 1, segment (4) | places, times and numbers of events of its records |
//! | 2, parameter (4), value of an entry, segment (4) | the numbers of the events that have the entry, as runs |
//!
//! Under the value of form `Present` stand the events that have any value of the parameter.
mod build;
mod entries;
mod events;
mod find;
mod numbers;
mod segment;
mod shapes;
#[cfg(test)]
mod tests;
mod verify;
mod walk;

pub use build::AuditIndex;
pub use find::EventQuery;
pub use verify::verify_segments;
pub use walk::{Bounds, Candidate, Candidates, View};

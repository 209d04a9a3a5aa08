//! Index of AuditEvents by their search parameters, so that a search among millions of access records reads a few keys. A thread
//! in the background makes it of stored records, in segments that never change. A search reads the stored segments, the open
//! segment in memory, and the few records that came after it.
//!
//! Events are numbered within their segment, in the order of the records. Keys of the space, all numbers
//! big-endian:
//!
//! | key | value |
//! |---|---|
//! | 0, segment (4) | times, first and last place, number of events |
//! | 1, segment (4) | places, times and numbers of events of its records |
//! | 2, parameter (4), value of an entry, segment (4) | the numbers of the events that have the entry, as runs |
//!
//! Under the value of form `Present` a parameter lists the events that have any value of it.
mod build;
mod entries;
mod events;
mod find;
mod numbers;
mod postings;
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

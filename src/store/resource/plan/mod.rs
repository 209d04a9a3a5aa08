//! How a search is answered from the index: conditions as steps that know what they cost, a walk that begins with the
//! cheapest of them and asks the others row by row, and a mask that everything passes.
//!
//! Answers come in an order that depends on the query alone, never on the way that was taken: as resources were
//! created, or as they are sorted. What is hidden may change the way, not the answer.

mod contained;
mod count;
mod gather;
mod inside;
mod probe;
mod ranges;
mod report;
mod search;
mod sorted;
mod step;
mod stream;
mod updated;
mod view;

pub use report::{Report, ReportStep};
pub use search::{Search, Way};
pub use sorted::compare_values;
pub use view::View;

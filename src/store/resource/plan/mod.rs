//! Answers searches from the index: conditions become steps with estimated costs; the cheapest step supplies rows, the other
//! steps are checked for each row, and every row must pass the visibility check.
//!
//! The order of results depends on the query alone, never on the plan: the order of creation, or the requested sort order.
//! Hidden resources may influence the plan, but not the result.

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

//! The chart: the record of one patient.

mod frame;
mod lists;
mod pages;
mod precautions;
mod record;
mod seen;
mod trend;

pub(super) use frame::chart_page;
pub(super) use pages::{documents, everything, insurance, medications, problems, results, summary, timeline};
pub(super) use record::Record;
pub(super) use seen::who_saw;
pub(super) use trend::trend;

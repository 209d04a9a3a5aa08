//! search (R4 http.html#search): of a type, of the whole server, of a compartment; pages of matches with what they
//! include, counted through the lens.

mod audit_events;
mod contained;
mod everything;
mod explain;
mod include;
mod lastn;
mod listed;
mod page;
mod part;
mod reduce;
mod searching;
mod target;

pub(super) use audit_events::audit_event;
pub(super) use everything::everything;
pub(super) use lastn::lastn;
pub(super) use part::finding;
pub(super) use reduce::reduce;
pub(super) use target::{patients_found, search};

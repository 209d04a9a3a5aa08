//! The record of accesses: written for every request, and read as accounts for patients and as proofs for auditors.

mod accounting;
mod disclose;
mod indexing;
mod names;
mod period;
mod proof;
mod recording;
mod refusals;
mod refused;
mod suspend;
mod unshown;
mod who_saw;
mod without_relation;

pub(super) use accounting::accounting_of_disclosures;
pub(super) use disclose::record_disclosure;
pub(super) use names::name_of;
pub(super) use proof::{consistency_proof, event_proof};
pub(super) use recording::{add_change, fill, mark_sender, sender_tag};
pub(super) use refusals::Refusals;
pub use refusals::{Refused, Unknown};
pub(super) use suspend::suspend_accounting;
pub(super) use who_saw::who_saw;
pub(super) use without_relation::without_relation;

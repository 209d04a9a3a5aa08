//! The operations on Consents: what would be decided, who may see what and why, what a Consent would change.

mod decide;
mod describe;
mod explain;
mod file;
mod hypothetical_party;
mod parties;
mod preview;
mod sentences;
mod status;
mod written;

pub(super) use decide::decide;
pub(super) use explain::explain_access;
pub(super) use file::known;
pub(super) use hypothetical_party::may_ask_about;
pub(super) use preview::preview;
pub use sentences::{MATTERS, RuleSentence, sentences};
pub(super) use status::{check_strictly, enforcement_status, remarks};
pub(super) use written::{awaited, check_patient};

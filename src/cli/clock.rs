//! The time by the clock of this machine.
use crate::model::Millis;
use crate::store::{Clock as _, SystemClock};

/// The time, for tokens.
#[must_use]
pub fn now() -> Millis {
    SystemClock.now()
}

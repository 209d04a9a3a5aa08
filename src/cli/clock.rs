//! The time of this machine's clock.
use crate::model::Millis;
use crate::store::{Clock as _, SystemClock};

/// The time, in milliseconds since 1970.
#[must_use]
pub fn now() -> Millis {
    SystemClock.now()
}

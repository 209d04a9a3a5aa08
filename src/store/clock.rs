//! The time, as a parameter: whoever starts the house hands it in.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Millis;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 in UTC; may go back.
    fn now(&self) -> Millis;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

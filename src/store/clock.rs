//! The time as a parameter: whoever starts the server passes in the clock, so tests can set it.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Millis;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 in UTC. May go backwards.
    fn now(&self) -> Millis;
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

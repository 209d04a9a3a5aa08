//! Limits how often a client may try `$member-match`.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

/// How often one client may try within the window, so that nobody finds members by trying numbers.
const TRIES_MAX: u32 = 600;
const TRIES_WINDOW_MS: Millis = 60 * 60 * 1_000;

/// For each client the number of tries in the current window, and when the first was.
#[derive(Default)]
pub(super) struct MemberMatches(Mutex<HashMap<String, (u32, Millis)>>);

impl MemberMatches {
    /// Whether a client may try once more; this counts as a try.
    pub(super) fn may_try(&self, client: &str, now: Millis) -> bool {
        // Only registered clients get here, so the map stays small.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tries, first) = known.entry(client.to_owned()).or_insert((0, now));
        if now - *first >= TRIES_WINDOW_MS {
            (*tries, *first) = (0, now);
        }
        *tries = tries.saturating_add(1);
        *tries <= TRIES_MAX
    }
}

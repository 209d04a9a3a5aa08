//! How often somebody has tried to sign in, or a client to prove itself.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

/// Names of which failures are remembered; more than a few minutes of trying can make.
pub(super) const NAMES_MAX: usize = 10_000;
/// The longest name of which failures are counted, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Why a user is not let in. What of name and password was wrong is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    Wrong,
    /// The name was tried in vain too often; it can be tried again later.
    TooOften,
    /// Too many are logging in at the moment.
    Busy,
    /// The registry cannot be read.
    Failed,
}

/// Failures by name: how many, and when the first was.
#[derive(Default)]
pub(super) struct LoginAttempts(Mutex<HashMap<String, (u32, Millis)>>);

impl LoginAttempts {
    /// A name as failures of it are counted: one that nobody can have is nobody's, and is not to fill the memory.
    pub(super) fn name(text: &str) -> &str {
        text.get(..text.len().min(NAME_BYTES_MAX)).unwrap_or_default()
    }

    /// Counts an attempt beforehand, so that many at once are no way around the limit.
    pub(super) fn begin(
        &self,
        name: &str,
        now: Millis,
        (failures_max, window_ms): (u32, Millis),
    ) -> Result<(), LoginError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX && !known.contains_key(name) {
            known.retain(|_, (_, first)| now - *first < window_ms);
            let oldest = known.iter().min_by_key(|(_, (_, first))| *first).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| known.len() >= NAMES_MAX) {
                known.remove(&oldest);
            }
        }
        let (failures, first) = known.entry(name.to_owned()).or_insert((0, now));
        if now - *first >= window_ms {
            (*failures, *first) = (0, now);
        }
        if *failures >= failures_max {
            return Err(LoginError::TooOften);
        }
        *failures += 1;
        Ok(())
    }

    pub(super) fn succeeded(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

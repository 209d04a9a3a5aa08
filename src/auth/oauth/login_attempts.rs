//! Counts failed attempts of users to sign in and of clients to authenticate.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

/// The most names with counted failures: more than a few minutes of guessing can produce.
pub(super) const NAMES_MAX: usize = 10_000;
/// The longest prefix of a name under which failures are counted, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Why a sign-in failed. It does not tell which of name and password was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("user name or password is wrong")]
    Wrong,
    /// Too many attempts with this name have failed; a later one is accepted again.
    #[error("too many sign-ins with this user name have failed")]
    TooOften,
    /// Too many sign-ins are being checked at the moment.
    #[error("too many sign-ins are being checked")]
    Busy,
    /// The registry cannot be read.
    #[error("the registry cannot be read")]
    Failed,
}

/// Failed attempts by name: their number, and the time of the first.
#[derive(Default)]
pub(super) struct LoginAttempts(Mutex<HashMap<String, (u32, Millis)>>);

impl LoginAttempts {
    /// The key under which a name's failures are counted. Only names that nobody can have are long enough to be cut.
    pub(super) fn name(text: &str) -> &str {
        text.get(..text.len().min(NAME_BYTES_MAX)).unwrap_or_default()
    }

    /// Counts an attempt as failed before it is checked, so that parallel attempts cannot exceed the limit.
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

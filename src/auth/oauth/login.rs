//! Logging in: a user's name and password, with a limit on how often a name may be tried in vain. The secrets of clients
//! have the same limit.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

use super::super::registry::User;
use super::server::Desk;

/// Names of which failures are remembered; more than a few minutes of trying can make.
const NAMES_MAX: usize = 10_000;
/// The longest name of which failures are counted, in bytes.
const NAME_BYTES_MAX: usize = 64;

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

impl Desk<'_> {
    /// How often a name may be tried in vain, and within how many milliseconds.
    pub(super) fn attempt_limits(&self) -> (u32, Millis) {
        let options = &self.server.options;
        (options.login_failures_max, options.login_window_seconds.saturating_mul(1_000))
    }

    pub(super) fn check_login(&self, name: &str, password: &str) -> Result<User, LoginError> {
        let name = LoginAttempts::name(name);
        // Who is turned away has not tried.
        let turn = self.server.passwords.turn().ok_or(LoginError::Busy)?;
        self.server.attempts.begin(name, self.now, self.attempt_limits())?;
        let user = self.server.registry.user(name).map_err(|_| LoginError::Failed)?;
        let hash = user.as_ref().filter(|user| !user.disabled).map(|user| user.password_hash.as_str());
        let is_right = turn.check(password, hash);
        match user {
            Some(user) if is_right => {
                self.server.attempts.succeeded(name);
                Ok(user)
            }
            Some(_) | None => Err(LoginError::Wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LoginAttempts, LoginError};

    #[test]
    fn a_name_can_be_tried_so_often_and_later_again() {
        let attempts = LoginAttempts::default();
        let begin = |name: &str, now| attempts.begin(name, now, (2, 1_000));
        assert_eq!(begin("ann", 0), Ok(()));
        assert_eq!(begin("ann", 10), Ok(()));
        assert_eq!(begin("ann", 20), Err(LoginError::TooOften));
        assert_eq!(begin("bob", 20), Ok(()));
        assert_eq!(begin("ann", 1_000), Ok(()));
        attempts.succeeded("ann");
        assert_eq!(begin("ann", 1_001), Ok(()));
        assert_eq!(begin("ann", 1_002), Ok(()));
        assert_eq!(begin("ann", 1_003), Err(LoginError::TooOften));
    }
}

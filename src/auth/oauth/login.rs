//! Logging in: a user's name and password, with a limit on how often a name may be tried in vain.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Millis;

use super::super::registry::User;
use super::server::Desk;

/// Names of which failures are remembered; more than a few minutes of trying can make.
const NAMES_MAX: usize = 10_000;

/// Why a user is not let in. What of name and password was wrong is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    Wrong,
    /// The name was tried in vain too often; it can be tried again later.
    TooOften,
    /// The registry cannot be read.
    Failed,
}

/// Failures by name: how many, and when the first was.
#[derive(Default)]
pub(super) struct LoginAttempts(Mutex<HashMap<String, (u32, Millis)>>);

impl LoginAttempts {
    /// Counts an attempt beforehand, so that many at once are no way around the limit.
    fn begin(
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

    fn succeeded(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Desk<'_> {
    pub(super) fn check_login(&self, name: &str, password: &str) -> Result<User, LoginError> {
        let options = &self.server.options;
        let limits = (options.login_failures_max, options.login_window_seconds.saturating_mul(1_000));
        // A name that nobody can have is no user's, and is not to fill the memory.
        let name = name.get(..name.len().min(64)).unwrap_or_default();
        self.server.attempts.begin(name, self.now, limits)?;
        let user = self.server.registry.user(name).map_err(|_| LoginError::Failed)?;
        let hash = user.as_ref().filter(|user| !user.disabled).map(|user| user.password_hash.as_str());
        let is_right = self.server.passwords.check(password, hash);
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

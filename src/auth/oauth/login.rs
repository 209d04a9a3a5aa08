//! Sign-in by user name and password, with a limit on failed attempts per name. Client secrets have the same limit.

use crate::model::Millis;

use super::super::registry::User;
use super::login_attempts::{LoginAttempts, LoginError};
use super::server::AuthorizationContext;

impl AuthorizationContext<'_> {
    /// How many failed attempts a name may have, and within how many milliseconds.
    pub(super) fn attempt_limits(&self) -> (u32, Millis) {
        let options = &self.server.options;
        (options.login_failures_max, options.login_window_seconds.saturating_mul(1_000))
    }

    pub(super) fn check_login(&self, name: &str, password: &str) -> Result<User, LoginError> {
        let name = LoginAttempts::name(name);
        // The slot is taken first, because a login that is refused as busy must not count as an attempt.
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

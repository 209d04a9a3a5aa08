//! The keys of an issuer as long as they are fresh. They are fetched again when they are stale, and when a token names one
//! that is not there; how often that happens is limited, because anybody can name a key.
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::auth::issuer::TokenError;
use crate::model::Millis;

use super::key_set::{KeyError, KeySet};
use super::source::{JwksSource, KeysAt};

/// How long keys are kept whose answer does not say so, in milliseconds.
pub const FRESH_MILLIS_DEFAULT: Millis = 3_600_000;
/// The shortest and the longest time that an answer can ask for.
pub const FRESH_MILLIS_MIN: Millis = 60_000;
pub const FRESH_MILLIS_MAX: Millis = 86_400_000;
/// How long keys are used beyond that while the issuer cannot be asked.
pub const STALE_MILLIS_MAX: Millis = 3_600_000;
/// The shortest time between two questions for the same keys.
pub const ASKING_MILLIS_MIN: Millis = 30_000;

/// The keys of one issuer.
pub struct KeyCache {
    at: KeysAt,
    held: RwLock<Option<CachedKeys>>,
    /// When they were asked for last. Locked while asking, so that many requests ask once.
    asked: Mutex<Option<Millis>>,
}

#[derive(Clone)]
struct CachedKeys {
    keys: Arc<KeySet>,
    fresh_until: Millis,
}

impl KeyCache {
    #[must_use]
    pub fn new(at: KeysAt) -> Self {
        Self { at, held: RwLock::default(), asked: Mutex::default() }
    }

    /// The key that a token names.
    ///
    /// # Errors
    /// [`TokenError::Untrusted`] if there is none, [`TokenError::Unavailable`] if the keys cannot be had.
    pub fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        (source, now): (&dyn JwksSource, Millis),
    ) -> Result<DecodingKey, TokenError> {
        let untrusted = |error: KeyError| TokenError::Untrusted(format!("the key: {error:?}"));
        if let Some(held) = self.held().filter(|held| now < held.fresh_until) {
            match held.keys.find(id, algorithm) {
                Ok(key) => return Ok(key.clone()),
                Err(KeyError::Unknown) => {}
                Err(error) => return Err(untrusted(error)),
            }
        }
        let failure = self.ask(source, now).err();
        let usable = self.held().filter(|held| now < held.fresh_until.saturating_add(STALE_MILLIS_MAX));
        match usable {
            Some(held) => held.keys.find(id, algorithm).cloned().map_err(untrusted),
            None => Err(TokenError::Unavailable(failure.unwrap_or_else(|| "there are no keys".to_owned()))),
        }
    }

    fn held(&self) -> Option<CachedKeys> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the keys, unless somebody has just done so.
    fn ask(&self, source: &dyn JwksSource, now: Millis) -> Result<(), String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| now < asked.saturating_add(ASKING_MILLIS_MIN)) {
            return Ok(());
        }
        *asked = Some(now);
        let fetched = source.jwks(&self.at)?;
        let keys = Arc::new(KeySet::parse(&fetched.body)?);
        let age = fetched
            .max_age_seconds
            .map(|seconds| Millis::try_from(seconds).unwrap_or(FRESH_MILLIS_MAX).saturating_mul(1_000));
        let age = age.unwrap_or(FRESH_MILLIS_DEFAULT).clamp(FRESH_MILLIS_MIN, FRESH_MILLIS_MAX);
        let fresh = CachedKeys { keys, fresh_until: now.saturating_add(age) };
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ASKING_MILLIS_MIN, FRESH_MILLIS_MAX, FRESH_MILLIS_MIN, KeyCache, STALE_MILLIS_MAX};
    use crate::auth::external::source::{Fetched, IntrospectedAt, JwksSource, KeysAt};
    use jsonwebtoken::Algorithm;
    use std::sync::Mutex;

    /// Answers with the keys of these ids; counts how often it is asked.
    struct Fake(Mutex<(usize, Vec<&'static str>, Option<u64>)>);

    impl JwksSource for Fake {
        fn jwks(&self, _: &KeysAt) -> Result<Fetched, String> {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            if state.1.is_empty() {
                return Err("down".to_owned());
            }
            let key = |id: &&str| serde_json::json!({"kty": "RSA", "kid": id, "n": "AQAB", "e": "AQAB"});
            let keys: Vec<_> = state.1.iter().map(key).collect();
            let body = serde_json::json!({"keys": keys}).to_string().into_bytes();
            Ok(Fetched { body, max_age_seconds: state.2 })
        }

        fn introspect(&self, _: &IntrospectedAt, _: &str) -> Result<Vec<u8>, String> {
            Err("not asked for".to_owned())
        }
    }

    #[test]
    fn keys_are_fetched_when_needed_and_not_more_often() {
        let fake = Fake(Mutex::new((0, vec!["a"], Some(10))));
        let cache = KeyCache::new(KeysAt::File("x".into()));
        let has = |id, now| cache.key(Some(id), Algorithm::RS256, (&fake, now)).is_ok();
        let asked = || fake.0.lock().unwrap().0;
        assert!(has("a", 0) && has("a", 1));
        assert_eq!(asked(), 1);
        // A storm of unknown keys asks once in a while.
        for now in 0..1_000 {
            assert!(!has("b", now));
        }
        assert_eq!(asked(), 1);
        fake.0.lock().unwrap().1 = vec!["b"];
        assert!(has("b", ASKING_MILLIS_MIN), "a new key is found");
        assert!(!has("a", ASKING_MILLIS_MIN), "an old one is gone with it");
        assert_eq!(asked(), 2);
        // The age of the answer was below the least: it is kept for the least.
        let stale = ASKING_MILLIS_MIN + FRESH_MILLIS_MIN;
        assert!(has("b", stale - 1));
        assert_eq!(asked(), 2);
        fake.0.lock().unwrap().1 = vec![];
        assert!(has("b", stale), "what is stale serves while the issuer is down");
        assert!(!has("b", stale + STALE_MILLIS_MAX), "but not for ever");
        fake.0.lock().unwrap().1 = vec!["c"];
        fake.0.lock().unwrap().2 = Some(u64::MAX);
        let back = stale + STALE_MILLIS_MAX + ASKING_MILLIS_MIN;
        assert!(has("c", back));
        let count = asked();
        assert!(has("c", back + FRESH_MILLIS_MAX - 1));
        assert_eq!(asked(), count);
        assert!(has("c", back + FRESH_MILLIS_MAX));
        assert_eq!(asked(), count + 1, "no answer is kept for longer than the most");
    }
}

//! The cached keys of an issuer. They are fetched again when they are stale and when a token names an unknown key. The
//! latter is rate-limited, because anybody can send a token that names a key.
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::auth::issuer::TokenError;
use crate::model::Millis;

use super::key_set::{KeyError, KeySet, KeySetError};
use super::source::{FetchError, JwksSource, KeysAt};
use super::unverified_jwt::unambiguous;

/// How a key set is read, and how long it is used, in milliseconds.
#[derive(Clone, Copy)]
pub struct KeyPolicy {
    /// Reads the body that an address answers with.
    pub read: fn(&[u8]) -> Result<KeySet, KeySetError>,
    /// How long keys are fresh if the answer does not say so.
    pub fresh_default: Millis,
    /// The shortest and the longest time that an answer can ask for.
    pub fresh_min: Millis,
    pub fresh_max: Millis,
    /// How long keys are used beyond that while their address does not answer.
    pub stale_max: Millis,
    /// The shortest time between two requests for the same keys.
    pub asking_min: Millis,
}

/// Keys of an issuer of tokens: its answer says how long they are fresh, and they are used on while it is down.
pub const ISSUER_KEYS: KeyPolicy = KeyPolicy {
    read: KeySet::parse,
    fresh_default: 3_600_000,
    fresh_min: 60_000,
    fresh_max: 86_400_000,
    stale_max: 3_600_000,
    asking_min: 30_000,
};

/// Keys of a client: one that the client withdraws is refused after five minutes, whatever its answer says.
pub const CLIENT_KEYS: KeyPolicy = KeyPolicy {
    read: |body| KeySet::of_client(&unambiguous(body).ok_or(KeySetError::NotAnObject)?),
    fresh_default: 300_000,
    fresh_min: 300_000,
    fresh_max: 300_000,
    stale_max: 0,
    asking_min: 10_000,
};

/// The keys at one address.
pub struct KeyCache {
    policy: KeyPolicy,
    at: KeysAt,
    held: RwLock<Option<CachedKeys>>,
    /// When the keys were last fetched. The lock is held during a fetch, so that concurrent requests cause only one.
    asked: Mutex<Option<Millis>>,
}

#[derive(Clone)]
struct CachedKeys {
    keys: Arc<KeySet>,
    fetched: Millis,
    fresh_until: Millis,
}

impl KeyCache {
    #[must_use]
    pub fn new(at: KeysAt, policy: KeyPolicy) -> Self {
        Self { policy, at, held: RwLock::default(), asked: Mutex::default() }
    }

    /// The key that a token names.
    ///
    /// # Errors
    /// [`TokenError::Untrusted`] if the issuer has no such key, [`TokenError::Unavailable`] if its keys cannot be fetched.
    pub fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        (source, now): (&dyn JwksSource, Millis),
    ) -> Result<DecodingKey, TokenError> {
        let untrusted = |error: KeyError| TokenError::Untrusted(format!("the key: {error:?}"));
        // Keys are not fresh if the clock has been set back to before they were fetched.
        let fresh = self.held().filter(|held| (held.fetched..held.fresh_until).contains(&now));
        if let Some(key) = fresh.as_ref().and_then(|held| held.keys.find(id, algorithm).ok()) {
            return Ok(key.clone());
        }
        let failure = self.ask(source, now).err();
        let usable = self.held().filter(|held| now < held.fresh_until.saturating_add(self.policy.stale_max));
        match usable {
            Some(held) => held.keys.find(id, algorithm).cloned().map_err(untrusted),
            None => {
                Err(TokenError::Unavailable(failure.map_or("there are no keys".to_owned(), String::from)))
            }
        }
    }

    fn held(&self) -> Option<CachedKeys> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless that happened less than [`KeyPolicy::asking_min`] ago.
    fn ask(&self, source: &dyn JwksSource, now: Millis) -> Result<(), FetchError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| (asked..asked.saturating_add(self.policy.asking_min)).contains(&now)) {
            return Ok(());
        }
        *asked = Some(now);
        let fetched = source.jwks(&self.at)?;
        let keys = Arc::new((self.policy.read)(&fetched.body).map_err(|error| error.to_string())?);
        let KeyPolicy { fresh_default, fresh_min, fresh_max, .. } = self.policy;
        let millis = |seconds| Millis::try_from(seconds).unwrap_or(fresh_max).saturating_mul(1_000);
        let age = fetched.max_age_seconds.map_or(fresh_default, millis).clamp(fresh_min, fresh_max);
        let fresh = CachedKeys { keys, fetched: now, fresh_until: now.saturating_add(age) };
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CLIENT_KEYS, ISSUER_KEYS, KeyCache, KeyPolicy};
    use crate::auth::external::source::{FetchError, Fetched, IntrospectedAt, JwksSource, KeysAt};
    use crate::auth::jwk::base64_url;
    use jsonwebtoken::Algorithm;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Serves keys with these ids and counts the fetches.
    struct Fake(Mutex<(usize, Vec<&'static str>, Option<u64>)>);

    impl JwksSource for Fake {
        fn jwks(&self, _: &KeysAt) -> Result<Fetched, FetchError> {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            if state.1.is_empty() {
                return Err("down".into());
            }
            let key = |id: &&str| serde_json::json!({"kty": "RSA", "kid": id, "n": base64_url(&[200; 256]), "e": "AQAB"});
            let keys: Vec<_> = state.1.iter().map(key).collect();
            let body = serde_json::json!({"keys": keys}).to_string().into_bytes();
            Ok(Fetched { body, max_age_seconds: state.2 })
        }

        fn introspect(&self, _: &IntrospectedAt, _: &str) -> Result<Vec<u8>, FetchError> {
            Err("not asked for".into())
        }
    }

    /// Answers with another key every time, and counts.
    #[derive(Default)]
    struct Turning(AtomicUsize);

    impl JwksSource for Turning {
        fn jwks(&self, _: &KeysAt) -> Result<Fetched, FetchError> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let part = base64_url(&[7; 48]);
            let key = serde_json::json!({
                "kty": "EC", "crv": "P-384", "kid": format!("k{number}"), "x": part, "y": part
            });
            let body = serde_json::json!({"keys": [key]}).to_string().into_bytes();
            Ok(Fetched { body, max_age_seconds: Some(3_600) })
        }

        fn introspect(&self, _: &IntrospectedAt, _: &str) -> Result<Vec<u8>, FetchError> {
            Err("not asked for".into())
        }
    }

    #[test]
    fn keys_are_fetched_when_needed_and_not_more_often() {
        let fake = Fake(Mutex::new((0, vec!["a"], Some(10))));
        let KeyPolicy { fresh_min, fresh_max, stale_max, asking_min, .. } = ISSUER_KEYS;
        let cache = KeyCache::new(KeysAt::File("x".into()), ISSUER_KEYS);
        let has = |id, now| cache.key(Some(id), Algorithm::RS256, (&fake, now)).is_ok();
        let asked = || fake.0.lock().unwrap().0;
        assert!(has("a", 0) && has("a", 1));
        assert_eq!(asked(), 1);
        // A burst of tokens with unknown keys causes one fetch.
        for now in 0..1_000 {
            assert!(!has("b", now));
        }
        assert_eq!(asked(), 1);
        fake.0.lock().unwrap().1 = vec!["b"];
        assert!(has("b", asking_min), "a new key is found");
        assert!(!has("a", asking_min), "an old one is gone with it");
        assert_eq!(asked(), 2);
        // The age of the answer was below the least: it is kept for the least.
        let stale = asking_min + fresh_min;
        assert!(has("b", stale - 1));
        assert_eq!(asked(), 2);
        fake.0.lock().unwrap().1 = vec![];
        assert!(has("b", stale), "what is stale serves while the issuer is down");
        assert!(!has("b", stale + stale_max), "but not for ever");
        fake.0.lock().unwrap().1 = vec!["c"];
        fake.0.lock().unwrap().2 = Some(u64::MAX);
        let back = stale + stale_max + asking_min;
        assert!(has("c", back));
        let count = asked();
        assert!(has("c", back + fresh_max - 1));
        assert_eq!(asked(), count);
        assert!(has("c", back + fresh_max));
        assert_eq!(asked(), count + 1, "no answer is kept for longer than the most");
    }

    #[test]
    fn keys_of_clients_are_fresh_for_five_minutes() {
        let source = Turning::default();
        let cache = KeyCache::new(KeysAt::File("x".into()), CLIENT_KEYS);
        let check = |key_id: &str, now, expected: bool, fetches: usize| {
            let found = cache.key(Some(key_id), Algorithm::ES384, (&source, now)).is_ok();
            assert_eq!((found, source.0.load(Ordering::Relaxed)), (expected, fetches), "{key_id} at {now}");
        };
        check("k0", 1_000, true, 1);
        check("k0", 200_000, true, 1);
        check("k1", 205_000, true, 2);
        check("k2", 209_000, false, 2);
        check("k2", 215_000, true, 3);
        check("k3", 216_000, false, 3);
        check("k3", 600_000, true, 4);
        // The clock was set back: what was fetched "later" is fetched again.
        check("k4", 1_000, true, 5);
    }

    /// Answers first with an RSA key, then with an EC key of the same id.
    #[derive(Default)]
    struct Replaced(AtomicUsize);

    impl JwksSource for Replaced {
        fn jwks(&self, _: &KeysAt) -> Result<Fetched, FetchError> {
            let part = base64_url(&[7; 48]);
            let key = match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => serde_json::json!({"kty": "RSA", "kid": "k", "n": base64_url(&[200; 256]), "e": "AQAB"}),
                _ => serde_json::json!({"kty": "EC", "crv": "P-384", "kid": "k", "x": part, "y": part}),
            };
            let body = serde_json::json!({"keys": [key]}).to_string().into_bytes();
            Ok(Fetched { body, max_age_seconds: None })
        }

        fn introspect(&self, _: &IntrospectedAt, _: &str) -> Result<Vec<u8>, FetchError> {
            Err("not asked for".into())
        }
    }

    #[test]
    fn a_key_of_another_type_under_the_same_id_is_fetched() {
        let source = Replaced::default();
        let cache = KeyCache::new(KeysAt::File("x".into()), CLIENT_KEYS);
        let has = |algorithm, now| cache.key(Some("k"), algorithm, (&source, now)).is_ok();
        assert!(has(Algorithm::RS384, 0) && !has(Algorithm::ES384, 1_000), "not more often than allowed");
        assert!(has(Algorithm::ES384, 20_000), "the client has replaced its key");
        assert!(!has(Algorithm::RS384, 21_000), "the old key is gone with it");
    }
}

//! The key sets of clients that publish theirs at an address: fetched, kept for a while, and fetched again when a key is
//! not among them, though not at the pace of whoever sends unknown ones.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::Algorithm;

use crate::model::Millis;

use super::super::external::{Fetched, JwksSource, KeysAt};
use super::super::jwk::{PublicKey, one_key, read_keys};
use super::super::registry::Client;

/// How long a key set is trusted, in milliseconds: a key that a client withdraws is refused after that.
const KEPT_MS: Millis = 5 * 60 * 1_000;
/// How long after a fetch an unknown key does not cause another, in milliseconds.
const AGAIN_MS: Millis = 10 * 1_000;

type Keys = Arc<Vec<PublicKey>>;

/// Fetched key sets by address, each with the time of the fetch.
#[derive(Default)]
pub(super) struct ClientKeys {
    source: Option<Arc<dyn JwksSource>>,
    /// Whether addresses may be without TLS and within the own network.
    insecure: bool,
    kept: Mutex<HashMap<String, (Millis, Keys)>>,
}

impl ClientKeys {
    pub(super) fn new(source: Arc<dyn JwksSource>, insecure: bool) -> Self {
        Self { source: Some(source), insecure, kept: Mutex::default() }
    }

    /// Hands the one key of a client with that id and algorithm to `check`; `None` if there is no such key.
    pub(super) fn with_key<T>(
        &self,
        client: &Client,
        (key_id, algorithm): (&str, Algorithm),
        now: Millis,
        check: impl FnOnce(&PublicKey) -> Option<T>,
    ) -> Option<T> {
        if let Some(jwks) = &client.jwks {
            return check(one_key(&read_keys(jwks).ok()?, key_id, algorithm)?);
        }
        let url = client.jwks_uri.as_deref()?;
        let mut keys = self.keys(url, now, KEPT_MS)?;
        if one_key(&keys, key_id, algorithm).is_none() {
            keys = self.keys(url, now, AGAIN_MS)?;
        }
        check(one_key(&keys, key_id, algorithm)?)
    }

    /// The keys of an address, fetched no longer ago than that.
    fn keys(&self, url: &str, now: Millis, age_ms_max: Millis) -> Option<Keys> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned();
        if let Some((fetched, keys)) = kept
            && (0..age_ms_max).contains(&(now - fetched))
        {
            return Some(keys);
        }
        // What cannot be fetched is an empty set: tried again after a while, and not at every request.
        let at = KeysAt::Url { url: url.to_owned(), insecure: self.insecure };
        let fetched = self.source.as_ref()?.jwks(&at);
        let read = |fetched: Fetched| read_keys(&serde_json::from_slice(&fetched.body).ok()?).ok();
        let fetched = fetched.ok().and_then(read).unwrap_or_default();
        let keys = Arc::new(fetched);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(url.to_owned(), (now, keys.clone()));
        Some(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::ClientKeys;
    use crate::auth::external::{Fetched, IntrospectedAt, JwksSource, KeysAt};
    use crate::auth::jwk::base64_url;
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    /// Gives another key every time, and counts.
    #[derive(Default)]
    struct Turning(AtomicUsize);

    impl JwksSource for Turning {
        fn jwks(&self, _: &KeysAt) -> Result<Fetched, String> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let part = base64_url(&[7; 48]);
            let key = json!({"kty": "EC", "crv": "P-384", "kid": format!("k{number}"), "x": part, "y": part});
            Ok(Fetched { body: json!({"keys": [key]}).to_string().into_bytes(), max_age_seconds: None })
        }

        fn introspect(&self, _: &IntrospectedAt, _: &str) -> Result<Vec<u8>, String> {
            Err("nothing is asked".to_owned())
        }
    }

    #[test]
    fn keys_are_fetched_when_they_are_old_or_unknown_but_not_in_a_storm() {
        let source = Arc::new(Turning::default());
        let keys = ClientKeys::new(source.clone(), false);
        let client = serde_json::from_value(json!({
            "client_id": "c", "client_name": "c", "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["client_credentials"], "scope": "system/*.rs", "jwks_uri": "https://c/keys"
        }))
        .unwrap();
        let check = |key_id: &str, now, expected: bool, fetches: usize| {
            let found = keys.with_key(&client, (key_id, Algorithm::ES384), now, |_| Some(())).is_some();
            assert_eq!((found, source.0.load(Ordering::Relaxed)), (expected, fetches), "{key_id} at {now}");
        };
        check("k0", 1_000, true, 1);
        check("k0", 200_000, true, 1);
        check("k1", 5_000, false, 1);
        check("k1", 12_000, true, 2);
        check("nobody's", 13_000, false, 2);
        check("k2", 400_000, true, 3);
    }
}

//! The keys with which clients sign their assertions: registered with the client, or published by it at an address.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::model::Millis;

use super::super::external::{CLIENT_KEYS, JwksSource, KeyCache, KeySet, KeysAt};
use super::super::registry::Client;

/// A cache for each address from which keys have been fetched.
#[derive(Default)]
pub(super) struct ClientKeys {
    source: Option<Arc<dyn JwksSource>>,
    /// Whether addresses may use plain http and lie within the server's own network.
    insecure: bool,
    caches: Mutex<HashMap<String, Arc<KeyCache>>>,
}

impl ClientKeys {
    pub(super) fn new(source: Arc<dyn JwksSource>, insecure: bool) -> Self {
        Self { source: Some(source), insecure, caches: Mutex::default() }
    }

    /// The one key of a client with that id and algorithm.
    pub(super) fn key(
        &self,
        client: &Client,
        (key_id, algorithm): (&str, Algorithm),
        now: Millis,
    ) -> Option<DecodingKey> {
        if let Some(jwks) = &client.jwks {
            return KeySet::of_client(jwks).ok()?.find(Some(key_id), algorithm).ok().cloned();
        }
        let url = client.jwks_uri.as_deref()?;
        let cache = self
            .caches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(url.to_owned())
            .or_insert_with(|| {
                Arc::new(KeyCache::new(
                    KeysAt::Url { url: url.to_owned(), insecure: self.insecure },
                    CLIENT_KEYS,
                ))
            })
            .clone();
        cache.key(Some(key_id), algorithm, (self.source.as_deref()?, now)).ok()
    }
}

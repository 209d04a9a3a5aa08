//! Authenticated encryption of what only this server may make and read again: refresh tokens, the state of sign-in pages, page
//! links. AES-256-GCM with a random nonce per text.
use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::store::random_bytes;

/// Bytes of a nonce.
const NONCE_LEN: usize = 12;

/// Seals bytes and opens what it has sealed, under one key.
pub struct Sealer(Option<LessSafeKey>);

impl Sealer {
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new))
    }

    /// Nonce, ciphertext and tag. They open under the same `bound` alone, which is authenticated and not contained. `None` if the
    /// machine has no randomness.
    #[must_use]
    pub fn seal(&self, mut bytes: Vec<u8>, bound: &str) -> Option<Vec<u8>> {
        let nonce = random_bytes::<NONCE_LEN>().ok()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0.as_ref()?.seal_in_place_append_tag(unique, Aad::from(bound), &mut bytes).ok()?;
        Some(nonce.into_iter().chain(bytes).collect())
    }

    /// The bytes that were sealed under `bound`; `None` for everything else.
    #[must_use]
    pub fn open(&self, mut sealed: Vec<u8>, bound: &str) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.as_ref()?.open_in_place(nonce, Aad::from(bound), ciphertext).ok().map(|plain| plain.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealer")
    }
}

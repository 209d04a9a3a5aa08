//! What is made of the store's own secret, a key for each use.
use crate::store::VersionCipher;

/// A key made of the store's own secret, for one use.
pub(super) fn derived(secret: [u8; 32], what: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::new().chain_update(secret).chain_update(what).finalize().into()
}

/// What version ids are made with in a store that has this secret.
#[must_use]
pub fn version_cipher(secret: [u8; 32]) -> VersionCipher {
    VersionCipher::new(derived(secret, "version ids"))
}

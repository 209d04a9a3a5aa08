//! Keys that are derived from the store's own secret, one for each use.
use crate::store::VersionCipher;

/// A key for one use, derived from the store's own secret.
pub(super) fn derived(secret: [u8; 32], what: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::new().chain_update(secret).chain_update(what).finalize().into()
}

/// The cipher of version ids in a store that has this secret.
#[must_use]
pub fn version_cipher(secret: [u8; 32]) -> VersionCipher {
    VersionCipher::new(derived(secret, "version ids"))
}

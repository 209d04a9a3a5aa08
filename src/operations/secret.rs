//! What is made of the store's own secret, a key for each use; and of chance.
use crate::model::{Issue, IssueCode, ResourceId};
use crate::store::VersionCipher;

use super::answer::{Refusal, RefusalKind};
use super::engine::Engine;

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

impl Engine {
    /// A fresh id: 32 hexadecimal digits of randomness.
    pub(super) fn fresh_id(&self) -> Result<ResourceId, Refusal> {
        let mut bytes = [0; 16];
        let failed =
            || Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "no randomness"));
        getrandom::fill(&mut bytes).map_err(|_| failed())?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        ResourceId::parse(&text).ok_or_else(failed)
    }
}

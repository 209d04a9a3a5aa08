//! The key that signs the roots of the access log: ES256, separate from the key for tokens.
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::SigningKeyError;
use crate::model::Millis;
use crate::model::{decode_base64, encode_base64, hex};

use super::merkle::Hash;

/// The signed state of the access log at a moment: its number of records, and the root of the Merkle tree over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRoot {
    /// The number of records.
    pub size: u64,
    /// The root in hexadecimal digits.
    pub root: String,
    /// Milliseconds since 1970.
    pub time: Millis,
    /// The name of the key: the first half of the hash of its public point, in hexadecimal digits.
    pub key: String,
    /// The signature of [`SignedRoot::signed_text`] in base64: r and s, of 32 bytes each.
    pub signature: String,
}

impl SignedRoot {
    /// The text that is signed.
    #[must_use]
    pub fn signed_text(size: u64, root: &str, time: Millis) -> String {
        format!("chartward record of accesses\nsize {size}\nroot {root}\ntime {time}\n")
    }

    /// Whether the key with this public point signed it.
    #[must_use]
    pub fn is_signed_by(&self, public: &[u8]) -> bool {
        let text = Self::signed_text(self.size, &self.root, self.time);
        let Some(signature) = decode_base64(&self.signature) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        key.verify(text.as_bytes(), &signature).is_ok()
    }
}

/// The private audit key.
pub struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    /// Reads the key from a PKCS#8 document.
    ///
    /// # Errors
    /// If the document has no such key.
    pub fn new(pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| format!("the audit key cannot be read: {error}"))?;
        Ok(Self { pair, random })
    }

    /// The public point, uncompressed.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs the root over `size` records.
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub fn sign(&self, size: u64, root: &Hash, time: Millis) -> Result<SignedRoot, SigningKeyError> {
        let root = hex(root);
        let text = SignedRoot::signed_text(size, &root, time);
        let signature =
            self.pair.sign(&self.random, text.as_bytes()).map_err(|_| "signing failed".to_owned())?;
        let key = key_name(self.public());
        Ok(SignedRoot { size, root, time, key, signature: encode_base64(signature.as_ref()) })
    }
}

/// The name of a public key: the first half of the SHA-256 of its point, in hexadecimal digits.
#[must_use]
pub fn key_name(public: &[u8]) -> String {
    let digest: Hash = Sha256::digest(public).into();
    hex(&digest).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::{SignedRoot, Signer};
    use crate::auth::Issuer;

    #[test]
    fn a_signature_holds_for_its_key_and_text_alone() {
        let signer = || Signer::new(&Issuer::generate_key().unwrap()).unwrap();
        let (ours, theirs) = (signer(), signer());
        let signed = ours.sign(7, &[3; 32], 1_000).unwrap();
        assert!(signed.is_signed_by(ours.public()));
        assert!(!signed.is_signed_by(theirs.public()));
        assert!(!SignedRoot { size: 8, ..signed.clone() }.is_signed_by(ours.public()));
        assert!(!SignedRoot { time: 1_001, ..signed.clone() }.is_signed_by(ours.public()));
        assert!(!SignedRoot { root: crate::model::hex(&[4; 32]), ..signed }.is_signed_by(ours.public()));
    }
}

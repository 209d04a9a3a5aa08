//! Texts that only this server can make and read: refresh tokens, and how far a user has come at its pages.
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{from_hex, hex};

use super::fields::OauthError;

/// A sealed text is no longer, in digits.
const DIGITS_MAX: usize = 64 * 1024;

/// Seals and opens.
pub(super) struct Sealer {
    key: [u8; 32],
}

impl Sealer {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.key).ok().map(LessSafeKey::new)
    }

    /// The sealed form, in hexadecimal digits. It opens under the same `sort` alone.
    pub(super) fn seal(&self, sort: &str, value: &impl Serialize) -> Result<String, OauthError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| OauthError::failed())?;
        let mut bytes = serde_json::to_vec(value).map_err(|_| OauthError::failed())?;
        self.cipher()
            .ok_or_else(OauthError::failed)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(sort), &mut bytes)
            .map_err(|_| OauthError::failed())?;
        Ok(hex(&[&nonce[..], &bytes].concat()))
    }

    /// What was sealed; `None` for everything else.
    pub(super) fn open<T: DeserializeOwned>(&self, sort: &str, text: &str) -> Option<T> {
        if text.len() > DIGITS_MAX {
            return None;
        }
        let mut bytes = from_hex(text)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<12>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.cipher()?.open_in_place(nonce, Aad::from(sort), sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

/// 32 random bytes in hexadecimal digits, to be guessed by nobody.
pub(super) fn secret_text() -> Result<String, OauthError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| OauthError::failed())?;
    Ok(hex(&bytes))
}

/// The name under which a secret is kept: who reads the store cannot use it.
pub(super) fn digest_text(secret: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::Sealer;

    #[test]
    fn only_what_was_sealed_opens_and_only_as_what_it_is() {
        let sealer = Sealer::new([1; 32]);
        let sealed = sealer.seal("state", &"text").unwrap();
        assert_eq!(sealer.open::<String>("state", &sealed).as_deref(), Some("text"));
        assert_eq!(sealer.open::<String>("refresh", &sealed), None);
        assert_eq!(Sealer::new([2; 32]).open::<String>("state", &sealed), None);
        let (start, last) = sealed.split_at(sealed.len() - 1);
        let other = if last == "0" { "1" } else { "0" };
        for wrong in ["", "zz", "00", start, &format!("{start}{other}"), &"0".repeat(70_000)] {
            assert_eq!(sealer.open::<String>("state", wrong), None, "{wrong}");
        }
    }
}

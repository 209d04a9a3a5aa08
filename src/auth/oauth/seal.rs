//! Texts that only this server can make and read: refresh tokens, and how far a user has come at its pages.
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{from_hex, hex};
use crate::store::random_bytes;

use super::super::sealer::Sealer;
use super::fields::OauthError;

/// The longest sealed text, in hexadecimal digits.
const DIGITS_MAX: usize = 64 * 1024;

/// Seals values as texts and opens them.
pub(super) struct TextSealer(Sealer);

impl TextSealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Sealer::new(key))
    }

    /// The encrypted value, in hexadecimal digits. It can only be opened with the same `sort`.
    pub(super) fn seal(&self, sort: &str, value: &impl Serialize) -> Result<String, OauthError> {
        let bytes = serde_json::to_vec(value).map_err(|_| OauthError::failed())?;
        self.0.seal(bytes, sort).map(|sealed| hex(&sealed)).ok_or_else(OauthError::failed)
    }

    /// The decrypted value; `None` if this server has not sealed the text for this `sort`.
    pub(super) fn open<T: DeserializeOwned>(&self, sort: &str, text: &str) -> Option<T> {
        if text.len() > DIGITS_MAX {
            return None;
        }
        serde_json::from_slice(&self.0.open(from_hex(text)?, sort)?).ok()
    }
}

/// 32 random bytes in hexadecimal digits, as a secret that cannot be guessed.
pub(super) fn secret_text() -> Result<String, OauthError> {
    let bytes = random_bytes::<32>().map_err(|_| OauthError::failed())?;
    Ok(hex(&bytes))
}

/// The key under which a secret is stored. Whoever reads the store cannot use it as the secret.
pub(super) fn digest_text(secret: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::TextSealer;

    #[test]
    fn only_what_was_sealed_opens_and_only_as_what_it_is() {
        let sealer = TextSealer::new(&[1; 32]);
        let sealed = sealer.seal("state", &"text").unwrap();
        assert_eq!(sealer.open::<String>("state", &sealed).as_deref(), Some("text"));
        assert_eq!(sealer.open::<String>("refresh", &sealed), None);
        assert_eq!(TextSealer::new(&[2; 32]).open::<String>("state", &sealed), None);
        let (start, last) = sealed.split_at(sealed.len() - 1);
        let other = if last == "0" { "1" } else { "0" };
        for wrong in ["", "zz", "00", start, &format!("{start}{other}"), &"0".repeat(70_000)] {
            assert_eq!(sealer.open::<String>("state", wrong), None, "{wrong}");
        }
    }
}

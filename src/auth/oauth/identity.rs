//! The keys of id tokens (OpenID Connect). They are RS256 keys, because SMART App Launch requires it, unlike the key of
//! access tokens. Generating an RSA key is slow, so keys are generated or read when first needed.
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rsa::PublicKeyComponents;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde::Serialize;
use serde_json::Value;

use super::super::issuer::id_of;
use super::super::jwk::rs256_jwk;
use super::super::signing_key::SigningKeyError;

/// The length of an RSA key, in bits.
const KEY_BITS: usize = 2048;

/// Returns the private key as PKCS#1, and the retired public keys as JSON Web Keys.
pub type IdentitySource = Box<dyn Fn() -> Result<(Vec<u8>, Vec<Value>), SigningKeyError> + Send + Sync>;

/// The keys of id tokens, cached after the first use.
pub struct IdentityKeys {
    source: IdentitySource,
    read: Mutex<Option<Arc<Read>>>,
}

struct Read {
    key_id: String,
    encoding: EncodingKey,
    jwks: Vec<Value>,
}

impl IdentityKeys {
    /// Keys from a source, which is read when they are first needed.
    #[must_use]
    pub fn new(source: IdentitySource) -> Self {
        Self { source, read: Mutex::default() }
    }

    /// Generates a private key, as PKCS#1.
    ///
    /// # Errors
    /// If key generation fails.
    pub fn generate_key() -> Result<Vec<u8>, SigningKeyError> {
        use getrandom::SysRng;
        use getrandom::rand_core::UnwrapErr;
        let key =
            rsa::PrivateKey::new(&mut UnwrapErr(SysRng), KEY_BITS).map_err(|error| error.to_string())?;
        let der = key.to_pkcs1_der().map_err(|error| error.to_string())?;
        Ok(der.as_bytes().to_vec())
    }

    /// Clears the cached keys, so that the next use reads them again.
    pub fn forget(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn read(&self) -> Result<Arc<Read>, SigningKeyError> {
        let mut kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*kept {
            return Ok(read.clone());
        }
        let (der, retired) = (self.source)()?;
        let pair = ring::rsa::KeyPair::from_der(&der)
            .map_err(|error| format!("the key of id tokens cannot be read: {error}"))?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let key_id = id_of(&public.n);
        let own = rs256_jwk(&key_id, &public.n, &public.e);
        let retired = retired.into_iter().filter(|jwk| jwk.get("kty") == own.get("kty"));
        let jwks = std::iter::once(own.clone()).chain(retired).collect();
        let read = Arc::new(Read { key_id, encoding: EncodingKey::from_rsa_der(&der), jwks });
        *kept = Some(read.clone());
        Ok(read)
    }

    /// Signs the claims of an id token.
    ///
    /// # Errors
    /// If there is no key; the text is for the log.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, SigningKeyError> {
        let read = self.read()?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(read.key_id.clone());
        jsonwebtoken::encode(&header, claims, &read.encoding).map_err(|error| error.to_string().into())
    }

    /// The public keys as JSON Web Keys, the signing key first.
    ///
    /// # Errors
    /// If there is no key; the text is for the log.
    pub fn jwks(&self) -> Result<Vec<Value>, SigningKeyError> {
        Ok(self.read()?.jwks.clone())
    }
}

impl Default for IdentityKeys {
    /// A key that is generated when first needed and never stored.
    fn default() -> Self {
        Self::new(Box::new(|| Ok((Self::generate_key()?, Vec::new()))))
    }
}

#[cfg(test)]
mod tests {
    use super::IdentityKeys;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::{Value, json};

    #[test]
    fn what_is_signed_is_verified_by_the_published_key() {
        let keys = IdentityKeys::default();
        let signed = keys.sign(&json!({"sub": "ann", "aud": "app", "exp": 4_000_000_000_i64})).unwrap();
        let jwk = &keys.jwks().unwrap()[0];
        let key =
            DecodingKey::from_rsa_components(jwk["n"].as_str().unwrap(), jwk["e"].as_str().unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&["app"]);
        let decoded = jsonwebtoken::decode::<Value>(&signed, &key, &rules).unwrap();
        assert_eq!(
            (decoded.claims["sub"].as_str(), decoded.header.kid.as_deref()),
            (Some("ann"), jwk["kid"].as_str())
        );
    }
}

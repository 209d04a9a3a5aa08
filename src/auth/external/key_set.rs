//! The public keys of an issuer (RFC 7517), and which one a token was signed with.
use std::str::FromStr as _;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::unverified_jwt::unambiguous;

/// How many keys a set may have.
const KEYS_MAX: usize = 64;

/// Keys that can verify.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

#[derive(Clone)]
struct PublicKey {
    id: Option<String>,
    /// What it may verify: by its type, and by what it says itself.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// Why no key is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is none of that id; a newer set may have it.
    Unknown,
    /// It is of another type than the token says.
    Mismatch,
    /// There are several.
    Ambiguous,
}

impl KeySet {
    /// Reads a JWK set. Keys that verify nothing here are passed over: of other types, secret, or for encryption.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let set = unambiguous(json).ok_or("the key set is no JSON object")?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("the key set has no keys")?;
        if keys.len() > KEYS_MAX {
            return Err(format!("the key set has more than {KEYS_MAX} keys"));
        }
        Ok(Self { keys: keys.iter().filter_map(PublicKey::of).collect() })
    }

    /// The one key of that id that is for the algorithm. Without an id there has to be just one for the algorithm.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&DecodingKey, KeyError> {
        let named: Vec<&PublicKey> =
            self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).collect();
        let mut fit = named.iter().filter(|key| key.algorithms.contains(&algorithm));
        match (fit.next(), fit.next()) {
            (Some(key), None) => Ok(&key.decoding),
            (Some(_), Some(_)) => Err(KeyError::Ambiguous),
            (None, _) if id.is_some() && !named.is_empty() => Err(KeyError::Mismatch),
            (None, _) => Err(KeyError::Unknown),
        }
    }
}

impl PublicKey {
    fn of(json: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let by_type: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => {
                &[Algorithm::RS256, Algorithm::RS384, Algorithm::PS256, Algorithm::PS384]
            }
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                EllipticCurve::P521 | EllipticCurve::Ed25519 => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) => match key.curve {
                EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
                EllipticCurve::P256 | EllipticCurve::P384 | EllipticCurve::P521 => return None,
            },
            AlgorithmParameters::OctetKey(_) => return None,
        };
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|is| *is == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return None;
        }
        let algorithms = match &common.key_algorithm {
            Some(named) => vec![Algorithm::from_str(&named.to_string()).ok()?],
            None => by_type.to_vec(),
        };
        let algorithms = algorithms.into_iter().filter(|algorithm| by_type.contains(algorithm)).collect();
        Some(Self { id: common.key_id.clone(), algorithms, decoding: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyError, KeySet};
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    #[test]
    fn one_key_by_id_and_type() {
        let rsa = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": "AQAB", "e": "AQAB"});
        let p256 = |kid: &str| json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": "AQAB", "y": "AQAB"});
        let keys = json!({"keys": [
            rsa("r"), p256("e"), rsa("twice"), rsa("twice"), p256("both"), rsa("both"),
            {"kty": "oct", "kid": "secret", "k": "AQAB"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": "AQAB", "e": "AQAB"},
            {"kty": "new", "kid": "new"},
        ]});
        let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
        let find = |id, algorithm| set.find(id, algorithm).map(|_| ());
        assert_eq!(find(Some("r"), Algorithm::RS256), Ok(()));
        assert_eq!(find(Some("both"), Algorithm::ES256), Ok(()));
        assert_eq!(find(Some("r"), Algorithm::ES256), Err(KeyError::Mismatch));
        assert_eq!(find(Some("ps"), Algorithm::RS256), Err(KeyError::Mismatch));
        assert_eq!(find(Some("twice"), Algorithm::RS256), Err(KeyError::Ambiguous));
        assert_eq!(find(None, Algorithm::RS256), Err(KeyError::Ambiguous));
        for id in ["secret", "enc", "new", "../../r", "r' or '1'='1", ""] {
            assert_eq!(find(Some(id), Algorithm::RS256), Err(KeyError::Unknown), "{id}");
        }
        assert!(KeySet::parse(b"{}").is_err());
        assert!(KeySet::parse(br#"{"keys":[],"keys":[]}"#).is_err());
    }
}

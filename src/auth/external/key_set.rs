//! JSON Web Key sets (RFC 7517) of issuers and clients, and which key of a set verifies a signature.
use std::str::FromStr as _;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::unverified_jwt::unambiguous;

/// The most keys of a set.
const KEYS_MAX: usize = 64;
/// The shortest RSA modulus that is accepted, in digits of base64url: 2048 bits.
const MODULUS_DIGITS_MIN: usize = 342;
/// The algorithms of client assertions (SMART App Launch 2.2, "Client Authentication: Asymmetric").
pub const CLIENT_ALGORITHMS: [Algorithm; 2] = [Algorithm::RS384, Algorithm::ES384];

/// Keys that can verify.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

#[derive(Clone)]
struct PublicKey {
    id: Option<String>,
    /// The algorithms that the key may verify, by its type and its `alg`.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key has the id; a newer set may have it.
    #[error("no key has the id")]
    Unknown,
    /// The key with that id is not for the token's algorithm.
    #[error("the key is for another algorithm")]
    Mismatch,
    /// Several keys fit.
    #[error("several keys fit")]
    Ambiguous,
}

/// Why a JWK set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the key set is no JSON object")]
    NotAnObject,
    #[error("the key set has no keys")]
    NoKeys,
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooManyKeys,
    #[error("the key set has a private key")]
    PrivateKey,
    #[error("the key set has no key with a kid for RS384 (RSA of 2048 bits or more) or ES384 (P-384)")]
    NoClientKey,
}

impl KeySet {
    /// Reads a JWK set. Keys that verify nothing here are passed over: of other types, too short, secret, or for encryption.
    ///
    /// # Errors
    /// Why the text is no JWK set.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        Self::of(&unambiguous(json).ok_or(KeySetError::NotAnObject)?)
    }

    fn of(set: &Value) -> Result<Self, KeySetError> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        if keys.len() > KEYS_MAX {
            return Err(KeySetError::TooManyKeys);
        }
        Ok(Self { keys: keys.iter().filter_map(PublicKey::of).collect() })
    }

    /// Reads the JWK set of a client: only keys with an id that are for `CLIENT_ALGORITHMS` are taken.
    ///
    /// # Errors
    /// If it is no key set, contains private keys, or has no key that can be used.
    pub fn of_client(jwks: &Value) -> Result<Self, KeySetError> {
        let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
        if keys.into_iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
            return Err(KeySetError::PrivateKey);
        }
        let mut set = Self::of(jwks)?;
        for key in &mut set.keys {
            key.algorithms.retain(|algorithm| CLIENT_ALGORITHMS.contains(algorithm));
        }
        set.keys
            .retain(|key| key.id.as_deref().is_some_and(|id| !id.is_empty()) && !key.algorithms.is_empty());
        if set.keys.is_empty() {
            return Err(KeySetError::NoClientKey);
        }
        Ok(set)
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
            AlgorithmParameters::RSA(key) if key.n.trim_end_matches('=').len() < MODULUS_DIGITS_MIN => {
                return None;
            }
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
    use crate::auth::jwk::base64_url;
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    #[test]
    fn one_key_by_id_and_type() {
        let modulus = base64_url(&[200; 256]);
        let rsa = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": modulus, "e": "AQAB"});
        let p256 = |kid: &str| json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": "AQAB", "y": "AQAB"});
        let keys = json!({"keys": [
            rsa("r"), p256("e"), rsa("twice"), rsa("twice"), p256("both"), rsa("both"),
            {"kty": "oct", "kid": "secret", "k": "AQAB"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": modulus, "e": "AQAB"},
            {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": modulus, "e": "AQAB"},
            {"kty": "RSA", "kid": "short", "n": base64_url(&[200; 128]), "e": "AQAB"},
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
        for id in ["secret", "enc", "new", "short", "../../r", "r' or '1'='1", ""] {
            assert_eq!(find(Some(id), Algorithm::RS256), Err(KeyError::Unknown), "{id}");
        }
        assert!(KeySet::parse(b"{}").is_err());
        assert!(KeySet::parse(br#"{"keys":[],"keys":[]}"#).is_err());
    }

    fn p384(kid: &str) -> Value {
        let part = base64_url(&[7; 48]);
        json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": part, "y": part})
    }

    #[test]
    fn exactly_one_key_of_a_client_fits() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": base64_url(&[200; 256]), "e": "AQAB"});
        let jwks = json!({"keys": [p384("a"), rsa, p384("b"), p384("b"), {"kty": "OKP", "kid": "c"}]});
        let keys = KeySet::of_client(&jwks).unwrap();
        let find = |id, algorithm| keys.find(Some(id), algorithm).map(|_| ());
        assert_eq!(find("a", Algorithm::ES384), Ok(()));
        assert_eq!(find("a", Algorithm::RS384), Ok(()));
        assert_eq!(find("a", Algorithm::RS256), Err(KeyError::Mismatch), "not an algorithm of clients");
        assert_eq!(find("b", Algorithm::RS384), Err(KeyError::Mismatch));
        assert_eq!(find("b", Algorithm::ES384), Err(KeyError::Ambiguous), "two have that id");
        assert_eq!(find("../a", Algorithm::ES384), Err(KeyError::Unknown));
    }

    #[test]
    fn client_keys_that_cannot_be_used_are_not_registered() {
        let with = |change: (&str, Value)| {
            let mut key = p384("a");
            key[change.0] = change.1;
            json!({"keys": [key]})
        };
        for jwks in [
            json!({}),
            json!({"keys": []}),
            with(("d", json!("x"))),
            with(("alg", json!("RS384"))),
            with(("use", json!("enc"))),
            with(("crv", json!("P-256"))),
            with(("kid", json!(""))),
            json!({"keys": [{"kty": "RSA", "kid": "a", "n": base64_url(&[200; 128]), "e": "AQAB"}]}),
            json!({"keys": vec![p384("a"); 65]}),
        ] {
            assert!(KeySet::of_client(&jwks).is_err(), "{jwks}");
        }
    }
}

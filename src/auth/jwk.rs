//! JSON Web Keys (RFC 7517): the public keys with which clients prove who they are, and how the own ones are shown.
use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};

use crate::model::{decode_base64_url, encode_base64_url_unpadded};

/// A key set has no more keys.
const KEYS_MAX: usize = 50;
/// The shortest modulus of RSA, in digits of base64url: 2048 bits.
const MODULUS_DIGITS_MIN: usize = 342;

/// A key that a client may sign assertions with.
pub(super) struct PublicKey {
    pub(super) key_id: String,
    /// The one algorithm that goes with it (SMART App Launch 2.2, "Client Authentication: Asymmetric").
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The keys of a set that can be used; other sorts of keys may stand beside them.
///
/// # Errors
/// If it is no key set, has private keys, or has none that can be used.
pub(super) fn read_keys(jwks: &Value) -> Result<Vec<PublicKey>, String> {
    let keys = jwks.get("keys").and_then(Value::as_array).ok_or("jwks has no `keys`")?;
    if keys.len() > KEYS_MAX {
        return Err(format!("jwks has more than {KEYS_MAX} keys"));
    }
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        return Err("jwks has a private key".to_owned());
    }
    let usable: Vec<PublicKey> = keys.iter().filter_map(read_key).collect();
    if usable.is_empty() {
        return Err(
            "jwks has no key with a kid for RS384 (RSA of 2048 bits or more) or ES384 (P-384)".to_owned()
        );
    }
    Ok(usable)
}

fn read_key(key: &Value) -> Option<PublicKey> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let (name, algorithm, decoding) = match text("kty")? {
        "RSA" => {
            let modulus = text("n").filter(|modulus| modulus.len() >= MODULUS_DIGITS_MIN)?;
            ("RS384", Algorithm::RS384, DecodingKey::from_rsa_components(modulus, text("e")?).ok()?)
        }
        "EC" if text("crv") == Some("P-384") => {
            ("ES384", Algorithm::ES384, DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
        }
        _ => return None,
    };
    let fits =
        text("alg").is_none_or(|alg| alg == name) && text("use").is_none_or(|purpose| purpose == "sig");
    let key_id = text("kid").filter(|kid| !kid.is_empty())?.to_owned();
    fits.then_some(PublicKey { key_id, algorithm, key: decoding })
}

/// The one key of that id and algorithm; `None` too where several have it.
pub(super) fn one_key<'k>(
    keys: &'k [PublicKey],
    key_id: &str,
    algorithm: Algorithm,
) -> Option<&'k PublicKey> {
    let mut fitting = keys.iter().filter(|key| key.key_id == key_id && key.algorithm == algorithm);
    let key = fitting.next()?;
    fitting.next().is_none().then_some(key)
}

/// Bytes in base64url without padding.
pub fn base64_url(bytes: &[u8]) -> String {
    encode_base64_url_unpadded(bytes)
}

/// A point of P-256, uncompressed, as a key of the own set.
pub(super) fn es256_jwk(key_id: &str, point: &[u8]) -> Option<Value> {
    let (x, y) = point.get(1..)?.split_at_checked(32)?;
    Some(json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id,
        "x": base64_url(x), "y": base64_url(y)
    }))
}

/// The point of such a key.
pub(super) fn es256_point(jwk: &Value) -> Option<Vec<u8>> {
    let part = |name: &str| decode_base64_url(jwk.get(name)?.as_str()?).filter(|bytes| bytes.len() == 32);
    let mut point = vec![4];
    point.extend(part("x")?);
    point.extend(part("y")?);
    Some(point)
}

/// A public key of RSA as a key of the own set.
pub(super) fn rs256_jwk(key_id: &str, modulus: &[u8], exponent: &[u8]) -> Value {
    json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id,
        "n": base64_url(modulus), "e": base64_url(exponent)
    })
}

#[cfg(test)]
mod tests {
    use super::{base64_url, es256_jwk, es256_point, one_key, read_keys};
    use crate::model::decode_base64_url;
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    fn ec(kid: &str) -> Value {
        let part = base64_url(&[7; 48]);
        json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": part, "y": part})
    }

    #[test]
    fn exactly_one_key_fits() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": base64_url(&[200; 256]), "e": "AQAB"});
        let jwks = json!({"keys": [ec("a"), rsa, ec("b"), ec("b"), {"kty": "OKP", "kid": "c"}]});
        let keys = read_keys(&jwks).unwrap();
        assert_eq!(keys.len(), 4);
        assert!(one_key(&keys, "a", Algorithm::ES384).is_some());
        assert!(one_key(&keys, "a", Algorithm::RS384).is_some());
        assert!(one_key(&keys, "b", Algorithm::RS384).is_none());
        assert!(one_key(&keys, "b", Algorithm::ES384).is_none(), "two have that id");
        assert!(one_key(&keys, "../a", Algorithm::ES384).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_not_registered() {
        let with = |change: (&str, Value)| {
            let mut key = ec("a");
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
            json!({"keys": vec![ec("a"); 51]}),
        ] {
            assert!(read_keys(&jwks).is_err(), "{jwks}");
        }
    }

    #[test]
    fn texts_and_points_are_read_back() {
        for bytes in [&b""[..], &[0xfb], &[0xfb, 0xff], &[1, 2, 3]] {
            assert_eq!(decode_base64_url(&base64_url(bytes)).unwrap(), bytes);
        }
        let mut point = vec![4];
        point.extend([9; 64]);
        assert_eq!(es256_point(&es256_jwk("k", &point).unwrap()), Some(point));
    }
}

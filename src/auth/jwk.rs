//! The server's own public keys as JSON Web Keys (RFC 7517).
use serde_json::{Value, json};

use crate::model::{decode_base64_url, encode_base64_url_unpadded};

/// Bytes in base64url without padding.
pub fn base64_url(bytes: &[u8]) -> String {
    encode_base64_url_unpadded(bytes)
}

/// An uncompressed P-256 point as a JSON Web Key for the server's key set.
pub(super) fn es256_jwk(key_id: &str, point: &[u8]) -> Option<Value> {
    let (x, y) = point.get(1..)?.split_at_checked(32)?;
    Some(json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id,
        "x": base64_url(x), "y": base64_url(y)
    }))
}

/// The uncompressed P-256 point of a JSON Web Key; `None` for other keys.
pub(super) fn es256_point(jwk: &Value) -> Option<Vec<u8>> {
    let part = |name: &str| decode_base64_url(jwk.get(name)?.as_str()?).filter(|bytes| bytes.len() == 32);
    let mut point = vec![4];
    point.extend(part("x")?);
    point.extend(part("y")?);
    Some(point)
}

/// An RSA public key as a JSON Web Key for the server's key set.
pub(super) fn rs256_jwk(key_id: &str, modulus: &[u8], exponent: &[u8]) -> Value {
    json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id,
        "n": base64_url(modulus), "e": base64_url(exponent)
    })
}

#[cfg(test)]
mod tests {
    use super::{base64_url, es256_jwk, es256_point};
    use crate::model::decode_base64_url;

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

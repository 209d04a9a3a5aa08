//! A parsed but unverified JWT. It may only be used to choose the keys that verify it.
use std::collections::HashSet;

use serde_json::Value;

use crate::auth::issuer::{TOKEN_BYTES_MAX, TokenError};
use crate::model::decode_base64_url;
use crate::model::{JsonKind, parse};

/// The header and the claims, both unverified.
#[derive(Debug)]
pub(super) struct UnverifiedJwt {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl UnverifiedJwt {
    /// Parses a JWT in compact serialization (RFC 7515 section 3.1).
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub(super) fn of(token: &str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        Ok(Self { header: object(header)?, claims: object(claims)? })
    }

    /// A string member of the header; `None` if it is missing or no string.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }
}

/// Whether a token looks like a JWT; all other tokens are opaque.
pub(super) fn is_signed(token: &str) -> bool {
    token.starts_with("eyJ") && token.matches('.').count() == 2
}

fn object(part: &str) -> Result<Value, TokenError> {
    let bytes = decode_base64_url(part).ok_or(TokenError::Malformed)?;
    unambiguous(&bytes).ok_or(TokenError::Malformed)
}

/// A JSON object without duplicate names, because parsers differ in which duplicate they use (RFC 7519 section 4).
pub(super) fn unambiguous(bytes: &[u8]) -> Option<Value> {
    let tree = parse(bytes.to_vec()).ok()?;
    for node in tree.root().subtree().filter(|node| node.kind() == JsonKind::Object) {
        let mut seen = HashSet::new();
        if !node.children().all(|child| seen.insert(child.key().to_owned())) {
            return None;
        }
    }
    serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object)
}

/// A NumericDate in seconds since 1970; a fraction is cut off.
pub(super) fn seconds(value: Option<&Value>) -> Option<i64> {
    let Value::Number(number) = value? else { return None };
    let text = number.to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.split('.').next().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{is_signed, seconds, unambiguous};
    use serde_json::json;

    #[test]
    fn a_name_stands_once() {
        assert!(unambiguous(br#"{"a":1,"b":{"a":2}}"#).is_some());
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":{"a":1,"a":2}}"#, "[]", "1", "{"] {
            assert!(unambiguous(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn dates_are_numbers_of_seconds() {
        assert_eq!(seconds(Some(&json!(12))), Some(12));
        let fraction: serde_json::Value = serde_json::from_str("12.75").unwrap();
        assert_eq!(seconds(Some(&fraction)), Some(12));
        for bad in ["\"12\"", "-1", "1e9", "null"] {
            assert_eq!(seconds(Some(&serde_json::from_str(bad).unwrap())), None, "{bad}");
        }
        assert!(is_signed("eyJh.b.c") && !is_signed("abc") && !is_signed("eyJh.b.c.d.e"));
    }
}

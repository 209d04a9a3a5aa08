//! Bytes as text: hexadecimal digits and base64 (RFC 4648).
use std::sync::LazyLock;

use data_encoding::{
    BASE64, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE, Specification,
};

/// A decoder for base64 with padding, without it, or with padding inside, as in concatenated parts (RFC 4648 sections 4 and 5).
fn lenient(symbols: &Encoding) -> Encoding {
    let mut specification = Specification::new();
    symbols.specification().symbols.clone_into(&mut specification.symbols);
    "=".clone_into(&mut specification.ignore);
    specification.check_trailing_bits = false;
    // The library's own symbols always make a valid specification, so the fallback is never used.
    specification.encoding().unwrap_or_else(|_| symbols.clone())
}

/// Hexadecimal, two lower-case digits per byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Decodes hexadecimal digits of either case; `None` for other characters or an odd number of digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Base64 with padding (RFC 4648 section 4).
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 in the URL-safe alphabet, with padding (RFC 4648 section 5).
#[must_use]
pub fn encode_base64_url(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

/// Base64 in the URL-safe alphabet, without padding, as JSON Web Keys and tokens use it (RFC 7515 section 2).
#[must_use]
pub fn encode_base64_url_unpadded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// Decodes base64 with or without padding; `None` if the text is not base64.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    static STANDARD: LazyLock<Encoding> = LazyLock::new(|| lenient(&BASE64));
    STANDARD.decode(text.as_bytes()).ok()
}

/// Decodes base64 in the URL-safe alphabet, with or without padding; `None` if the text is not base64.
#[must_use]
pub fn decode_base64_url(text: &str) -> Option<Vec<u8>> {
    static URL: LazyLock<Encoding> = LazyLock::new(|| lenient(&BASE64URL));
    URL.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode_base64, decode_base64_url, encode_base64, encode_base64_url, from_hex, hex};

    #[test]
    fn bytes_come_back_from_their_texts() {
        for len in 0..70_u8 {
            let bytes: Vec<u8> = (0..len).map(|number| number.wrapping_mul(151) ^ 0xa5).collect();
            assert_eq!(from_hex(&hex(&bytes)).as_ref(), Some(&bytes));
            let (standard, url) = (encode_base64(&bytes), encode_base64_url(&bytes));
            for text in [standard.as_str(), standard.trim_end_matches('=')] {
                assert_eq!(decode_base64(text).as_ref(), Some(&bytes), "{text}");
            }
            for text in [url.as_str(), url.trim_end_matches('=')] {
                assert_eq!(decode_base64_url(text).as_ref(), Some(&bytes), "{text}");
            }
        }
    }

    #[test]
    fn the_alphabets_differ_and_nothing_else_is_read() {
        let bytes = [0xfb, 0xff, 0xfe];
        assert_eq!((encode_base64(&bytes), encode_base64_url(&bytes)), ("+//+".into(), "-__-".into()));
        assert_eq!(hex(&bytes), "fbfffe");
        assert_eq!(from_hex("FBfffE"), Some(bytes.to_vec()));
        for text in ["-__-", "+/ /+", "+//+\n", "+"] {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
        assert_eq!(decode_base64_url("+//+"), None);
        for text in ["f", "fg", "0x", " ff"] {
            assert_eq!(from_hex(text), None, "{text:?}");
        }
        // Unused bits of the last digit may be set, because other encoders write them.
        assert_eq!(decode_base64("QR"), Some(b"A".to_vec()));
    }
}

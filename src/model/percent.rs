//! Percent-encoding (RFC 3986 section 2.1) of query strings and forms.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Splits a query string or form into decoded pairs.
#[must_use]
pub fn decode_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Decodes percent-encoding, and plus signs as spaces.
#[must_use]
pub fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The characters of a query parameter that are encoded: all but those that never have a meaning in it.
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b',')
    .remove(b'/');

/// Percent-encodes the name or value of a query parameter.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_pairs, encode};

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["a b+c", "http://x|y&z=1", "50%", "\u{e4}"] {
            assert_eq!(decode(&encode(text)), text);
        }
        // A sign is no hexadecimal digit, and what is no encoding stays as it is.
        assert_eq!(
            (decode("%+1"), decode("%4"), decode("%zz")),
            ("% 1".to_owned(), "%4".to_owned(), "%zz".to_owned())
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(decode_pairs("a=1%7C2&b&&c=x+y"), [pair("a", "1|2"), pair("b", ""), pair("c", "x y")]);
    }
}

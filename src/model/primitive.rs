//! Checks the text of primitive values against the grammar of their type (R4 datatypes.html). Hand-written for speed, because
//! the checks run on every value of every resource.
use super::id::ResourceId;
use super::instant::{Precision, Temporal};
use super::tree::JsonKind;

/// Why a value does not fit its primitive type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrimitiveFault {
    /// The JSON value is of the wrong kind, such as a number instead of a string; names the required kind.
    #[error("the value is not {0}")]
    Kind(&'static str),
    /// The text does not follow the grammar of the type.
    #[error("the value does not follow the grammar of its type")]
    Grammar,
    #[error("the value is empty")]
    Empty,
    #[error("the value is too long")]
    TooLong,
}

/// The longest string that the standard permits (R4 datatypes.html#string), in bytes.
const STRING_LEN_MAX: usize = 1024 * 1024;

/// Checks a value of the named primitive type.
///
/// # Errors
/// The first [`PrimitiveFault`] found.
pub fn check_primitive(type_name: &str, kind: JsonKind, text: &str) -> Result<(), PrimitiveFault> {
    let (wanted, says) = match type_name {
        "boolean" => (JsonKind::Bool, "a boolean"),
        "integer" | "unsignedInt" | "positiveInt" | "decimal" => (JsonKind::Number, "a number"),
        _ => (JsonKind::String, "a string"),
    };
    if kind != wanted {
        return Err(PrimitiveFault::Kind(says));
    }
    if text.is_empty() {
        return Err(PrimitiveFault::Empty);
    }
    if !text.chars().all(is_xml_char) {
        return Err(PrimitiveFault::Grammar);
    }
    let is_long = text.len() > STRING_LEN_MAX;
    if is_long && !matches!(type_name, "base64Binary" | "xhtml") {
        return Err(PrimitiveFault::TooLong);
    }
    let fits = match type_name {
        "integer" => is_integer(text) && text.parse::<i32>().is_ok(),
        "unsignedInt" => is_integer(text) && text.parse::<i32>().is_ok_and(|number| number >= 0),
        "positiveInt" => is_integer(text) && text.parse::<i32>().is_ok_and(|number| number > 0),
        "string" | "markdown" => text.contains(|letter: char| !letter.is_whitespace()),
        "code" => is_code(text),
        "id" => ResourceId::parse(text).is_some(),
        "uri" | "url" | "canonical" => !text.chars().any(char::is_whitespace),
        "oid" => is_oid(text),
        "uuid" => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
        "date" => {
            Temporal::parse(text).is_some_and(|date| date.precision <= Precision::Day) && !text.contains('T')
        }
        "dateTime" => Temporal::parse(text).is_some_and(|date| is_date_time(&date, text)),
        "instant" => Temporal::parse(text)
            .is_some_and(|date| date.precision >= Precision::Second && date.offset.is_some()),
        "time" => Temporal::parse_time(text).is_some_and(|time| time.precision >= Precision::Second),
        "base64Binary" => is_base64(text),
        // boolean and decimal are fully checked by the JSON grammar, and the narrative (xhtml) is validated separately.
        _ => true,
    };
    if fits { Ok(()) } else { Err(PrimitiveFault::Grammar) }
}

/// R4 datatypes.html#dateTime: with a time, seconds and a zone are required.
fn is_date_time(date: &Temporal, text: &str) -> bool {
    match date.precision {
        Precision::Year | Precision::Month | Precision::Day => !text.contains('T'),
        Precision::Hour | Precision::Minute => false,
        Precision::Second | Precision::Millisecond => date.offset.is_some(),
    }
}

/// The JSON parser has already refused leading zeros and plus signs.
fn is_integer(text: &str) -> bool {
    text != "-0" && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Whether XML 1.0 permits the character (section 2.2); other characters could not be returned in both formats.
#[must_use]
pub fn is_xml_char(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// `[^\s]+(\s[^\s]+)*`: single white space inside, none at either end.
fn is_code(text: &str) -> bool {
    !text.split(char::is_whitespace).any(str::is_empty)
}

fn is_oid(text: &str) -> bool {
    let Some(arcs) = text.strip_prefix("urn:oid:") else { return false };
    let mut arcs = arcs.split('.');
    let first = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let mut count = 0_usize;
    let rest = arcs.all(|arc| {
        count += 1;
        arc == "0"
            || (!arc.is_empty() && !arc.starts_with('0') && arc.bytes().all(|byte| byte.is_ascii_digit()))
    });
    first && rest && count > 0
}

fn is_uuid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut groups = text.split('-');
    // CHOICE: RFC 4122 also accepts upper case, and real data contains it, although R4's regex refuses it.
    GROUPS.iter().all(|len| {
        groups
            .next()
            .is_some_and(|group| group.len() == *len && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }) && groups.next().is_none()
}

fn is_base64(text: &str) -> bool {
    let mut digits = 0_usize;
    let mut padding = 0_usize;
    for byte in text.bytes() {
        match byte {
            b' ' | b'\r' | b'\n' | b'\t' => {}
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return false,
        }
    }
    padding <= 2 && (digits + padding).is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::check_primitive;
    use crate::model::JsonKind;

    fn check(type_name: &str, good: &[&str], bad: &[&str]) {
        let kind = match type_name {
            "boolean" => JsonKind::Bool,
            "integer" | "unsignedInt" | "positiveInt" | "decimal" => JsonKind::Number,
            _ => JsonKind::String,
        };
        for text in good {
            assert_eq!(check_primitive(type_name, kind, text), Ok(()), "{type_name} `{text}`");
        }
        for text in bad {
            assert!(check_primitive(type_name, kind, text).is_err(), "{type_name} `{text}`");
        }
    }

    #[test]
    fn values_follow_the_grammar_of_their_type() {
        check("integer", &["0", "-2147483648", "2147483647"], &["10000000000", "1.0", "1e3", "-0"]);
        check("positiveInt", &["1"], &["0", "-1"]);
        check("unsignedInt", &["0"], &["-1"]);
        check("code", &["a", "a b"], &["", " a", "a ", "a  b"]);
        check("id", &["A-1.b"], &["a_b", "", &"x".repeat(65)]);
        check("uri", &["urn:x", "a"], &["a b", ""]);
        check("oid", &["urn:oid:1.2.0"], &["1.2", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"]);
        check("uuid", &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"], &["c757873d", "urn:uuid:c757873d"]);
        check("date", &["2020", "2020-02-29"], &["2020-02-30", "2020-01-01T10:00:00Z", "20"]);
        check(
            "dateTime",
            &["2020-01", "2020-01-01T10:00:00Z"],
            &["2020-01-01T10:00Z", "2020-01-01T10:00:00"],
        );
        check("instant", &["2020-01-01T10:00:00.123+01:00"], &["2020-01-01", "2020-01-01T10:00:00"]);
        check("time", &["10:00:00", "10:00:00.5"], &["24:00:00", "10:00", "10:00:00Z"]);
        check("base64Binary", &["AAAA", "AA==", "AA AA"], &["A", "A===", "*"]);
        check("string", &["a b\n"], &["", "a\u{1}"]);
    }

    #[test]
    fn a_value_of_the_wrong_json_sort_is_refused() {
        assert!(check_primitive("boolean", JsonKind::String, "true").is_err());
        assert!(check_primitive("decimal", JsonKind::String, "1.0").is_err());
        assert!(check_primitive("string", JsonKind::Number, "1").is_err());
    }
}

//! A filter as ranges of index entries, and the checks that a range alone does not make (R4 search.html, the meaning of
//! each parameter type).
use crate::definitions::ParamType;
use crate::model::{Interval, Reference, ReferenceTarget, Temporal};

use super::entry::{Form, IMPLIED_SYSTEM, push_open_text, push_text, push_time, time_of};
use super::fold::fold;
use super::params::Param;

/// The entries from `start` up to, not including, `end` (bytes of the value), that pass the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub param: u32,
    pub start: Vec<u8>,
    pub end: Vec<u8>,
    pub check: Check,
}

/// What is asked of an entry of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    None,
    /// The second time of a date entry is not after this.
    SecondTimeAtMost(i64),
    SecondTimeAfter(i64),
    /// The folded text holds this anywhere.
    Holds(Vec<u8>),
    /// The value ends with this text.
    EndsWith(Vec<u8>),
}

impl Matcher {
    /// Whether an entry is meant.
    #[must_use]
    pub fn finds(&self, entry: &super::entry::Entry) -> bool {
        entry.param == self.param
            && self.start <= entry.value
            && entry.value < self.end
            && self.accepts(&entry.value)
    }

    /// Whether an entry of the range (the bytes of its value) is meant.
    #[must_use]
    pub fn accepts(&self, value: &[u8]) -> bool {
        let second_time = || value.get(9..).and_then(time_of);
        match &self.check {
            Check::None => true,
            Check::SecondTimeAtMost(limit) => second_time().is_some_and(|time| time <= *limit),
            Check::SecondTimeAfter(limit) => second_time().is_some_and(|time| time > *limit),
            Check::Holds(part) => {
                let text = value.windows(2).position(|pair| pair == [0, 0]).and_then(|end| value.get(1..end));
                text.is_some_and(|text| {
                    text.windows(part.len().max(1)).any(|window| window == part.as_slice())
                })
            }
            Check::EndsWith(end) => value.ends_with(end),
        }
    }
}

/// Resources that have an entry of any of the matchers; or, negated, all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub negated: bool,
    pub any_of: Vec<Matcher>,
}

/// A parameter with its modifier and its values, which are alternatives.
#[derive(Clone, Debug)]
pub struct Term {
    pub param: &'static Param,
    pub modifier: Option<String>,
    pub values: Vec<String>,
}

/// Prefixes of ordered values (R4 search.html#prefix).
const PREFIXES: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];

/// The modifiers that a parameter type has here.
#[must_use]
pub fn modifiers(kind: ParamType) -> &'static [&'static str] {
    match kind {
        ParamType::Token => &["missing", "not"],
        ParamType::String => &["missing", "exact", "contains"],
        ParamType::Reference => &["missing", "identifier"],
        ParamType::Uri => &["missing", "below"],
        ParamType::Date => &["missing"],
        ParamType::Number | ParamType::Quantity | ParamType::Composite | ParamType::Special => &[],
    }
}

/// What a term asks of the index.
///
/// # Errors
/// What is wrong with a value or the modifier, in words.
pub fn conditions(term: &Term) -> Result<Condition, String> {
    let modifier = term.modifier.as_deref();
    if modifier == Some("missing") {
        let [value] = term.values.as_slice() else { return Err("`:missing` takes true or false".to_owned()) };
        let negated = match value.as_str() {
            "true" => true,
            "false" => false,
            _ => return Err("`:missing` takes true or false".to_owned()),
        };
        return Ok(Condition {
            negated,
            any_of: vec![of_prefix(term.param, vec![Form::Present.byte()], Check::None)],
        });
    }
    let mut any_of = Vec::new();
    for value in &term.values {
        match term.param.kind {
            ParamType::Token => token(term.param, value, &mut any_of),
            ParamType::String => string(term.param, modifier, value, &mut any_of),
            ParamType::Reference => reference(term.param, modifier, value, &mut any_of)?,
            ParamType::Uri => uri(term.param, modifier, value, &mut any_of),
            ParamType::Date => date(term.param, value, &mut any_of)?,
            ParamType::Number | ParamType::Quantity | ParamType::Composite | ParamType::Special => {
                return Err("parameters of this type are not served".to_owned());
            }
        }
    }
    Ok(Condition { negated: modifier == Some("not"), any_of })
}

/// All entries whose value begins with these bytes.
fn of_prefix(param: &Param, prefix: Vec<u8>, check: Check) -> Matcher {
    let mut end = prefix.clone();
    // INVARIANT: a prefix begins with the byte of a form, which is never 255.
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Matcher { param: param.id, start: prefix, end, check }
}

fn begin(form: Form) -> Vec<u8> {
    vec![form.byte()]
}

/// R4 search.html#token: `code`, `system|code`, `|code` (no system), `system|`.
fn token(param: &Param, value: &str, out: &mut Vec<Matcher>) {
    let (system, code) = match split_escaped(value, '|') {
        Some((system, code)) => (Some(unescape(system)), unescape(code)),
        None => (None, unescape(value)),
    };
    if let (Some(system), true) = (&system, code.is_empty()) {
        let mut prefix = begin(Form::Second);
        push_text(&mut prefix, system.as_bytes());
        return out.push(of_prefix(param, prefix, Check::None));
    }
    let mut prefix = begin(Form::Value);
    push_text(&mut prefix, code.as_bytes());
    let Some(system) = system else { return out.push(of_prefix(param, prefix, Check::None)) };
    let mut exact = prefix.clone();
    push_text(&mut exact, system.as_bytes());
    out.push(of_prefix(param, exact, Check::None));
    if !system.is_empty() {
        push_text(&mut prefix, IMPLIED_SYSTEM);
        out.push(of_prefix(param, prefix, Check::None));
    }
}

fn string(param: &Param, modifier: Option<&str>, value: &str, out: &mut Vec<Matcher>) {
    let value = unescape(value);
    let mut prefix = begin(Form::Value);
    match modifier {
        Some("exact") => {
            push_text(&mut prefix, fold(&value).as_bytes());
            push_text(&mut prefix, value.as_bytes());
            out.push(of_prefix(param, prefix, Check::None));
        }
        Some("contains") => out.push(of_prefix(param, prefix, Check::Holds(fold(&value).into_bytes()))),
        _ => {
            push_open_text(&mut prefix, fold(&value).as_bytes());
            out.push(of_prefix(param, prefix, Check::None));
        }
    }
}

fn reference(
    param: &Param,
    modifier: Option<&str>,
    value: &str,
    out: &mut Vec<Matcher>,
) -> Result<(), String> {
    if modifier == Some("identifier") {
        let (system, code) =
            split_escaped(value, '|').map_or((None, value), |(system, code)| (Some(system), code));
        let mut prefix = begin(Form::Identifier);
        push_text(&mut prefix, unescape(code).as_bytes());
        if let Some(system) = system {
            push_text(&mut prefix, unescape(system).as_bytes());
        }
        out.push(of_prefix(param, prefix, Check::None));
        return Ok(());
    }
    let value = unescape(value);
    let parsed = Reference::parse(&value);
    let (id, types) = match (&parsed.target, modifier) {
        (ReferenceTarget::Relative(key), None) => (key.id.as_str().to_owned(), vec![key.type_name]),
        (ReferenceTarget::Relative(key), Some(named)) if key.type_name == named => {
            (key.id.as_str().to_owned(), vec![key.type_name])
        }
        (ReferenceTarget::Relative(_), Some(_)) => return Ok(()),
        (ReferenceTarget::Other(_), named) if !value.contains([':', '/']) => {
            (value.clone(), named.map_or_else(|| param.targets.clone(), |named| vec![named]))
        }
        _ => {
            let mut prefix = begin(Form::Second);
            push_text(&mut prefix, value.as_bytes());
            out.push(of_prefix(param, prefix, Check::None));
            return Ok(());
        }
    };
    let mut prefix = begin(Form::Value);
    push_text(&mut prefix, id.as_bytes());
    for type_name in types {
        let mut exact = prefix.clone();
        push_text(&mut exact, type_name.as_bytes());
        out.push(of_prefix(param, exact, Check::None));
    }
    Ok(())
}

fn uri(param: &Param, modifier: Option<&str>, value: &str, out: &mut Vec<Matcher>) {
    let mut prefix = begin(Form::Value);
    if modifier == Some("below") {
        push_open_text(&mut prefix, unescape(value).as_bytes());
    } else {
        push_text(&mut prefix, unescape(value).as_bytes());
    }
    out.push(of_prefix(param, prefix, Check::None));
}

/// Splits the prefix off an ordered value.
#[must_use]
pub fn prefixed(value: &str) -> (&str, &str) {
    match value.split_at_checked(2) {
        Some((prefix, rest)) if PREFIXES.contains(&prefix) => (prefix, rest),
        _ => ("eq", value),
    }
}

/// The interval that the value of a date parameter stands for.
///
/// # Errors
/// If it is no date.
pub fn date_interval(value: &str) -> Result<Interval, String> {
    // A plus sign that nobody encoded arrives as a space.
    let text = value.replace(' ', "+");
    Temporal::parse(&text).map(|date| date.interval()).ok_or_else(|| format!("`{value}` is no date"))
}

fn date(param: &Param, value: &str, out: &mut Vec<Matcher>) -> Result<(), String> {
    let (prefix, text) = prefixed(value);
    let asked = date_interval(text)?;
    let by = |form: Form, from: i64, to: i64, check: Check| {
        let (mut start, mut end) = (begin(form), begin(form));
        push_time(&mut start, from);
        push_time(&mut end, to);
        Matcher { param: param.id, start, end, check }
    };
    let inside = || by(Form::Value, asked.start, asked.end, Check::SecondTimeAtMost(asked.end));
    let (first, last) = (i64::MIN, i64::MAX);
    // The open end of a period without one is the last instant of all; ranges must take it in.
    let to_the_end = |form: Form, from: i64, check: Check| {
        let mut matcher = by(form, from, last, check);
        matcher.end = vec![form.byte() + 1];
        matcher
    };
    match prefix {
        "eq" => out.push(inside()),
        "ne" => {
            out.push(by(Form::Value, first, asked.start, Check::None));
            out.push(by(Form::Value, asked.start, asked.end, Check::SecondTimeAfter(asked.end)));
            out.push(to_the_end(Form::Value, asked.end, Check::None));
        }
        "gt" => out.push(to_the_end(Form::Second, asked.end.saturating_add(1), Check::None)),
        "lt" => out.push(by(Form::Value, first, asked.start, Check::None)),
        "ge" => {
            out.push(to_the_end(Form::Second, asked.end.saturating_add(1), Check::None));
            out.push(inside());
        }
        "le" => {
            out.push(by(Form::Value, first, asked.start, Check::None));
            out.push(inside());
        }
        "sa" => out.push(to_the_end(Form::Value, asked.end, Check::None)),
        "eb" => out.push(by(Form::Second, first, asked.start.saturating_add(1), Check::None)),
        _ => {
            // R4 search.html#prefix: approximately, here a tenth of the distance to the value's own length around it.
            let margin = (asked.end - asked.start).max(86_400_000);
            let (from, to) = (asked.start - margin, asked.end + margin);
            out.push(by(Form::Value, first, to, Check::SecondTimeAfter(from)));
        }
    }
    Ok(())
}

/// Splits at the first separator that no backslash escapes.
#[must_use]
pub fn split_escaped(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if letter == separator && !escaped {
            return text.get(..at).zip(text.get(at + separator.len_utf8()..));
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

/// The alternatives of a value: split at the commas that no backslash escapes, empty ones left out.
#[must_use]
pub fn alternatives(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((value, after)) = split_escaped(rest, ',') {
        found.push(value.to_owned());
        rest = after;
    }
    found.push(rest.to_owned());
    found.retain(|value| !value.is_empty());
    found
}

/// Resolves `\,` `\|` `\$` and `\\` (R4 search.html#escaping).
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next @ (',' | '|' | '$' | '\\')) if letter == '\\' => {
                out.push(*next);
                letters.next();
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Term, alternatives, conditions, split_escaped, unescape};
    use crate::definitions::r4;
    use crate::model::parse;
    use crate::search::{entries, search_params};

    /// Whether a resource of the type is found by the parameter, computed from its entries alone.
    fn found(json: &str, param: &str, modifier: Option<&str>, value: &str) -> bool {
        let tree = parse(json.as_bytes().to_vec()).unwrap();
        let def = r4().resource(tree.root().str_at("resourceType").unwrap()).unwrap();
        let param = search_params().find(def, param).unwrap();
        let term = Term { param, modifier: modifier.map(str::to_owned), values: alternatives(value) };
        let condition = conditions(&term).unwrap();
        let hit = entries(tree.root()).iter().any(|entry| {
            condition.any_of.iter().any(|matcher| {
                entry.param == matcher.param
                    && matcher.start <= entry.value
                    && entry.value < matcher.end
                    && matcher.accepts(&entry.value)
            })
        });
        hit != condition.negated
    }

    #[test]
    fn tokens_match_with_and_without_system() {
        let json = r#"{"resourceType":"Condition","code":{"coding":[{"system":"http://s","code":"a|b"},{"code":"plain"}]},"subject":{"reference":"Patient/1"}}"#;
        for (value, expected) in [
            ("a\\|b", true),
            ("http://s|a\\|b", true),
            ("|a\\|b", false),
            ("http://s|", true),
            ("http://t|", false),
            ("plain", true),
            ("|plain", true),
            ("x,plain", true),
            ("x", false),
            ("plai", false),
        ] {
            assert_eq!(found(json, "code", None, value), expected, "{value}");
        }
        assert!(found(json, "code", Some("not"), "x"));
        assert!(!found(json, "code", Some("not"), "plain"));
        assert!(found(json, "severity", Some("missing"), "true"));
        let patient = r#"{"resourceType":"Patient","gender":"male","active":true}"#;
        assert!(found(patient, "gender", None, "http://hl7.org/fhir/administrative-gender|male"));
        assert!(found(patient, "active", None, "true"));
    }

    #[test]
    fn strings_match_folded_from_the_start() {
        let json = r#"{"resourceType":"Patient","name":[{"family":"Van der Müll","given":["Ann"]}]}"#;
        assert!(found(json, "family", None, "van DER mull"));
        assert!(!found(json, "family", None, "mull"));
        assert!(found(json, "family", Some("contains"), "MUL"));
        assert!(!found(json, "family", Some("contains"), "xx"));
        assert!(found(json, "family", Some("exact"), "Van der Müll"));
        assert!(!found(json, "family", Some("exact"), "van der Müll"));
        assert!(found(json, "name", None, "ann"));
    }

    #[test]
    fn references_match_by_id_type_and_url() {
        let json = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1","identifier":{"system":"s","value":"v"}},"performer":[{"reference":"http://x/Practitioner/9"}]}"#;
        assert!(found(json, "subject", None, "Patient/1"));
        assert!(found(json, "patient", None, "1"));
        assert!(!found(json, "subject", None, "Group/1"));
        assert!(found(json, "subject", Some("Patient"), "1"));
        assert!(!found(json, "subject", Some("Group"), "1"));
        assert!(found(json, "performer", None, "http://x/Practitioner/9"));
        assert!(found(json, "subject", Some("identifier"), "s|v"));
        assert!(!found(json, "subject", Some("identifier"), "t|v"));
    }

    #[test]
    fn dates_are_intervals() {
        let json = r#"{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"period":{"start":"2020-03-10","end":"2020-03-12"}}"#;
        for (value, expected) in [
            ("2020", true),
            ("2020-03", true),
            ("2020-03-10", false),
            ("ge2020-03-11", true),
            ("gt2020-03-12", false),
            ("gt2020-03-11", true),
            ("lt2020-03-11", true),
            ("lt2020-03-10", false),
            ("le2020-03-09", false),
            ("sa2020-03-09", true),
            ("sa2020-03-10", false),
            ("eb2020-03-13", true),
            ("eb2020-03-12", false),
            ("ne2020", false),
            ("ne2020-03-10", true),
            ("ap2020-03-13", true),
            ("ap2020-06", false),
        ] {
            assert_eq!(found(json, "date", None, value), expected, "{value}");
        }
        let open = r#"{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"},"period":{"start":"2020-03-10"}}"#;
        assert!(found(open, "date", None, "gt2030"));
        assert!(!found(open, "date", None, "2020"));
    }

    #[test]
    fn escapes_are_honoured() {
        assert_eq!(alternatives("a,b\\,c,,d"), ["a", "b\\,c", "d"]);
        assert_eq!(unescape("b\\,c\\\\"), "b,c\\");
        assert_eq!(split_escaped("a\\|b|c", '|'), Some(("a\\|b", "c")));
    }
}

//! Functions over strings.
use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::fhirpath::operators::single_string;
use crate::fhirpath::value::Value;
use crate::model::{decode_base64, decode_base64_url, encode_base64, encode_base64_url, from_hex, hex};

use super::super::evaluator::{Evaluated, EvaluationError};
use super::call::{Answer, Call};
use super::pattern::Pattern;

/// The longest source text of a pattern, in bytes.
const PATTERN_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Size limits of a compiled pattern, in bytes, each with the steps per byte of a matched text, because matching may visit the
/// whole pattern for each byte.
const PATTERN_SIZES: [(usize, usize); 3] = [(16 * 1024, 1), (64 * 1024, 4), (256 * 1024, 16)];
/// The steps for compiling a pattern: a fixed number, and a number for each byte of its source text.
const COMPILE_STEPS: usize = 1_000;
const COMPILE_BYTE_STEPS: usize = 16;

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    if !matches!(
        call.name,
        "indexOf"
            | "lastIndexOf"
            | "substring"
            | "startsWith"
            | "endsWith"
            | "contains"
            | "upper"
            | "lower"
            | "replace"
            | "matches"
            | "matchesFull"
            | "replaceMatches"
            | "length"
            | "toChars"
            | "trim"
            | "split"
            | "encode"
            | "decode"
            | "escape"
            | "unescape"
            | "join"
    ) {
        return None;
    }
    Some(if call.name == "join" { join(call) } else { on_string(call) })
}

fn join<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let separator = call.optional(0)?.map(|values| single_string(&values)).transpose()?.flatten();
    let mut texts = Vec::new();
    for value in call.take() {
        texts.push(single_string(&[value])?.unwrap_or_default());
    }
    let separator = separator.as_deref().unwrap_or("");
    let between = separator.len().saturating_mul(texts.len().saturating_sub(1));
    call.evaluator.text_step(texts.iter().map(|text| text.len()).sum::<usize>().saturating_add(between))?;
    Ok(vec![Value::text(texts.join(separator))])
}

fn on_string<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let focus = call.take();
    let Some(text) = single_string(&focus)? else { return Ok(Vec::new()) };
    let truth = |value: bool| Ok(vec![Value::Boolean(value)]);
    call.evaluator.text_step(text.len())?;
    match call.name {
        "upper" => Ok(vec![Value::text(text.to_uppercase())]),
        "lower" => Ok(vec![Value::text(text.to_lowercase())]),
        "length" => Ok(vec![Value::Integer(count(text.chars().count()))]),
        "trim" => Ok(vec![Value::text(text.trim().to_owned())]),
        "toChars" => {
            call.evaluator.collection_step(text.chars().count())?;
            Ok(text.chars().map(|letter| Value::text(letter.to_string())).collect())
        }
        "substring" => substring(call, &text),
        "replace" | "replaceMatches" => replace(call, &text),
        name => {
            let Some(other) = call.string(0)? else { return Ok(Vec::new()) };
            match name {
                "startsWith" => truth(text.starts_with(&*other)),
                "endsWith" => truth(text.ends_with(&*other)),
                "contains" => truth(text.contains(&*other)),
                "indexOf" => Ok(vec![Value::Integer(position(&text, text.find(&*other)))]),
                "lastIndexOf" => Ok(vec![Value::Integer(position(&text, text.rfind(&*other)))]),
                "matches" => truth(pattern(call, &other, &text)?.is_match(&text)),
                "matchesFull" => truth(pattern(call, &format!("^(?:{other})$"), &text)?.is_match(&text)),
                "split" => {
                    call.evaluator.collection_step(text.split(&*other).count())?;
                    Ok(text.split(&*other).map(|part| Value::text(part.to_owned())).collect())
                }
                "encode" | "decode" => coded(name == "encode", &other, &text),
                _ => escaped(name == "escape", &other, &text),
            }
        }
    }
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// The position of a byte offset, in characters; -1 if there is none.
fn position(text: &str, at: Option<usize>) -> i64 {
    at.and_then(|at| text.get(..at)).map_or(-1, |before| count(before.chars().count()))
}

fn substring<'t>(call: &mut Call<'_, '_, '_, 't>, text: &str) -> Evaluated<'t> {
    let Some(start) = call.integer(0)? else { return Ok(Vec::new()) };
    let len = match call.optional(1)? {
        Some(values) => crate::fhirpath::operators::single_integer(&values)?,
        None => None,
    };
    let Ok(start) = usize::try_from(start) else { return Ok(Vec::new()) };
    if start >= text.chars().count() {
        return Ok(Vec::new());
    }
    let len = len.map_or(usize::MAX, |len| usize::try_from(len).unwrap_or(0));
    Ok(vec![Value::text(text.chars().skip(start).take(len).collect::<String>())])
}

fn replace<'t>(call: &mut Call<'_, '_, '_, 't>, text: &str) -> Evaluated<'t> {
    let (Some(what), Some(with)) = (call.string(0)?, call.string(1)?) else { return Ok(Vec::new()) };
    if call.name == "replace" {
        let grown = text.matches(&what).count().saturating_mul(with.len().saturating_sub(what.len()));
        call.evaluator.text_step(text.len().saturating_add(grown))?;
        return Ok(vec![Value::text(text.replace(&what, &with))]);
    }
    if what.is_empty() {
        return Ok(vec![Value::text(text.to_owned())]);
    }
    let pattern = pattern(call, &what, text)?;
    let names = with.matches('$').count();
    let (mut out, mut end) = (String::new(), 0);
    for found in pattern.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        // A group is part of its match, so no reference to a group expands to more than the whole match.
        let made = with.len().saturating_add(names.saturating_mul(whole.len()));
        call.evaluator.longer_text_step(out.len(), made.saturating_add(whole.start() - end))?;
        out.push_str(text.get(end..whole.start()).unwrap_or_default());
        found.expand(&with, &mut out);
        end = whole.end();
    }
    out.push_str(text.get(end..).unwrap_or_default());
    Ok(vec![Value::text(out)])
}

/// Compiles a pattern, or takes the cached one, and charges for matching it against a text. In FHIRPath the dot also matches line
/// ends.
fn pattern(call: &mut Call<'_, '_, '_, '_>, text: &str, against: &str) -> Result<Regex, EvaluationError> {
    let compiled = match call.evaluator.pattern.take().filter(|pattern| pattern.text == text) {
        Some(pattern) => pattern,
        None => {
            call.evaluator
                .step(text.len().saturating_mul(COMPILE_BYTE_STEPS).saturating_add(COMPILE_STEPS))?;
            compile(text)?
        }
    };
    let steps = against.len().saturating_mul(compiled.byte_steps);
    let regex = compiled.regex.clone();
    call.evaluator.pattern = Some(compiled);
    call.evaluator.step(steps)?;
    Ok(regex)
}

fn compile(text: &str) -> Result<Pattern, EvaluationError> {
    let build =
        |size: usize| RegexBuilder::new(text).dot_matches_new_line(true).size_limit(size).build().ok();
    let fits = |(size, byte_steps): (usize, usize)| {
        build(size).map(|regex| Pattern { text: text.to_owned(), regex, byte_steps })
    };
    let compiled =
        if text.len() > PATTERN_TEXT_BYTES_MAX { None } else { PATTERN_SIZES.into_iter().find_map(fits) };
    compiled.ok_or_else(|| "the regular expression is wrong or too large".into())
}

fn coded<'t>(encode: bool, how: &str, text: &str) -> Evaluated<'t> {
    let coded = match (how, encode) {
        ("hex", true) => Some(hex(text.as_bytes())),
        ("base64", true) => Some(encode_base64(text.as_bytes())),
        ("urlbase64", true) => Some(encode_base64_url(text.as_bytes())),
        ("hex", false) => from_hex(text).and_then(|bytes| String::from_utf8(bytes).ok()),
        ("base64", false) => decode_base64(text).and_then(|bytes| String::from_utf8(bytes).ok()),
        ("urlbase64", false) => decode_base64_url(text).and_then(|bytes| String::from_utf8(bytes).ok()),
        _ => return Err("the encoding is hex, base64 or urlbase64".into()),
    };
    Ok(coded.map(Value::text).into_iter().collect())
}

fn escaped<'t>(escape: bool, how: &str, text: &str) -> Evaluated<'t> {
    const HTML: [(&str, &str); 5] =
        [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];
    const JSON: [(&str, &str); 5] =
        [("\\", "\\\\"), ("\"", "\\\""), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")];
    let pairs = match how {
        "html" => HTML,
        "json" => JSON,
        _ => return Err("the escaping is html or json".into()),
    };
    let mut out = Cow::Borrowed(text);
    // The escape character itself is escaped first and unescaped last.
    if escape {
        for (plain, escaped) in pairs {
            out = Cow::Owned(out.replace(plain, escaped));
        }
    } else {
        for (plain, escaped) in pairs.iter().rev() {
            out = Cow::Owned(out.replace(escaped, plain));
        }
    }
    Ok(vec![Value::text(out.into_owned())])
}

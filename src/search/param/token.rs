//! Tokens (R4 search.html#token): codes, identifiers and similar values, with their system.
use crate::definitions::{Kind, TypeDef};
use crate::model::Node;
use crate::search::entry::{Encoded, Form, IMPLIED_SYSTEM, cut, push_text};
use crate::search::fold::fold;
use crate::search::matcher::Ask;
use crate::search::text::{split_escaped, unescape};

use super::super::invalid_value::InvalidValue;

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    match &*def.name {
        "Coding" => coding(node, out),
        "CodeableConcept" => {
            node.items_at("coding").for_each(|item| coding(item, out));
            text(node.str_at("text"), out);
        }
        "Identifier" => identifier(node, out),
        // R4 search.html#token: strings, and values in doubt, are compared without case.
        "ContactPoint" => push(None, node.str_at("value").map(str::to_lowercase).as_deref(), out),
        "string" | "markdown" => push(None, Some(&node.text().to_lowercase()), out),
        "code" | "boolean" | "id" => implied(node.text(), out),
        _ if def.kind == Kind::Primitive => push(None, Some(node.text()), out),
        _ => {}
    }
}

pub(super) fn extract_boolean(truth: bool, out: &mut Vec<Encoded>) {
    implied(if truth { "true" } else { "false" }, out);
}

fn implied(code: &str, out: &mut Vec<Encoded>) {
    out.push(Encoded::new(Form::Value).text(cut(code)).tail(IMPLIED_SYSTEM));
}

/// Encodes a code with its system; either may be missing.
fn push(system: Option<&str>, code: Option<&str>, out: &mut Vec<Encoded>) {
    if let Some(code) = code {
        out.push(Encoded::new(Form::Value).text(cut(code)).tail(cut(system.unwrap_or_default())));
    }
    if let Some(system) = system {
        out.push(Encoded::new(Form::Second).text(cut(system)));
    }
}

fn coding(node: Node<'_>, out: &mut Vec<Encoded>) {
    push(node.str_at("system"), node.str_at("code"), out);
    text(node.str_at("display"), out);
}

/// Visits the texts that `:text` compares.
pub(super) fn texts(def: &TypeDef, node: Node<'_>, visit: &mut dyn FnMut(String)) {
    let found = match &*def.name {
        "Coding" => vec![node.str_at("display")],
        "CodeableConcept" => {
            let displays = node.items_at("coding").map(|coding| coding.str_at("display"));
            displays.chain([node.str_at("text")]).collect()
        }
        "Identifier" => vec![node.get("type").and_then(|kind| kind.str_at("text"))],
        _ => return,
    };
    found.into_iter().flatten().for_each(|text| visit(fold(text)));
}

/// R4 search.html#modifiers, `:text`: the human-readable text beside a code.
fn text(text: Option<&str>, out: &mut Vec<Encoded>) {
    if let Some(text) = text {
        out.push(Encoded::new(Form::Text).text(cut(&fold(text))));
    }
}

fn identifier(node: Node<'_>, out: &mut Vec<Encoded>) {
    let kind = node.get("type");
    text(kind.and_then(|kind| kind.str_at("text")), out);
    push(node.str_at("system"), node.str_at("value"), out);
    let Some(value) = node.str_at("value") else { return };
    for coding in kind.into_iter().flat_map(|kind| kind.items_at("coding")) {
        if let (Some(system), Some(code)) = (coding.str_at("system"), coding.str_at("code")) {
            out.push(Encoded::new(Form::OfType).text(cut(value)).text(cut(code)).text(cut(system)));
        }
    }
}

/// The conditions of a token value. If the parameter may select strings, the value is also searched in lower case.
pub(super) fn asks(
    modifier: Option<&str>,
    value: &str,
    may_be_string: bool,
) -> Result<Vec<Ask>, InvalidValue> {
    match modifier {
        Some("text") => Ok(vec![Ask::text_from(Form::Text, &fold(&unescape(value)))]),
        Some("of-type") => of_type(value).map(|ask| vec![ask]),
        _ => {
            let (system, code) = match split_escaped(value, '|') {
                Some((system, code)) => (Some(unescape(system)), unescape(code)),
                None => (None, unescape(value)),
            };
            if system.as_deref() == Some("") && code.is_empty() {
                return Err(format!("`{value}` is neither a system nor a code").into());
            }
            let small = code.to_lowercase();
            let in_small = (may_be_string && small != code).then(|| ask(system.as_deref(), &small));
            Ok([ask(system.as_deref(), &code)].into_iter().chain(in_small).collect())
        }
    }
}

/// Finds tokens (R4 search.html#token): `code`, `system|code`, `|code` (no system), `system|`.
pub(in crate::search) fn ask(system: Option<&str>, code: &str) -> Ask {
    match system {
        Some(system) if code.is_empty() => Ask::key(Encoded::new(Form::Second).text(cut(system))),
        Some(system) => Ask::key(Encoded::new(Form::Value).text(cut(code))).with_tails(tails(system)),
        None => Ask::key(Encoded::new(Form::Value).text(cut(code))),
    }
}

/// Finds the media types below a value: `image` and `image/` are above all images, `text/xml` is above itself with parameters
/// (R4 search.html#token).
pub(in crate::search) fn media_types_below(value: &str) -> Vec<Ask> {
    let value = unescape(value);
    let value = value.trim_end_matches('*').trim_end_matches('/');
    let key = |text: &str| Ask::key(Encoded::new(Form::Value).text(cut(text)));
    if value.contains('/') {
        let begins = |end: &str| Ask::text_from(Form::Value, &format!("{value}{end}"));
        vec![key(value), begins(";"), begins(" ;")]
    } else {
        vec![Ask::text_from(Form::Value, &format!("{value}/"))]
    }
}

fn tails(system: &str) -> Vec<Vec<u8>> {
    let tail = |system: &[u8]| {
        let mut tail = Vec::new();
        push_text(&mut tail, system);
        tail
    };
    let mut tails = vec![tail(&cut(system))];
    if !system.is_empty() {
        tails.push(tail(IMPLIED_SYSTEM));
    }
    tails
}

fn of_type(value: &str) -> Result<Ask, InvalidValue> {
    let wrong = || "`:of-type` takes `system|code|value`".to_owned();
    let (system, rest) = split_escaped(value, '|').ok_or_else(wrong)?;
    let (code, value) = split_escaped(rest, '|').ok_or_else(wrong)?;
    let [system, code, value] = [system, code, value].map(unescape);
    if [&system, &code, &value].iter().any(|part| part.is_empty()) {
        return Err(wrong().into());
    }
    let key = Encoded::new(Form::OfType).text(cut(&value)).text(cut(&code)).text(cut(&system));
    Ok(Ask::key(key))
}

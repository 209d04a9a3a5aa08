//! The index entries of a resource: every parameter of its type evaluated, every value in the forms that searches need
//! (R4 search.html, the tables of each parameter type).
use crate::definitions::{Kind, ParamType, TypeDef};
use crate::fhirpath::{Element, Environment, Value};
use crate::model::{Interval, Node, Reference, ReferenceTarget, Temporal};

use super::entry::{Entry, Form, IMPLIED_SYSTEM};
use super::fold::fold;
use super::params::{Param, search_params};

/// A text in an index is cut at this many bytes; what is longer is found by its beginning.
const TEXT_BYTES_MAX: usize = 512;

/// All entries of a resource, each once, in order. An expression that fails on it yields none.
#[must_use]
pub fn entries(resource: Node<'_>) -> Vec<Entry> {
    let Some(root) = Element::resource(resource) else { return Vec::new() };
    let environment = Environment::of(root, Temporal::from_millis(0));
    let mut found = Vec::with_capacity(64);
    for param in search_params().of(root.def) {
        let before = found.len();
        for expression in &param.expressions {
            for value in expression.evaluate(&environment, root).unwrap_or_default() {
                of_value(param, &value, &mut found);
            }
        }
        if found.len() > before {
            found.push(Entry::new(param.id, Form::Present));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn of_value(param: &Param, value: &Value<'_>, out: &mut Vec<Entry>) {
    match value {
        Value::Element(element) => {
            let Some(node) = element.node else { return };
            match param.kind {
                ParamType::Token => token(param.id, element.def, node, out),
                ParamType::String => string(param.id, element.def, node, out),
                ParamType::Reference => reference(param.id, element.def, node, out),
                ParamType::Date => date(param.id, element.def, node, out),
                ParamType::Uri => out.push(Entry::new(param.id, Form::Value).text(cut(node.text()))),
                ParamType::Number | ParamType::Quantity | ParamType::Composite | ParamType::Special => {}
            }
        }
        // `Patient.deceased.exists() and ...` and the like select truth, not an element.
        Value::Boolean(truth) if param.kind == ParamType::Token => {
            let text: &[u8] = if *truth { b"true" } else { b"false" };
            out.push(Entry::new(param.id, Form::Value).text(text).text(IMPLIED_SYSTEM));
        }
        _ => {}
    }
}

fn cut(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes)
}

fn push_token(param: u32, system: Option<&str>, code: &str, out: &mut Vec<Entry>) {
    out.push(Entry::new(param, Form::Value).text(cut(code)).text(cut(system.unwrap_or_default())));
    if let Some(system) = system {
        out.push(Entry::new(param, Form::Second).text(cut(system)));
    }
}

fn token(param: u32, def: &TypeDef, node: Node<'_>, out: &mut Vec<Entry>) {
    match &*def.name {
        "Coding" => {
            if let Some(code) = node.str_at("code") {
                push_token(param, node.str_at("system"), code, out);
            }
        }
        "CodeableConcept" => {
            for coding in node.items_at("coding") {
                if let Some(code) = coding.str_at("code") {
                    push_token(param, coding.str_at("system"), code, out);
                }
            }
        }
        "Identifier" => {
            if let Some(value) = node.str_at("value") {
                push_token(param, node.str_at("system"), value, out);
            }
        }
        "ContactPoint" => {
            if let Some(value) = node.str_at("value") {
                push_token(param, None, value, out);
            }
        }
        "code" | "boolean" | "id" => {
            out.push(Entry::new(param, Form::Value).text(cut(node.text())).text(IMPLIED_SYSTEM));
        }
        _ if def.kind == Kind::Primitive => push_token(param, None, node.text(), out),
        _ => {}
    }
}

fn push_string(param: u32, text: &str, out: &mut Vec<Entry>) {
    out.push(Entry::new(param, Form::Value).text(cut(&fold(text))).text(cut(text)));
}

/// R4 search.html#string: a name or an address is found by any of its parts.
fn string(param: u32, def: &TypeDef, node: Node<'_>, out: &mut Vec<Entry>) {
    let parts: &[&str] = match &*def.name {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        _ if def.kind == Kind::Primitive => return push_string(param, node.text(), out),
        _ => return,
    };
    for part in parts.iter().flat_map(|name| node.items_at(name)) {
        if let Some(text) = part.as_str() {
            push_string(param, text, out);
        }
    }
}

fn reference(param: u32, def: &TypeDef, node: Node<'_>, out: &mut Vec<Entry>) {
    if def.kind == Kind::Primitive {
        return reference_text(param, node.text(), out);
    }
    if let Some(text) = node.str_at("reference") {
        reference_text(param, text, out);
    }
    if let Some(identifier) = node.get("identifier")
        && let Some(value) = identifier.str_at("value")
    {
        let system = identifier.str_at("system").unwrap_or_default();
        out.push(Entry::new(param, Form::Identifier).text(cut(value)).text(cut(system)));
    }
}

fn reference_text(param: u32, text: &str, out: &mut Vec<Entry>) {
    match Reference::parse(text).target {
        ReferenceTarget::Relative(key) => {
            let entry = Entry::new(param, Form::Value);
            out.push(entry.text(key.id.as_str().as_bytes()).text(key.type_name.as_bytes()));
        }
        ReferenceTarget::Absolute { .. } | ReferenceTarget::Urn(_) | ReferenceTarget::Other(_) => {
            out.push(Entry::new(param, Form::Second).text(cut(text)));
        }
        ReferenceTarget::Fragment(_) => {}
    }
}

fn date(param: u32, def: &TypeDef, node: Node<'_>, out: &mut Vec<Entry>) {
    let interval_of = |text: Option<&str>| text.and_then(Temporal::parse).map(|date| date.interval());
    let mut intervals = Vec::new();
    match &*def.name {
        "Period" => intervals.extend(period(node)),
        "Timing" => {
            intervals.extend(node.items_at("event").filter_map(|event| interval_of(event.as_str())));
            intervals
                .extend(node.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period));
        }
        _ => intervals.extend(interval_of(node.as_str())),
    }
    for Interval { start, end } in intervals {
        out.push(Entry::new(param, Form::Value).time(start).time(end));
        out.push(Entry::new(param, Form::Second).time(end).time(start));
    }
}

/// A period; where a bound is missing it is open.
fn period(node: Node<'_>) -> Option<Interval> {
    let bound = |name| node.str_at(name).and_then(Temporal::parse).map(|date| date.interval());
    let (start, end) = (bound("start"), bound("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.map_or(Interval::ALWAYS.start, |interval| interval.start);
    Some(Interval { start, end: end.map_or(Interval::ALWAYS.end, |interval| interval.end).max(start) })
}

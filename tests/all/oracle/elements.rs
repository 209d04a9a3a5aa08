//! Turns what an expression selects into values for a parameter's type (R4 search.html, the tables of types).
use chartward::definitions::{Kind, ParamType};
use chartward::fhirpath::Value;
use chartward::model::{JsonKind, Node, Span, Temporal};
use octofhir_ucum::Number;

use super::coded::{pointer, tokens};
use super::near::Position;
use super::number::Stretch;
use super::occurrence::Occurrence;
use super::quantity::{Amount, Quantity};
use super::text::Written;

const CURRENCIES: &str = "urn:iso:std:iso:4217";
const NAME_PARTS: [&str; 5] = ["text", "family", "given", "prefix", "suffix"];
const ADDRESS_PARTS: [&str; 7] = ["text", "line", "city", "district", "state", "postalCode", "country"];

/// The searchable values in one result of an expression; none for types that cannot be searched.
pub fn occurrences(kind: ParamType, value: &Value<'_>) -> Vec<Occurrence> {
    let one = |found: Option<Occurrence>| -> Vec<Occurrence> { found.into_iter().collect() };
    match kind {
        ParamType::Number => one(stretch(value).map(Occurrence::Number)),
        ParamType::Quantity => one(quantity(value).map(Occurrence::Quantity)),
        ParamType::Date => dates(value).into_iter().map(Occurrence::Date).collect(),
        ParamType::String => one(text(value).map(Occurrence::Text)),
        ParamType::Token => tokens(value).into_iter().map(Occurrence::Token).collect(),
        ParamType::Reference => one(pointer(value).map(Occurrence::Reference)),
        ParamType::Uri => one(primitive_string(value).map(|uri| Occurrence::Uri(uri.to_owned()))),
        ParamType::Special => one(position(value).map(Occurrence::Position)),
        ParamType::Composite => Vec::new(),
    }
}

/// The name of an element's type, and its node.
pub fn typed<'t>(value: &Value<'t>) -> Option<(&'static str, Node<'t>)> {
    match value {
        Value::Element(element) => Some((&*element.def.name, element.node?)),
        _ => None,
    }
}

/// The text of a primitive that is a string in JSON.
pub fn primitive_string<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    let found: Option<&str> = match value {
        Value::Element(element) if element.def.kind == Kind::Primitive => element.node.and_then(Node::as_str),
        Value::String(text) => Some(&**text),
        _ => None,
    };
    found.filter(|text| !text.is_empty())
}

fn stretch(value: &Value<'_>) -> Option<Stretch> {
    let point = match value {
        Value::Integer(number) => Some(Number::from_i64(*number)),
        Value::Decimal(number) => Number::parse(&number.to_string()),
        _ => None,
    };
    if point.is_some() {
        return point.map(Stretch::point);
    }
    match typed(value)? {
        ("Range", node) => {
            let range = range(node)?;
            let number = |amount: Option<Amount>| amount.map(|amount| amount.number);
            Some(Stretch { low: number(range.low), high: number(range.high) })
        }
        (_, node) if node.kind() == JsonKind::Number => Number::parse(node.text()).map(Stretch::point),
        _ => None,
    }
}

fn quantity(value: &Value<'_>) -> Option<Quantity> {
    match typed(value)? {
        ("Quantity" | "Age" | "Count" | "Distance" | "Duration", node) => with_comparator(node),
        ("Money", node) => {
            let amount = Amount {
                number: Number::parse(node.get("value")?.text())?,
                system: Some(CURRENCIES.to_owned()),
                code: node.str_at("currency").map(str::to_owned),
                unit: None,
            };
            Some(Quantity { low: Some(amount.clone()), high: Some(amount) })
        }
        ("Range", node) => range(node),
        _ => None,
    }
}

/// A quantity; a comparator turns its number into a range.
fn with_comparator(node: Node<'_>) -> Option<Quantity> {
    let amount = amount(node)?;
    Some(match node.str_at("comparator") {
        Some("<" | "<=") => Quantity { low: None, high: Some(amount) },
        Some(">" | ">=") => Quantity { low: Some(amount), high: None },
        _ => Quantity { low: Some(amount.clone()), high: Some(amount) },
    })
}

fn range(node: Node<'_>) -> Option<Quantity> {
    let end = |name: &str| node.get(name).and_then(amount);
    let range = Quantity { low: end("low"), high: end("high") };
    (range.low.is_some() || range.high.is_some()).then_some(range)
}

fn amount(node: Node<'_>) -> Option<Amount> {
    let text = |name: &str| node.str_at(name).map(str::to_owned);
    Some(Amount {
        number: Number::parse(node.get("value")?.text())?,
        system: text("system"),
        code: text("code"),
        unit: text("unit"),
    })
}

fn dates(value: &Value<'_>) -> Vec<Span> {
    if let Value::Date(date) | Value::DateTime(date) = value {
        return vec![date.span()];
    }
    match typed(value) {
        Some(("date" | "dateTime" | "instant", node)) => interval(node).into_iter().collect(),
        Some(("Period", node)) => period(node).into_iter().collect(),
        Some(("Timing", node)) => {
            let bounds = node.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period);
            let all: Vec<Span> = node.items_at("event").filter_map(interval).chain(bounds).collect();
            let start = all.iter().map(|one| one.start).min();
            let end = all.iter().map(|one| one.end).max();
            start.zip(end).map(|(start, end)| Span { start, end }).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn interval(node: Node<'_>) -> Option<Span> {
    node.as_str().and_then(Temporal::parse).map(|date| date.span())
}

/// A missing bound is unbounded; a period without both bounds has no value.
fn period(node: Node<'_>) -> Option<Span> {
    let start = node.get("start").and_then(interval);
    let end = node.get("end").and_then(interval);
    if start.is_none() && end.is_none() {
        return None;
    }
    Some(Span {
        start: start.map_or(Span::ALWAYS.start, |start| start.start),
        end: end.map_or(Span::ALWAYS.end, |end| end.end),
    })
}

fn text(value: &Value<'_>) -> Option<Vec<Written>> {
    let parts = match typed(value) {
        Some(("HumanName", node)) => parts(node, &NAME_PARTS).into_iter().map(Written::of_name).collect(),
        Some(("Address", node)) => parts(node, &ADDRESS_PARTS),
        _ => vec![Written::new(primitive_string(value)?)],
    };
    (!parts.is_empty()).then_some(parts)
}

fn parts(node: Node<'_>, names: &[&str]) -> Vec<Written> {
    names
        .iter()
        .flat_map(|name| node.items_at(name))
        .filter_map(Node::as_str)
        .filter(|text| !text.is_empty())
        .map(Written::new)
        .collect()
}

fn position(value: &Value<'_>) -> Option<Position> {
    let (_, node) = typed(value)?;
    let degrees = |name: &str| node.get(name).and_then(|degrees| degrees.text().parse::<f64>().ok());
    Some(Position { latitude: degrees("latitude")?, longitude: degrees("longitude")? })
}

//! Equality (`=`), equivalence (`~`) and order (`<`) of values (FHIRPath, "Operations").
use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::model::{JsonKind, Node, Precision, Temporal};

use super::decimal::decimal;
use super::value::Value;

/// The value converted to a System type; a value that is no element is borrowed.
fn plain<'v, 't>(value: &'v Value<'t>) -> Cow<'v, Value<'t>> {
    match value {
        Value::Element(_) => Cow::Owned(value.system()),
        _ => Cow::Borrowed(value),
    }
}

/// Whether two values are equal; `None` where FHIRPath yields an empty collection.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    let (left, right) = (plain(left), plain(right));
    if let Some((a, b)) = numbers(&left, &right) {
        return Some(a == b);
    }
    Some(match (&*left, &*right) {
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Date(a) | Value::DateTime(a), Value::Date(b) | Value::DateTime(b)) => {
            return a.compare(b).map(Ordering::is_eq);
        }
        (Value::Time(a), Value::Time(b)) => return a.compare(b).map(Ordering::is_eq),
        (Value::Quantity(a), Value::Quantity(b)) => {
            let mixes_calendar = a.unit != b.unit
                && (a.calendar_unit().is_some() != b.calendar_unit().is_some())
                && (a.unit == "a" || b.unit == "a" || a.unit == "mo" || b.unit == "mo");
            if mixes_calendar {
                // A UCUM year or month has a definite length, which a calendar year or month has not.
                return None;
            }
            return a.compare(b).map(Ordering::is_eq);
        }
        (Value::Element(a), Value::Element(b)) => match (a.node, b.node) {
            (Some(a), Some(b)) => same_tree(a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Type { namespace: a, name: x }, Value::Type { namespace: b, name: y }) => a == b && x == y,
        (Value::Target(a), Value::Target(b)) => std::ptr::eq(*a, *b),
        _ => false,
    })
}

/// Both values as decimals, if both are numbers.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<(Decimal, Decimal)> {
    number(left).zip(number(right))
}

/// The number in a System value, if it is one.
pub(super) fn number(value: &Value<'_>) -> Option<Decimal> {
    match value {
        Value::Integer(integer) => Some(Decimal::from(*integer)),
        Value::Decimal(decimal) => Some(*decimal),
        _ => None,
    }
}

/// Deep equality of two elements: properties in any order, numbers by value.
fn same_tree(left: Node<'_>, right: Node<'_>) -> bool {
    if left.kind() != right.kind() {
        return false;
    }
    match left.kind() {
        JsonKind::Object => {
            left.children().count() == right.children().count()
                && left.children().all(|a| right.get(a.key()).is_some_and(|b| same_tree(a, b)))
        }
        JsonKind::Array => {
            left.children().count() == right.children().count()
                && left.children().zip(right.children()).all(|(a, b)| same_tree(a, b))
        }
        JsonKind::Number => decimal(left.text())
            .zip(decimal(right.text()))
            .map_or(left.text() == right.text(), |(a, b)| a == b),
        JsonKind::String | JsonKind::Bool | JsonKind::Null => left.text() == right.text(),
    }
}

/// Whether two values are equivalent: texts without regard to case, with normalized white space; numbers at the lesser precision.
pub(super) fn equivalent(left: &Value<'_>, right: &Value<'_>) -> bool {
    let (left, right) = (plain(left), plain(right));
    if let Some((a, b)) = numbers(&left, &right) {
        let scale = a.scale().min(b.scale());
        return a.round_dp(scale) == b.round_dp(scale);
    }
    match (&*left, &*right) {
        (Value::String(a), Value::String(b)) => normal_text(a) == normal_text(b),
        (Value::Date(a) | Value::DateTime(a), Value::Date(b) | Value::DateTime(b)) => {
            same_precision(a, b) && a.compare(b) == Some(Ordering::Equal)
        }
        (Value::Time(a), Value::Time(b)) => same_precision(a, b) && a.compare(b) == Some(Ordering::Equal),
        (Value::Quantity(a), Value::Quantity(b)) => a.about_equal(b),
        (Value::Element(a), Value::Element(b)) => match (a.node, b.node) {
            (Some(a), Some(b)) => similar_tree(a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        _ => equal(&left, &right) == Some(true),
    }
}

fn same_precision(a: &Temporal, b: &Temporal) -> bool {
    let rank = |precision| if precision == Precision::Millisecond { Precision::Second } else { precision };
    rank(a.precision) == rank(b.precision)
}

fn normal_text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Deep equivalence of two elements: lists in any order, texts without regard to case.
fn similar_tree(left: Node<'_>, right: Node<'_>) -> bool {
    match (left.kind(), right.kind()) {
        (JsonKind::Object, JsonKind::Object) => {
            let (a, b) = (relevant(left), relevant(right));
            a.len() == b.len()
                && a.iter().all(|a| b.iter().any(|b| a.key() == b.key() && similar_tree(*a, *b)))
        }
        (JsonKind::Array, JsonKind::Array) => {
            left.children().count() == right.children().count()
                && left.children().all(|a| right.children().any(|b| similar_tree(a, b)))
        }
        (JsonKind::String, JsonKind::String) => normal_text(left.text()) == normal_text(right.text()),
        (a, b) => a == b && same_tree(left, right),
    }
}

/// The children that equivalence compares: all but `id`, which only names a thing.
fn relevant(node: Node<'_>) -> Vec<Node<'_>> {
    node.children().filter(|child| child.key() != "id").collect()
}

/// The order of two values; `Ok(None)` if it cannot be known.
///
/// # Errors
/// If no order is defined between their types.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, &'static str> {
    let (left, right) = (plain(left), plain(right));
    if let Some((a, b)) = numbers(&left, &right) {
        return Ok(Some(a.cmp(&b)));
    }
    match (&*left, &*right) {
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Date(a) | Value::DateTime(a), Value::Date(b) | Value::DateTime(b))
        | (Value::Time(a), Value::Time(b)) => Ok(a.compare(b)),
        (Value::Quantity(a), Value::Quantity(b)) => Ok(a.compare(b)),
        _ => Err("these two types have no order between them"),
    }
}

//! Conversion between the System types: `toX()` and `convertsToX()`.
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::fhirpath::equality::number;
use crate::fhirpath::operators::single;
use crate::fhirpath::quantity::Quantity;
use crate::fhirpath::value::Value;
use crate::model::Temporal;

use super::super::decimal::decimal;
use super::call::{Answer, Call};

type Conversion = for<'v, 't> fn(&'v Value<'t>) -> Option<Value<'t>>;

const CONVERSIONS: [(&str, &str, Conversion); 8] = [
    ("toBoolean", "convertsToBoolean", to_boolean),
    ("toInteger", "convertsToInteger", to_integer),
    ("toDecimal", "convertsToDecimal", to_decimal),
    ("toString", "convertsToString", to_string),
    ("toDate", "convertsToDate", to_date),
    ("toDateTime", "convertsToDateTime", to_date_time),
    ("toTime", "convertsToTime", to_time),
    ("toQuantity", "convertsToQuantity", to_quantity),
];

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    let (to, _, convert) = CONVERSIONS.iter().find(|(to, tests, _)| [*to, *tests].contains(&call.name))?;
    let is_test = call.name != *to;
    let value = match single(&call.focus) {
        Ok(Some(value)) => value.system(),
        Ok(None) => return Some(Ok(Vec::new())),
        Err(error) => return Some(Err(error)),
    };
    let converted = convert(&value);
    Some(Ok(if is_test {
        vec![Value::Boolean(converted.is_some())]
    } else {
        converted.into_iter().collect()
    }))
}

fn to_boolean<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    let truth = match value {
        Value::Boolean(value) => *value,
        Value::String(text) => match text.to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => true,
            "false" | "f" | "no" | "n" | "0" | "0.0" => false,
            _ => return None,
        },
        other => match number(other) {
            Some(zero) if zero.is_zero() => false,
            Some(one) if one == Decimal::ONE => true,
            _ => return None,
        },
    };
    Some(Value::Boolean(truth))
}

fn to_integer<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    Some(Value::Integer(match value {
        Value::Integer(value) => *value,
        Value::Boolean(value) => i64::from(*value),
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    }))
}

fn to_decimal<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    Some(Value::Decimal(match value {
        Value::Boolean(value) => Decimal::from(u8::from(*value)),
        Value::String(text) if text.ends_with('.') || text.contains(['e', 'E']) => return None,
        Value::String(text) => decimal(text.strip_prefix('+').unwrap_or(text))?,
        other => number(other)?,
    }))
}

fn to_string<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    value.to_text().map(Value::String)
}

fn to_date<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    let date = match value {
        Value::Date(date) | Value::DateTime(date) => *date,
        Value::String(text) => Temporal::parse_partial(text)?,
        _ => return None,
    };
    Some(Value::Date(date.date()))
}

fn to_date_time<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    Some(Value::DateTime(match value {
        Value::Date(date) | Value::DateTime(date) => *date,
        Value::String(text) => Temporal::parse_partial(text)?,
        _ => return None,
    }))
}

fn to_time<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    Some(Value::Time(match value {
        Value::Time(time) => *time,
        Value::String(text) => Temporal::parse_time(text.strip_prefix('T').unwrap_or(text))?,
        _ => return None,
    }))
}

fn to_quantity<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    let bare = |value: Decimal| Quantity { value, unit: "1".to_owned() };
    Some(Value::Quantity(match value {
        Value::Quantity(quantity) => quantity.clone(),
        Value::Boolean(value) => bare(Decimal::from(u8::from(*value))),
        Value::String(text) => Quantity::parse(text)?,
        other => bare(number(other)?),
    }))
}

/// A decimal as an integer without its fraction; `None` if it exceeds 64 bits.
pub(super) fn whole<'t>(value: Decimal) -> Option<Value<'t>> {
    value.to_i64().map(Value::Integer)
}

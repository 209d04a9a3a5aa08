//! The values of an evaluation: elements of the resource, and values computed by expressions.
use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::definitions::{Kind, TypeDef};
use crate::model::{Node, Temporal};

use super::decimal::decimal;
use super::element::Element;
use super::quantity::Quantity;

/// The result of an expression: an ordered list of values.
pub type Collection<'t> = Vec<Value<'t>>;

/// One value.
#[derive(Clone, Debug)]
pub enum Value<'t> {
    /// An element of the resource, with its FHIR type.
    Element(Element<'t>),
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    String(Cow<'t, str>),
    Date(Temporal),
    DateTime(Temporal),
    Time(Temporal),
    Quantity(Quantity),
    /// A resource outside this one, of which only the type is known, from a reference.
    Target(&'static TypeDef),
    /// A type, as `type()` returns it.
    Type {
        namespace: &'static str,
        name: Cow<'static, str>,
    },
}

impl<'t> Value<'t> {
    /// The value, with a primitive or quantity element converted to the System type (FHIRPath "conversion to System types").
    #[must_use]
    pub fn system(&self) -> Value<'t> {
        let Value::Element(element) = self else { return self.clone() };
        let converted = match element.def.kind {
            Kind::Primitive => element.node.and_then(|node| from_primitive(element.def, node)),
            Kind::Complex if is_quantity(element.def) => {
                element.node.and_then(Quantity::from_node).map(Value::Quantity)
            }
            Kind::Complex | Kind::Backbone | Kind::Resource => None,
        };
        converted.unwrap_or_else(|| self.clone())
    }

    /// The name of the System type; `None` for elements, targets and types.
    #[must_use]
    pub fn system_type(&self) -> Option<&'static str> {
        Some(match self {
            Value::Boolean(_) => "Boolean",
            Value::Integer(_) => "Integer",
            Value::Decimal(_) => "Decimal",
            Value::String(_) => "String",
            Value::Date(_) => "Date",
            Value::DateTime(_) => "DateTime",
            Value::Time(_) => "Time",
            Value::Quantity(_) => "Quantity",
            Value::Element(_) | Value::Target(_) | Value::Type { .. } => return None,
        })
    }

    #[must_use]
    pub fn text(text: impl Into<Cow<'t, str>>) -> Self {
        Value::String(text.into())
    }

    /// The text that `toString()` returns and the command line prints; `None` for values without a text.
    #[must_use]
    pub fn to_text(&self) -> Option<Cow<'t, str>> {
        Some(match self.system() {
            Value::Boolean(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Value::Integer(value) => Cow::Owned(value.to_string()),
            Value::Decimal(value) => Cow::Owned(value.to_string()),
            Value::String(value) => value,
            Value::Date(value) | Value::DateTime(value) => Cow::Owned(value.to_text()),
            Value::Time(value) => Cow::Owned(value.time_text()),
            Value::Quantity(value) => Cow::Owned(value.to_text()),
            Value::Element(_) | Value::Target(_) | Value::Type { .. } => return None,
        })
    }
}

pub(super) fn is_quantity(def: &TypeDef) -> bool {
    matches!(&*def.name, "Quantity" | "Age" | "Count" | "Distance" | "Duration")
}

fn from_primitive<'t>(def: &TypeDef, node: Node<'t>) -> Option<Value<'t>> {
    let text = node.text();
    Some(match &*def.name {
        "boolean" => Value::Boolean(text == "true"),
        "integer" | "unsignedInt" | "positiveInt" => Value::Integer(text.parse().ok()?),
        "decimal" => Value::Decimal(decimal(text)?),
        "date" => Value::Date(Temporal::parse(text)?),
        "dateTime" | "instant" => Value::DateTime(Temporal::parse(text)?),
        "time" => Value::Time(Temporal::parse_time(text)?),
        _ => Value::String(Cow::Borrowed(text)),
    })
}

/// The element, if the value is one.
pub(super) fn element<'v, 't>(value: &'v Value<'t>) -> Option<&'v Element<'t>> {
    match value {
        Value::Element(element) => Some(element),
        _ => None,
    }
}

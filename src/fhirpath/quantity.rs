//! Quantities: a number with a UCUM unit. Quantities of one dimension are comparable, for the units that FHIRPath names and the
//! usual units of length, mass, volume and time.
use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::model::Node;

use super::decimal::decimal;

/// A number with a unit; `1` is the unit of a bare number.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub value: Decimal,
    pub unit: String,
}

/// The dimension of a unit. Calendar years and months are no multiple of a shorter unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    None,
    Length,
    Mass,
    Volume,
    Time,
    Months,
}

/// A unit, its dimension, and its factor to the base unit (m, g, l, ms, month), as decimal digits.
const UNITS: [(&str, Dimension, &str); 32] = [
    ("1", Dimension::None, "1"),
    ("%", Dimension::None, "0.01"),
    ("m", Dimension::Length, "1"),
    ("dm", Dimension::Length, "0.1"),
    ("cm", Dimension::Length, "0.01"),
    ("mm", Dimension::Length, "0.001"),
    ("um", Dimension::Length, "0.000001"),
    ("km", Dimension::Length, "1000"),
    ("[in_i]", Dimension::Length, "0.0254"),
    ("[ft_i]", Dimension::Length, "0.3048"),
    ("g", Dimension::Mass, "1"),
    ("kg", Dimension::Mass, "1000"),
    ("mg", Dimension::Mass, "0.001"),
    ("ug", Dimension::Mass, "0.000001"),
    ("ng", Dimension::Mass, "0.000000001"),
    ("[lb_av]", Dimension::Mass, "453.59237"),
    ("[oz_av]", Dimension::Mass, "28.349523125"),
    ("l", Dimension::Volume, "1"),
    ("L", Dimension::Volume, "1"),
    ("dL", Dimension::Volume, "0.1"),
    ("dl", Dimension::Volume, "0.1"),
    ("mL", Dimension::Volume, "0.001"),
    ("ml", Dimension::Volume, "0.001"),
    ("uL", Dimension::Volume, "0.000001"),
    ("ms", Dimension::Time, "1"),
    ("s", Dimension::Time, "1000"),
    ("min", Dimension::Time, "60000"),
    ("h", Dimension::Time, "3600000"),
    ("d", Dimension::Time, "86400000"),
    ("wk", Dimension::Time, "604800000"),
    ("mo", Dimension::Months, "1"),
    ("a", Dimension::Months, "12"),
];

impl Quantity {
    /// Reads a FHIR Quantity; the unit is its code, or else its unit.
    pub(super) fn from_node(node: Node<'_>) -> Option<Self> {
        let value = decimal(node.get("value")?.text())?;
        let unit = node.str_at("code").or_else(|| node.str_at("unit")).unwrap_or("1");
        Some(Self { value, unit: unit.to_owned() })
    }

    /// The calendar unit, singular, if the unit is a calendar duration or its UCUM equivalent.
    pub(super) fn calendar_unit(&self) -> Option<&'static str> {
        Some(match self.unit.as_str() {
            "year" | "years" => "year",
            "month" | "months" => "month",
            "week" | "weeks" | "wk" => "week",
            "day" | "days" | "d" => "day",
            "hour" | "hours" | "h" => "hour",
            "minute" | "minutes" | "min" => "minute",
            "second" | "seconds" | "s" => "second",
            "millisecond" | "milliseconds" | "ms" => "millisecond",
            _ => return None,
        })
    }

    /// The UCUM code; calendar words stand for their definite UCUM unit.
    fn ucum(&self) -> &str {
        match self.calendar_unit() {
            Some("year") => "a",
            Some("month") => "mo",
            Some("week") => "wk",
            Some("day") => "d",
            Some("hour") => "h",
            Some("minute") => "min",
            Some("second") => "s",
            Some("millisecond") => "ms",
            _ => &self.unit,
        }
    }

    fn canonical(&self) -> Option<(Dimension, Decimal)> {
        let (_, dimension, factor) = UNITS.iter().find(|(unit, ..)| *unit == self.ucum())?;
        Some((*dimension, self.value.checked_mul(decimal(factor)?)?))
    }

    /// Compares two quantities; `None` if their units differ in dimension or are unknown.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.ucum() == other.ucum() {
            return Some(self.value.cmp(&other.value));
        }
        let ((left, a), (right, b)) = (self.canonical()?, other.canonical()?);
        (left == right).then(|| a.cmp(&b))
    }

    /// Whether both amounts are equal at the precision of the less precise one.
    pub(super) fn about_equal(&self, other: &Self) -> bool {
        let (a, b) = if self.ucum() == other.ucum() {
            (self.value, other.value)
        } else {
            match (self.canonical(), other.canonical()) {
                (Some((left, a)), Some((right, b))) if left == right => (a.normalize(), b.normalize()),
                _ => return false,
            }
        };
        let scale = a.scale().min(b.scale());
        a.round_dp(scale) == b.round_dp(scale)
    }

    /// Whether the quantities have the same unit, or known units of one dimension.
    #[must_use]
    pub fn comparable(&self, other: &Self) -> bool {
        self.compare(other).is_some()
    }

    /// FHIRPath's text: calendar words bare, UCUM codes in quotes.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self.unit.as_str() {
            word if is_calendar_word(word) => format!("{} {word}", self.value),
            code => format!("{} '{code}'", self.value),
        }
    }

    /// Reads `4`, `4 days` or `4 'mg'`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, unit) = match text.find(char::is_whitespace) {
            Some(at) => (text.get(..at)?, text.get(at..)?.trim()),
            None => (text, "'1'"),
        };
        let value = decimal(number.strip_prefix('+').unwrap_or(number))?;
        let quoted = unit.strip_prefix('\'').and_then(|unit| unit.strip_suffix('\''));
        let quantity = Self { value, unit: quoted.unwrap_or(unit).to_owned() };
        (is_calendar_word(unit) || quoted.is_some_and(|unit| !unit.is_empty())).then_some(quantity)
    }
}

/// Whether the unit is a calendar word rather than a UCUM code.
fn is_calendar_word(unit: &str) -> bool {
    const WORDS: [&str; 8] = ["year", "month", "week", "day", "hour", "minute", "second", "millisecond"];
    WORDS.contains(&unit.strip_suffix('s').unwrap_or(unit))
}

//! Quantities (R4 search.html#quantity): numbers with a unit; UCUM units of one dimension are comparable with each other.
use std::borrow::Cow;

use octofhir_ucum::{CanonicalUnit, get_canonical_units};

use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::decimal::{Amount, Finite};
use crate::search::entry::{Encoded, Form, cut, push_text};
use crate::search::matcher::Ask;
use crate::search::text::{split_escaped, unescape};

use super::super::invalid_value::InvalidValue;
use super::number::{Measured, NumberAsk, bytes, encoded};

const UCUM: &str = "http://unitsofmeasure.org";
/// The system of Money's currency codes.
const CURRENCIES: &str = "urn:iso:std:iso:4217";
/// The tail of an entry for a human-readable unit, which has no system.
const HUMAN: &[u8] = b"\x01";
/// The digits kept of a value in canonical units; arithmetic noise beyond them is cut.
const CANONICAL_DIGITS: usize = 20;

/// The unit of a quantity.
#[derive(Clone, Copy, Default)]
struct Units<'t> {
    system: Option<&'t str>,
    code: Option<&'t str>,
    unit: Option<&'t str>,
}

impl<'t> Units<'t> {
    fn of(node: Node<'t>) -> Self {
        Self { system: node.str_at("system"), code: node.str_at("code"), unit: node.str_at("unit") }
    }
}

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    let number = |node: Node<'_>| node.get("value").and_then(|value| Finite::parse(value.text()));
    match &*def.name {
        "Range" => {
            let (low, high) = (node.get("low"), node.get("high"));
            let bound = |node: Option<Node<'_>>| node.and_then(number);
            let (low_value, high_value) = (bound(low), bound(high));
            if low_value.is_none() && high_value.is_none() {
                return;
            }
            let units = low.or(high).map(Units::of).unwrap_or_default();
            let low = low_value.map_or(Amount::BelowAll, Amount::Finite);
            push(&Measured::Range(low, high_value.map_or(Amount::AboveAll, Amount::Finite)), units, out);
        }
        "Money" => {
            let units = Units { system: Some(CURRENCIES), code: node.str_at("currency"), unit: None };
            if let Some(value) = number(node) {
                push(&Measured::Point(value), units, out);
            }
        }
        _ => {
            let Some(value) = number(node) else { return };
            let measured = match node.str_at("comparator") {
                Some("<" | "<=") => Measured::Range(Amount::BelowAll, Amount::Finite(value)),
                Some(">" | ">=") => Measured::Range(Amount::Finite(value), Amount::AboveAll),
                _ => Measured::Point(value),
            };
            push(&measured, Units::of(node), out);
        }
    }
}

/// Encodes the number without its unit; with its code in canonical units, or as written if no canonical one is known; and with
/// its human-readable unit.
fn push(measured: &Measured, units: Units<'_>, out: &mut Vec<Encoded>) {
    let is_point = matches!(measured, Measured::Point(_));
    let form = |point: Form, range: Form| if is_point { point } else { range };
    out.push(encoded(form(Form::Value, Form::Range), measured));
    let with_unit = |form: Form, unit: &str, measured: &Measured, tail: Cow<'_, [u8]>| {
        Encoded::new(form).text(cut(unit)).bytes(&bytes(measured)).tail(tail)
    };
    if let Some(code) = units.code {
        let canonical = canonical(units.system, code)
            .and_then(|unit| in_canonical(measured, &unit).map(|measured| (unit, measured)));
        match canonical {
            Some((unit, measured)) => {
                let form = form(Form::Canonical, Form::CanonicalRange);
                out.push(with_unit(form, &unit.unit, &measured, cut(code)));
            }
            None => {
                let system = units.system.unwrap_or_default();
                out.push(with_unit(form(Form::Unit, Form::UnitRange), code, measured, cut(system)));
            }
        }
    }
    if let Some(unit) = units.unit.filter(|unit| units.code != Some(unit)) {
        out.push(with_unit(form(Form::Unit, Form::UnitRange), unit, measured, Cow::Borrowed(HUMAN)));
    }
}

fn canonical(system: Option<&str>, code: &str) -> Option<CanonicalUnit> {
    if system == Some(UCUM) { get_canonical_units(code).ok() } else { None }
}

fn in_canonical(measured: &Measured, unit: &CanonicalUnit) -> Option<Measured> {
    let each = |amount: &Amount| match amount {
        Amount::Finite(value) => convert(value, unit).map(Amount::Finite),
        other => Some(other.clone()),
    };
    Some(match measured {
        Measured::Point(value) => Measured::Point(convert(value, unit)?),
        Measured::Range(low, high) => Measured::Range(each(low)?, each(high)?),
    })
}

/// Converts a value to the canonical unit.
fn convert(value: &Finite, unit: &CanonicalUnit) -> Option<Finite> {
    let number = octofhir_ucum::Number::parse(&value.to_text())?;
    let (digits, exponent) =
        number.checked_mul(unit.factor)?.checked_add(unit.offset)?.to_integer_and_exponent();
    Some(Finite::of_integer(digits, exponent).rounded(CANONICAL_DIGITS))
}

/// R4 search.html#quantity: `number`, `number|system|code`, `number||code`.
pub(super) fn asks(value: &str) -> Result<Vec<Ask>, InvalidValue> {
    let (number, rest) =
        split_escaped(value, '|').map_or((value, None), |(number, rest)| (number, Some(rest)));
    let asked = NumberAsk::parse(&unescape(number))?;
    let Some(rest) = rest else { return Ok(asked.asks(Form::Value, Form::Range, &[])) };
    let wrong = || format!("`{value}` is neither `number`, `number|system|code` nor `number||code`");
    let (system, code) = split_escaped(rest, '|').ok_or_else(wrong)?;
    let (system, code) = (unescape(system), unescape(code));
    if code.is_empty() {
        return Err(wrong().into());
    }
    if system.is_empty() { Ok(by_code(&asked, &code)) } else { Ok(by_system(&asked, &system, &code)) }
}

fn by_system(asked: &NumberAsk, system: &str, code: &str) -> Vec<Ask> {
    if let Some(unit) = canonical(Some(system), code)
        && let Some(asked) = asked.converted(|value| convert(value, &unit))
    {
        return asked.asks(Form::Canonical, Form::CanonicalRange, &before(&unit.unit));
    }
    let asks = asked.asks(Form::Unit, Form::UnitRange, &before(code));
    asks.into_iter().map(|ask| ask.with_tails(vec![tail(cut(system))])).collect()
}

/// Finds quantities with that code in any system or that human-readable unit, as written.
fn by_code(asked: &NumberAsk, code: &str) -> Vec<Ask> {
    let mut asks = asked.asks(Form::Unit, Form::UnitRange, &before(code));
    if let Some(unit) = canonical(Some(UCUM), code)
        && let Some(asked) = asked.converted(|value| convert(value, &unit))
    {
        let same = asked.asks(Form::Canonical, Form::CanonicalRange, &before(&unit.unit));
        asks.extend(same.into_iter().map(|ask| ask.with_tails(vec![tail(cut(code))])));
    }
    asks
}

fn before(unit: &str) -> Vec<u8> {
    tail(cut(unit))
}

fn tail(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    push_text(&mut out, text.as_ref());
    out
}

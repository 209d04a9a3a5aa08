//! Values of ordered types: numbers, quantities and dates; and places.
use chartward::model::{Precision, Span, Temporal};
use octofhir_ucum::Number;

use super::random::Random;
use crate::oracle::escape::escape;
use crate::oracle::near::Position;
use crate::oracle::quantity::{Amount, Quantity, UCUM};

const PREFIXES: [&str; 14] = ["", "", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "ap"];
const PRECISIONS: [Precision; 6] = [
    Precision::Year,
    Precision::Month,
    Precision::Day,
    Precision::Minute,
    Precision::Second,
    Precision::Millisecond,
];
const RADII: [&str; 8] = ["", "|1|km", "|10", "|100|km", "|5000|m", "|30|mi", "|2.5|km", "|12000|km"];

/// Pairs of units of one dimension: one of the first equals so many of the second.
const CONVERSIONS: [(&str, &str, &str); 28] = [
    ("g", "mg", "1000"),
    ("g", "kg", "0.001"),
    ("mg", "g", "0.001"),
    ("mg", "ug", "1000"),
    ("kg", "g", "1000"),
    ("ug", "mg", "0.001"),
    ("cm", "m", "0.01"),
    ("cm", "mm", "10"),
    ("m", "cm", "100"),
    ("mm", "cm", "0.1"),
    ("km", "m", "1000"),
    ("[in_i]", "cm", "2.54"),
    ("[lb_av]", "g", "453.59237"),
    ("L", "mL", "1000"),
    ("mL", "L", "0.001"),
    ("mL", "cm3", "1"),
    ("dL", "mL", "100"),
    ("h", "min", "60"),
    ("min", "s", "60"),
    ("s", "ms", "1000"),
    ("d", "h", "24"),
    ("wk", "d", "7"),
    ("a", "d", "365.25"),
    ("mo", "d", "30.4375"),
    ("mmol/L", "umol/L", "1000"),
    ("mg/dL", "g/L", "0.01"),
    ("g/dL", "g/L", "10"),
    ("/min", "/h", "60"),
];

pub fn prefix(random: &mut Random) -> &'static str {
    random.word(&PREFIXES)
}

/// The number unchanged, with fewer or more digits, slightly different, or with an exponent.
pub fn number(random: &mut Random, number: Number) -> String {
    let text = number.to_string();
    if text.contains('e') || number.is_zero() {
        return text;
    }
    match random.below(8) {
        0 => shortened(random, &text),
        1 if text.contains('.') => format!("{text}0"),
        1 => format!("{text}.0"),
        2 | 3 => beside(random, number, &text).unwrap_or(text),
        4 => format!("{number:e}"),
        5 => {
            let scientific = format!("{number:e}");
            let (mantissa, exponent) = scientific.split_once('e').unwrap();
            format!("{}e{exponent}", shortened(random, mantissa))
        }
        _ => text,
    }
}

/// The number with some of its fraction digits, or none.
fn shortened(random: &mut Random, text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else { return text.to_owned() };
    match random.below(fraction.len()) {
        0 if whole.trim_start_matches('-') == "0" => text.to_owned(),
        0 => whole.to_owned(),
        kept => format!("{whole}.{}", &fraction[..kept]),
    }
}

/// The number plus or minus one in its last place.
fn beside(random: &mut Random, number: Number, text: &str) -> Option<String> {
    let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let step = Number::power_of_ten(-i32::try_from(places).ok()?);
    let moved = if random.chance(50) { number.checked_add(step)? } else { number.checked_sub(step)? };
    Some(moved.to_string())
}

/// The number of one end with its unit in one of its spellings, or converted to another unit.
pub fn quantity(random: &mut Random, quantity: &Quantity) -> Option<String> {
    let ends: Vec<&Amount> = quantity.low.iter().chain(&quantity.high).collect();
    let amount = *random.pick(&ends)?;
    let plain = number(random, amount.number);
    match random.below(6) {
        0 => Some(plain),
        1 => {
            let names: Vec<&String> = amount.code.iter().chain(&amount.unit).collect();
            Some(format!("{plain}||{}", escape(random.pick(&names)?)))
        }
        2 | 3 => Some(format!("{plain}{}", unit(amount)?)),
        _ => converted(random, amount).or_else(|| Some(format!("{plain}{}", unit(amount)?))),
    }
}

fn unit(amount: &Amount) -> Option<String> {
    Some(format!("|{}|{}", escape(amount.system.as_deref()?), escape(amount.code.as_deref()?)))
}

fn converted(random: &mut Random, amount: &Amount) -> Option<String> {
    if amount.system.as_deref() != Some(UCUM) {
        return None;
    }
    let code = amount.code.as_deref()?;
    let fitting: Vec<(&str, &str)> =
        CONVERSIONS.iter().filter(|(from, ..)| *from == code).map(|(_, to, factor)| (*to, *factor)).collect();
    let (to, factor) = *random.pick(&fitting)?;
    let moved = amount.number.checked_mul(Number::parse(factor)?)?;
    Some(format!("{}|{UCUM}|{to}", number(random, moved)))
}

/// A moment within the span or near it, with a random precision.
pub fn date(random: &mut Random, span: Span) -> Option<String> {
    let mut bounds = Vec::new();
    if span.start != Span::ALWAYS.start {
        bounds.push(span.of_millis().start);
    }
    if span.end != Span::ALWAYS.end {
        bounds.push(span.of_millis().end - 1);
    }
    let mut at = *random.pick(&bounds)?;
    if random.chance(20) {
        at += (i64::try_from(random.below(800)).unwrap() - 400) * 86_400_000;
    }
    let offset = *random.pick(&[Some(0_i16), Some(0), None, Some(120), Some(-300)])?;
    let precision = *random.pick(&PRECISIONS)?;
    let local = Temporal::from_millis(at + i64::from(offset.unwrap_or(0)) * 60_000);
    Some(Temporal { precision, offset, ..local }.to_text())
}

/// A nearby place, with a distance.
pub fn place(random: &mut Random, position: Position) -> String {
    let mut beside = |degrees: f64, most: f64| {
        let thousandths = f64::from(u32::try_from(random.below(1001)).unwrap());
        (degrees + thousandths / 1000.0 - 0.5).clamp(-most, most)
    };
    let latitude = beside(position.latitude, 90.0);
    let longitude = beside(position.longitude, 180.0);
    format!("{latitude:.4}|{longitude:.4}{}", random.word(&RADII))
}

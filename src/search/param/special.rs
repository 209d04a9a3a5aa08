//! `near` on Location (R4 location.html#positional): locations by distance.
use crate::model::Node;
use crate::search::entry::{Encoded, Form};
use crate::search::matcher::{Ask, Check};

use super::super::geography::EARTH_M;
use super::super::invalid_value::InvalidValue;

/// The distance if the query gives none.
const DISTANCE_M: f64 = 50_000.0;

pub(super) fn extract(node: Node<'_>, out: &mut Vec<Encoded>) {
    let degrees = |name: &str| node.get(name).and_then(|node| node.text().parse::<f64>().ok());
    if let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude")) {
        let mut key = Encoded::new(Form::Value);
        push_degrees(latitude, &mut key.key);
        push_degrees(longitude, &mut key.key);
        out.push(key);
    }
}

/// Appends the bits of a floating point number, transformed so that the bytes sort like the numbers.
fn push_degrees(degrees: f64, out: &mut Vec<u8>) {
    let bits = degrees.to_bits();
    let sign = 1_u64 << 63;
    let sorted = if bits & sign == 0 { bits | sign } else { !bits };
    out.extend_from_slice(&sorted.to_be_bytes());
}

/// Parses `latitude|longitude|distance|units`.
pub(super) fn asks(value: &str) -> Result<Vec<Ask>, InvalidValue> {
    let wrong = || format!("`{value}` is not `latitude|longitude|distance|units`");
    let mut parts = value.split('|');
    let mut number = || parts.next().map(str::trim).filter(|part| !part.is_empty()).map(str::parse::<f64>);
    let (latitude, longitude) = (number(), number());
    let (Some(Ok(latitude)), Some(Ok(longitude))) = (latitude, longitude) else { return Err(wrong().into()) };
    let distance = number().transpose().map_err(|_| wrong())?;
    let metres_each = match parts.next().map(str::trim).unwrap_or_default() {
        "" | "km" => 1_000.0,
        "m" => 1.0,
        "mi" | "mi_us" | "[mi_i]" | "[mi_us]" => 1_609.344,
        unit => return Err(format!("`{unit}` is no unit of distance; km, m and mi are").into()),
    };
    let is_on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    let metres = distance.map_or(DISTANCE_M, |distance| distance * metres_each);
    if !is_on_earth || metres.is_nan() || metres < 0.0 || parts.next().is_some() {
        return Err(wrong().into());
    }
    // A degree of latitude has the same length everywhere; the addition allows for rounding.
    let degrees = (metres / EARTH_M).to_degrees() + 1e-9;
    let bound = |latitude: f64| {
        let mut key = vec![Form::Value.byte()];
        push_degrees(latitude, &mut key);
        key
    };
    let mut end = bound(latitude + degrees);
    end.push(0xff);
    Ok(vec![Ask::range(bound(latitude - degrees), end).with(Check::Within { latitude, longitude, metres })])
}

#[cfg(test)]
mod tests {
    use super::push_degrees;
    use crate::search::geography::{distance_m, point_of};

    #[test]
    fn degrees_come_back_in_order() {
        let bytes = |degrees: f64| {
            let mut out = vec![0x11];
            push_degrees(degrees, &mut out);
            push_degrees(0.5, &mut out);
            out
        };
        let mut sorted = [-90.0, -12.5, -0.0, 0.25, 47.0].map(bytes);
        let before = sorted.clone();
        sorted.sort();
        assert_eq!(before, sorted);
        assert_eq!(point_of(&bytes(-12.5)), Some((-12.5, 0.5)));
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let metres = distance_m((52.52, 13.405), (48.137, 11.575));
        assert!((metres - 504_000.0).abs() < 2_000.0, "{metres}");
    }
}

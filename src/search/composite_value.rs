//! Splits the value of a composite's index entry into its components.
use crate::definitions::ParamType;

use super::decimal::amount_len;
use super::entry::{Form, TIME_BYTES, text_end};

/// The key and tail of each component of a value.
pub(in crate::search) fn decode(
    kinds: impl Iterator<Item = ParamType> + Clone,
    value: &[u8],
) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = value.get(1..)?;
    let mut keys = Vec::new();
    for kind in kinds.clone() {
        let (key, after) = rest.split_at_checked(key_len(kind, rest)?)?;
        keys.push(key);
        rest = after;
    }
    let mut found = Vec::new();
    for (kind, key) in kinds.zip(keys) {
        let (tail, after) = rest.split_at_checked(tail_len(kind, *key.first()?, rest)?)?;
        found.push((key, tail));
        rest = after;
    }
    Some(found)
}

/// The length of the key of a value, in bytes.
pub(super) fn key_len(kind: ParamType, value: &[u8]) -> Option<usize> {
    let text_after = |at: usize| Some(at + text_end(value.get(at..)?)?);
    match kind {
        ParamType::Token | ParamType::String | ParamType::Uri => text_after(1),
        ParamType::Reference if value.first() == Some(&Form::Identifier.byte()) => text_after(1),
        ParamType::Reference => text_after(text_after(1)?),
        ParamType::Date => Some(1 + 2 * TIME_BYTES),
        ParamType::Number | ParamType::Quantity => {
            let ranges = [Form::Range, Form::UnitRange, Form::CanonicalRange];
            let mut at = number_at(value)?;
            at += amount_len(value.get(at..)?)?;
            if ranges.iter().any(|form| value.first() == Some(&form.byte())) {
                at += amount_len(value.get(at..)?)?;
            }
            Some(at)
        }
        ParamType::Composite | ParamType::Special => None,
    }
}

/// The length of a component's tail; `tail` begins with it and may go on after it.
pub(super) fn tail_len(kind: ParamType, form: u8, tail: &[u8]) -> Option<usize> {
    let has_tail = match kind {
        ParamType::Token => form == Form::Value.byte(),
        ParamType::String => form == Form::Value.byte(),
        ParamType::Reference => form == Form::Identifier.byte(),
        ParamType::Quantity => [Form::Unit, Form::UnitRange, Form::Canonical, Form::CanonicalRange]
            .iter()
            .any(|unit| unit.byte() == form),
        _ => false,
    };
    if has_tail { text_end(tail) } else { Some(0) }
}

/// Where the first number of a number or quantity begins: after the form byte, or after the unit.
pub(super) fn number_at(value: &[u8]) -> Option<usize> {
    let units = [Form::Unit, Form::UnitRange, Form::Canonical, Form::CanonicalRange];
    let form = value.first()?;
    if units.iter().any(|unit| unit.byte() == *form) { Some(1 + text_end(value.get(1..)?)?) } else { Some(1) }
}

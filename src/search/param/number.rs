//! Numbers (R4 search.html#number): points and ranges, compared with the precision of the number in the query.
use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::decimal::{Amount, Finite, Written};
use crate::search::entry::{Encoded, Form};
use crate::search::matcher::{Ask, Check};
use crate::search::text::{Prefix, prefixed};

use super::super::invalid_value::InvalidValue;

/// A number in a resource: a point, or a range with possibly open bounds.
pub(super) enum Measured {
    Point(Finite),
    Range(Amount, Amount),
}

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    match &*def.name {
        "Range" => {
            let bound = |name: &str| node.get(name).and_then(|bound| bound.get("value"));
            let bounds =
                [bound("low"), bound("high")].map(|bound| bound.and_then(|node| Finite::parse(node.text())));
            let [low, high] = bounds;
            if low.is_none() && high.is_none() {
                return;
            }
            let low = low.map_or(Amount::BelowAll, Amount::Finite);
            let high = high.map_or(Amount::AboveAll, Amount::Finite);
            out.push(encoded(Form::Range, &Measured::Range(low, high)));
        }
        _ => {
            if let Some(value) = Finite::parse(node.text()) {
                out.push(encoded(Form::Value, &Measured::Point(value)));
            }
        }
    }
}

/// The encoded number without a unit; quantities insert their unit after the form byte.
pub(super) fn encoded(form: Form, measured: &Measured) -> Encoded {
    Encoded::new(form).bytes(&bytes(measured))
}

pub(super) fn bytes(measured: &Measured) -> Vec<u8> {
    match measured {
        Measured::Point(value) => Amount::Finite(value.clone()).bytes(),
        Measured::Range(low, high) => [low.bytes(), high.bytes()].concat(),
    }
}

/// A condition on numbers.
pub(super) struct NumberAsk {
    pub(super) prefix: Prefix,
    pub(super) value: Amount,
    /// The bounds for `eq` and `ne`, the upper one excluded.
    pub(super) bounds: (Amount, Amount),
    /// The bounds for `ap`, both included.
    pub(super) about: (Amount, Amount),
}

impl NumberAsk {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        let (prefix, text) = prefixed(text);
        let written = Written::parse(text).ok_or_else(|| format!("`{text}` is no number"))?;
        let pair = |(low, high)| (Amount::Finite(low), Amount::Finite(high));
        Ok(Self {
            prefix,
            value: Amount::Finite(written.value()),
            bounds: pair(written.bounds()),
            about: pair(written.about()),
        })
    }

    /// The condition converted to another unit.
    pub(super) fn converted(&self, convert: impl Fn(&Finite) -> Option<Finite>) -> Option<Self> {
        let each = |amount: &Amount| match amount {
            Amount::Finite(value) => convert(value).map(Amount::Finite),
            other => Some(other.clone()),
        };
        let pair = |(low, high): &(Amount, Amount)| {
            let (low, high) = (each(low)?, each(high)?);
            // A conversion may reverse the order of the bounds.
            Some(if low.bytes() <= high.bytes() { (low, high) } else { (high, low) })
        };
        Some(Self {
            prefix: self.prefix,
            value: each(&self.value)?,
            bounds: pair(&self.bounds)?,
            about: pair(&self.about)?,
        })
    }

    /// The conditions on points and on ranges; `before` are the bytes between form and number in a key.
    pub(super) fn asks(&self, point: Form, range: Form, before: &[u8]) -> Vec<Ask> {
        let value = self.value.bytes();
        let ((low, high), (about_low, about_high)) =
            ((self.bounds.0.bytes(), self.bounds.1.bytes()), (self.about.0.bytes(), self.about.1.bytes()));
        let (none, all) = (Vec::new(), vec![0xff]);
        let past = |bytes: &[u8]| [bytes, &[0xff]].concat();
        let points = |from: &[u8], to: &[u8]| {
            let key = |bytes: &[u8]| [&[point.byte()], before, bytes].concat();
            Ask::range(key(from), key(to))
        };
        let ranges = |numbers: [Vec<u8>; 4]| {
            Ask::beginning([&[range.byte()], before].concat()).with(Check::Numbers(numbers))
        };
        let inside =
            || vec![points(&low, &high), ranges([low.clone(), all.clone(), none.clone(), high.clone()])];
        match self.prefix {
            Prefix::Eq => inside(),
            Prefix::Ne => vec![
                points(&none, &low),
                points(&high, &all),
                ranges([none.clone(), low.clone(), none.clone(), all.clone()]),
                ranges([none.clone(), all.clone(), high, all.clone()]),
            ],
            Prefix::Gt => {
                vec![points(&past(&value), &all), ranges([none.clone(), all.clone(), past(&value), all])]
            }
            Prefix::Ge => vec![points(&value, &all), ranges([none.clone(), all.clone(), value, all])],
            Prefix::Lt => vec![points(&none, &value), ranges([none.clone(), value, none, all])],
            Prefix::Le => {
                vec![points(&none, &past(&value)), ranges([none.clone(), past(&value), none, all])]
            }
            Prefix::Sa => vec![points(&past(&value), &all), ranges([past(&value), all.clone(), none, all])],
            Prefix::Eb => vec![points(&none, &value), ranges([none.clone(), all, none, value])],
            Prefix::Ap => vec![
                points(&about_low, &past(&about_high)),
                ranges([none, past(&about_high), about_low, all]),
            ],
        }
    }
}

pub(super) fn asks(value: &str) -> Result<Vec<Ask>, InvalidValue> {
    Ok(NumberAsk::parse(value)?.asks(Form::Value, Form::Range, &[]))
}

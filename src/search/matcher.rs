//! A filter on index entries: a byte range of the index, plus the checks that the range alone does not express.
use crate::definitions::ParamType;
use crate::model::Nanos;

use super::composite_value::decode as decode_composite;
use super::composite_value::{key_len, number_at};
use super::decimal::amount_len;
use super::entry::{
    Encoded, Entry, Form, TIME_BYTES, cut_open, push_open_text, text_end, time_of, without_hash,
};
use super::geography::{distance_m, point_of};

/// The index entries that one search value finds: a range of keys, a check on the key, and the permitted tails.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
    /// Whether the range covers one complete key.
    pub(super) is_whole_key: bool,
    pub(super) check: Check,
    /// The tail must be one of these; `None` permits any tail.
    pub(super) tails: Option<Vec<Vec<u8>>>,
}

/// A check on a key or value within the range.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    None,
    /// The end of a date's interval is not after this.
    SecondTimeAtMost(Nanos),
    SecondTimeAfter(Nanos),
    /// Bounds `[low_min, low_max, high_min, high_max]` for the two ends of a range of numbers, all encoded:
    /// `low_min <= low < low_max` and `high_min <= high < high_max`.
    Numbers([Vec<u8>; 4]),
    /// The first text contains this anywhere.
    Holds(Vec<u8>),
    /// The first text ends with this.
    Ends(Vec<u8>),
    /// The point is within this many metres of the given one (in degrees).
    Within {
        latitude: f64,
        longitude: f64,
        metres: f64,
    },
    /// The tail is one of these, and the key before it passes another check.
    Tails(ParamType, Vec<Vec<u8>>, Box<Self>),
    /// Every component of the composite passes the condition on that component.
    Parts(Vec<(ParamType, Ask)>),
}

impl Ask {
    /// Finds the values with exactly this key (and this tail, if it is not empty).
    pub(super) fn exactly(value: Encoded) -> Self {
        let tails = (!value.tail.is_empty()).then(|| vec![value.tail]);
        Self { is_whole_key: true, tails, ..Self::beginning(value.key) }
    }

    /// Finds the values whose key begins with these bytes.
    pub(super) fn beginning(start: Vec<u8>) -> Self {
        let end = after(&start);
        Self { start, end, is_whole_key: false, check: Check::None, tails: None }
    }

    /// Finds the values of a form whose text begins with `text`. Of a long `text` only the part that the index holds is
    /// compared.
    pub(super) fn text_from(form: Form, text: &str) -> Self {
        let mut start = vec![form.byte()];
        push_open_text(&mut start, cut_open(text));
        Self::beginning(start)
    }

    /// Finds the values with this key and any tail.
    pub(super) fn key(value: Encoded) -> Self {
        Self { is_whole_key: true, ..Self::beginning(value.key) }
    }

    pub(super) fn all(form: Form) -> Self {
        Self::beginning(vec![form.byte()])
    }

    pub(super) fn range(start: Vec<u8>, end: Vec<u8>) -> Self {
        Self { start, end, is_whole_key: false, check: Check::None, tails: None }
    }

    pub(super) fn with(self, check: Check) -> Self {
        Self { check, ..self }
    }

    pub(super) fn with_tails(self, tails: Vec<Vec<u8>>) -> Self {
        Self { tails: Some(tails), ..self }
    }

    /// Whether a value with this key and tail is found.
    fn finds(&self, key: &[u8], tail: &[u8]) -> bool {
        self.start.as_slice() <= key
            && key < self.end.as_slice()
            && self.check.accepts(key)
            && self.tails.as_ref().is_none_or(|tails| tails.iter().any(|wanted| wanted == tail))
    }

    /// The index ranges for a parameter that is not a composite.
    pub(super) fn matchers(self, param: u32, kind: ParamType) -> Vec<Matcher> {
        let Some(tails) = self.tails else {
            let Self { start, end, is_whole_key, check, .. } = self;
            return vec![Matcher { param, start, end, is_whole_key, check }];
        };
        if self.is_whole_key {
            let whole = |tail: &Vec<u8>| {
                let start = [self.start.as_slice(), tail].concat();
                let end = after(&start);
                Matcher { param, start, end, is_whole_key: true, check: self.check.clone() }
            };
            return tails.iter().map(whole).collect();
        }
        let check = Check::Tails(kind, tails, Box::new(self.check));
        vec![Matcher { param, start: self.start, end: self.end, is_whole_key: false, check }]
    }
}

/// The first byte string after all those that begin with this prefix.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    // INVARIANT: a value begins with the byte of its form, which is never 255.
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Finds the entries whose value bytes lie from `start` up to, not including, `end` and pass the check.
#[derive(Clone, Debug, PartialEq)]
pub struct Matcher {
    pub param: u32,
    pub start: Vec<u8>,
    pub end: Vec<u8>,
    /// Whether the range covers one complete key, so that its entries are few and adjacent.
    pub is_whole_key: bool,
    pub check: Check,
}

impl Matcher {
    /// Finds all values of a parameter, in any form.
    #[must_use]
    pub fn any(param: u32) -> Self {
        let (start, end) = (vec![Form::Present.byte() + 1], vec![u8::MAX]);
        Self { param, start, end, is_whole_key: false, check: Check::None }
    }

    /// Whether this matcher finds the entry.
    #[must_use]
    pub fn finds(&self, entry: &Entry) -> bool {
        entry.param == self.param
            && self.start <= entry.value
            && entry.value < self.end
            && self.check.accepts(&entry.value)
    }
}

impl Check {
    /// Whether a key, or a value that begins with the key, passes the check.
    #[must_use]
    pub fn accepts(&self, value: &[u8]) -> bool {
        let second_time = || value.get(1 + TIME_BYTES..).and_then(time_of);
        match self {
            Self::None => true,
            Self::SecondTimeAtMost(limit) => second_time().is_some_and(|time| time <= *limit),
            Self::SecondTimeAfter(limit) => second_time().is_some_and(|time| time > *limit),
            Self::Numbers(bounds) => numbers_fit(value, bounds).unwrap_or(false),
            Self::Holds(part) => first_text(value).is_some_and(|text| {
                part.is_empty() || text.windows(part.len()).any(|window| window == part.as_slice())
            }),
            // The index holds no end of a long text, so a long text never passes here.
            Self::Ends(end) => first_whole_text(value).is_some_and(|text| text.ends_with(end)),
            Self::Within { latitude, longitude, metres } => {
                point_of(value).is_some_and(|point| distance_m(point, (*latitude, *longitude)) <= *metres)
            }
            Self::Tails(kind, tails, others) => {
                let tail = key_len(*kind, value).and_then(|len| value.get(len..));
                tail.is_some_and(|tail| tails.iter().any(|wanted| wanted == tail)) && others.accepts(value)
            }
            Self::Parts(asks) => {
                decode_composite(asks.iter().map(|(kind, _)| *kind), value).is_some_and(|parts| {
                    asks.iter().zip(parts).all(|((_, ask), (key, tail))| ask.finds(key, tail))
                })
            }
        }
    }
}

fn first_whole_text(value: &[u8]) -> Option<&[u8]> {
    let text = value.get(1..text_end(value)? - 2)?;
    (without_hash(text).len() == text.len()).then_some(text)
}

fn first_text(value: &[u8]) -> Option<&[u8]> {
    value.get(1..text_end(value)? - 2).map(without_hash)
}

/// Whether the two numbers at the end of a range's key lie within the bounds.
fn numbers_fit(value: &[u8], [low_min, low_max, high_min, high_max]: &[Vec<u8>; 4]) -> Option<bool> {
    let at = number_at(value)?;
    let rest = value.get(at..)?;
    let (low, rest) = rest.split_at_checked(amount_len(rest)?)?;
    let high = rest.get(..amount_len(rest)?)?;
    Some(
        low >= low_min.as_slice()
            && low < low_max.as_slice()
            && high >= high_min.as_slice()
            && high < high_max.as_slice(),
    )
}

/// The bytes that a value is sorted by: the value itself, the start of a date, or the low end of a range of numbers; `None` for
/// forms that are not sorted by.
#[must_use]
pub fn sort_value(kind: ParamType, value: &[u8]) -> Option<Vec<u8>> {
    let (form, rest) = value.split_first()?;
    if *form == Form::Value.byte() {
        return if kind == ParamType::Date {
            value.get(..1 + TIME_BYTES).map(<[u8]>::to_vec)
        } else {
            Some(value.to_vec())
        };
    }
    let low = rest.get(..amount_len(rest)?)?;
    (*form == Form::Range.byte()).then(|| [&[Form::Value.byte()], low].concat())
}

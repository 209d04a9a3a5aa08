//! Dates: intervals, compared as intervals.
use chartward::model::{NANOS_PER_MILLI, Nanos, Span, Temporal};

use super::prefix::Prefix;

const DAY: Nanos = 86_400_000_000_000;

/// The condition of a date parameter.
pub struct AskedDate {
    prefix: Prefix,
    interval: Span,
    near: Span,
}

impl AskedDate {
    /// Parses a value with its prefix.
    pub fn parse(text: &str, now: i64) -> Result<Self, String> {
        let (prefix, date) = Prefix::split(text);
        Self::new(prefix, date, now)
    }

    pub fn new(prefix: Prefix, text: &str, now: i64) -> Result<Self, String> {
        let interval = Temporal::parse(text).ok_or_else(|| format!("`{text}` is no date"))?.span();
        Ok(Self { prefix, interval, near: widened(interval, now) })
    }

    pub fn finds(&self, value: Span) -> bool {
        let asked = self.interval;
        match self.prefix {
            Prefix::Eq => contains(asked, value),
            Prefix::Ne => !contains(asked, value),
            Prefix::Gt => value.end > asked.end,
            Prefix::Lt => value.start < asked.start,
            Prefix::Ge => value.end > asked.start,
            Prefix::Le => value.start < asked.end,
            Prefix::Sa => value.start >= asked.end,
            Prefix::Eb => value.end <= asked.start,
            Prefix::Ap => overlap(value, self.near),
        }
    }

    /// Whether the value overlaps the interval of the condition.
    pub fn overlaps(&self, value: Span) -> bool {
        overlap(value, self.interval)
    }
}

fn contains(whole: Span, part: Span) -> bool {
    whole.start <= part.start && part.end <= whole.end
}

fn overlap(one: Span, other: Span) -> bool {
    one.start < other.end && other.start < one.end
}

fn widened(interval: Span, now: i64) -> Span {
    let now = Nanos::from(now) * NANOS_PER_MILLI;
    let distance = (now - interval.start).abs().min((now - interval.end).abs());
    let margin = (distance / 10).max(DAY);
    Span { start: interval.start - margin, end: interval.end + margin }
}

//! Dates: intervals of the time line, compared as intervals.
use chartward::model::{Interval, Temporal};

use super::prefix::Prefix;

const DAY: i64 = 86_400_000;

/// A date parameter as it was asked for.
pub struct AskedDate {
    prefix: Prefix,
    interval: Interval,
    near: Interval,
}

impl AskedDate {
    /// A value with its prefix.
    pub fn parse(text: &str, now: i64) -> Result<Self, String> {
        let (prefix, date) = Prefix::split(text);
        Self::new(prefix, date, now)
    }

    pub fn new(prefix: Prefix, text: &str, now: i64) -> Result<Self, String> {
        let interval = Temporal::parse(text).ok_or_else(|| format!("`{text}` is no date"))?.interval();
        Ok(Self { prefix, interval, near: widened(interval, now) })
    }

    pub fn finds(&self, value: Interval) -> bool {
        let asked = self.interval;
        match self.prefix {
            Prefix::Eq => asked.contains(value),
            Prefix::Ne => !asked.contains(value),
            Prefix::Gt => value.end > asked.end,
            Prefix::Lt => value.start < asked.start,
            Prefix::Ge => value.end > asked.end || asked.contains(value),
            Prefix::Le => value.start < asked.start || asked.contains(value),
            Prefix::Sa => value.start >= asked.end,
            Prefix::Eb => value.end <= asked.start,
            Prefix::Ap => value.overlaps(self.near),
        }
    }

    /// Whether the value has a moment in common with the interval asked for.
    pub fn overlaps(&self, value: Interval) -> bool {
        value.overlaps(self.interval)
    }
}

fn widened(interval: Interval, now: i64) -> Interval {
    let distance = (now - interval.start).abs().min((now - interval.end).abs());
    let margin = (distance / 10).max(DAY);
    Interval { start: interval.start - margin, end: interval.end + margin }
}

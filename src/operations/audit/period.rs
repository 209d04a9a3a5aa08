//! The period that an account of accesses is asked for.
use crate::model::{Interval, IssueCode, Millis, Temporal};

use super::super::answer::Refusal;
use super::super::parameters::Call;

/// The period from `start` to `end`: dates or times, both included.
pub(super) fn period(call: &Call<'_>) -> Result<Interval, Refusal> {
    let bound = |name: &str| -> Result<Option<Interval>, Refusal> {
        let Some(text) = call.text(name)? else { return Ok(None) };
        let wrong = || Refusal::bad_request(IssueCode::Value, format!("`{name}` is no date"));
        // In a query a plus sign may have become a space.
        Temporal::parse(&text.replace(' ', "+")).map(|date| Some(date.interval())).ok_or_else(wrong)
    };
    let (start, end) = (bound("start")?, bound("end")?);
    Ok(Interval {
        start: start.map_or(Interval::ALWAYS.start, |start| start.start),
        end: end.map_or(Interval::ALWAYS.end, |end| end.end),
    })
}

/// How long after its request an access record may be committed, in milliseconds: readers in commit order allow for it.
pub(super) const LATE_MS_MAX: Millis = 24 * 60 * 60 * 1_000;

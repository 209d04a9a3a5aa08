//! Dates (R4 search.html#date): intervals as long as the precision that they are written with.
use crate::definitions::TypeDef;
use crate::model::{Interval, Node, Temporal};
use crate::search::entry::{Encoded, Form, push_time};
use crate::search::matcher::{Ask, Check};
use crate::search::text::{Prefix, prefixed};

use super::Asking;

/// Longer intervals are listed by themselves, so that what overlaps an interval is looked for only this far before it.
const LONG_MS: i64 = 32 * 86_400_000;

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    let interval_of = |text: Option<&str>| text.and_then(Temporal::parse).map(|date| date.interval());
    let interval = match &*def.name {
        "Period" => period(node),
        // R4 search.html#date: of a schedule only the outer limits matter.
        "Timing" => {
            let events = node.items_at("event").filter_map(|event| interval_of(event.as_str()));
            let bounds = node.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period);
            events.chain(bounds).reduce(|one, other| Interval {
                start: one.start.min(other.start),
                end: one.end.max(other.end),
            })
        }
        _ => interval_of(node.as_str()),
    };
    if let Some(Interval { start, end }) = interval {
        out.push(Encoded::new(Form::Value).time(start).time(end));
        if end.saturating_sub(start) > LONG_MS {
            out.push(Encoded::new(Form::Long).time(start).time(end));
        }
    }
}

/// A period; where a bound is missing it is open.
fn period(node: Node<'_>) -> Option<Interval> {
    let bound = |name| node.str_at(name).and_then(Temporal::parse).map(|date| date.interval());
    let (start, end) = (bound("start"), bound("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.map_or(Interval::ALWAYS.start, |interval| interval.start);
    Some(Interval { start, end: end.map_or(Interval::ALWAYS.end, |interval| interval.end).max(start) })
}

/// The interval that the value of a date parameter stands for.
///
/// # Errors
/// If it is no date.
pub fn date_interval(value: &str) -> Result<Interval, String> {
    // A plus sign that nobody encoded arrives as a space.
    let text = value.replace(' ', "+");
    Temporal::parse(&text).map(|date| date.interval()).ok_or_else(|| format!("`{value}` is no date"))
}

/// The interval widened for `ap`: by a tenth of the distance from now to its nearest bound (R4 search.html#prefix), and
/// at least by a day.
pub(in crate::search) fn about(asked: Interval, now: i64) -> Interval {
    const DAY_MS: i64 = 86_400_000;
    let distance = (asked.start - now).abs().min((asked.end - now).abs());
    let margin = (distance / 10).max(DAY_MS);
    Interval { start: asked.start.saturating_sub(margin), end: asked.end.saturating_add(margin) }
}

pub(super) fn asks(value: &str, asking: Asking<'_>) -> Result<Vec<Ask>, String> {
    let (prefix, text) = prefixed(value);
    let asked = date_interval(text)?;
    let by = |form: Form, from: i64, to: i64, check: Check| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, to);
        Ask::range(start, end).with(check)
    };
    let inside = || by(Form::Value, asked.start, asked.end, Check::SecondTimeAtMost(asked.end));
    let first = i64::MIN;
    // The open end of a period without one is the last instant of all; ranges must take it in.
    let to_the_end = |form: Form, from: i64, check: Check| {
        let mut ask = by(form, from, i64::MAX, check);
        ask.end = vec![form.byte() + 1];
        ask
    };
    // What ends after an instant starts not long before it, or is long.
    let ends_after = || {
        let check = || Check::SecondTimeAfter(asked.end);
        let short = to_the_end(Form::Value, asked.end.saturating_sub(LONG_MS), check());
        [short, Ask::all(Form::Long).with(check())]
    };
    let starts_before = || by(Form::Value, first, asked.start, Check::None);
    Ok(match prefix {
        Prefix::Eq => vec![inside()],
        Prefix::Ne => vec![
            starts_before(),
            by(Form::Value, asked.start, asked.end, Check::SecondTimeAfter(asked.end)),
            to_the_end(Form::Value, asked.end, Check::None),
        ],
        Prefix::Gt => ends_after().into(),
        Prefix::Lt => vec![starts_before()],
        Prefix::Ge => ends_after().into_iter().chain([inside()]).collect(),
        Prefix::Le => vec![starts_before(), inside()],
        Prefix::Sa => vec![to_the_end(Form::Value, asked.end, Check::None)],
        Prefix::Eb => {
            vec![by(Form::Value, first, asked.start.saturating_add(1), Check::SecondTimeAtMost(asked.start))]
        }
        Prefix::Ap => overlapping(about(asked, asking.now)),
    })
}

/// Dates that have an instant in common with the interval.
pub(in crate::search) fn overlapping(asked: Interval) -> Vec<Ask> {
    let by = |form: Form, from: i64| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, asked.end);
        Ask::range(start, end).with(Check::SecondTimeAfter(asked.start))
    };
    let from = asked.start.saturating_sub(LONG_MS);
    // Of an interval that ends before it starts only a long one can reach both sides.
    let short = (from < asked.end).then(|| by(Form::Value, from));
    short.into_iter().chain([by(Form::Long, i64::MIN)]).collect()
}

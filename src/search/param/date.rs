//! Dates (R4 search.html#date): intervals whose length is the precision of the written date.
use crate::definitions::TypeDef;
use crate::model::{Interval, Millis, NANOS_PER_MILLI, Nanos, Node, Span, Temporal};
use crate::search::entry::{Encoded, Form, push_time};
use crate::search::matcher::{Ask, Check, Matcher};
use crate::search::text::{Prefix, prefixed};

use super::super::invalid_value::InvalidValue;
use super::ValueContext;

/// Longer intervals get an additional entry, so that a search for overlaps need only look this far back among the others.
const LONG: Nanos = 32 * DAY;
const DAY: Nanos = 86_400_000_000_000;

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    let interval_of = |text: Option<&str>| text.and_then(Temporal::parse).map(|date| date.span());
    let interval = match &*def.name {
        "Period" => period(node),
        // R4 search.html#date: only the outer limits of a schedule matter.
        "Timing" => {
            let events = node.items_at("event").filter_map(|event| interval_of(event.as_str()));
            let bounds = node.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period);
            events
                .chain(bounds)
                .reduce(|one, other| Span { start: one.start.min(other.start), end: one.end.max(other.end) })
        }
        _ => interval_of(node.as_str()),
    };
    if let Some(Span { start, end }) = interval {
        out.push(Encoded::new(Form::Value).time(start).time(end));
        if end - start > LONG {
            out.push(Encoded::new(Form::Long).time(start).time(end));
        }
    }
}

/// The interval of a Period; a missing bound is open.
fn period(node: Node<'_>) -> Option<Span> {
    let bound = |name| node.str_at(name).and_then(Temporal::parse).map(|date| date.span());
    let (start, end) = (bound("start"), bound("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.map_or(Span::ALWAYS.start, |span| span.start);
    Some(Span { start, end: end.map_or(Span::ALWAYS.end, |span| span.end).max(start) })
}

/// The interval that the value of a date parameter stands for.
///
/// # Errors
/// If the value is not a date.
pub fn date_span(value: &str) -> Result<Span, InvalidValue> {
    // An unencoded plus sign arrives as a space.
    let text = value.replace(' ', "+");
    Temporal::parse(&text).map(|date| date.span()).ok_or_else(|| format!("`{value}` is no date").into())
}

/// The interval widened for `ap`: by a tenth of the distance from now to its nearest bound (R4 search.html#prefix), and by at
/// least one day.
pub(in crate::search) fn about(asked: Span, now: Millis) -> Span {
    let now = Nanos::from(now) * NANOS_PER_MILLI;
    let distance = (asked.start - now).abs().min((asked.end - now).abs());
    let margin = (distance / 10).max(DAY);
    Span { start: asked.start - margin, end: asked.end + margin }
}

pub(super) fn asks(value: &str, asking: ValueContext<'_>) -> Result<Vec<Ask>, InvalidValue> {
    let (prefix, text) = prefixed(value);
    let asked = date_span(text)?;
    let by = |form: Form, from: Nanos, to: Nanos, check: Check| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, to);
        Ask::range(start, end).with(check)
    };
    let Span { start: first, end: last } = Span::ALWAYS;
    // An open end is encoded as the last instant of all; the range must include it.
    let to_the_end = |form: Form, from: Nanos, check: Check| {
        let mut ask = by(form, from, last, check);
        ask.end = vec![form.byte() + 1];
        ask
    };
    // An interval that ends after an instant either starts at most `LONG` before it or is a long one.
    let ends_after = |time: Nanos| {
        let short = to_the_end(Form::Value, time - LONG, Check::SecondTimeAfter(time));
        vec![short, Ask::all(Form::Long).with(Check::SecondTimeAfter(time))]
    };
    let starts_before = |time: Nanos| by(Form::Value, first, time, Check::None);
    Ok(match prefix {
        Prefix::Eq => vec![by(Form::Value, asked.start, asked.end, Check::SecondTimeAtMost(asked.end))],
        Prefix::Ne => vec![
            starts_before(asked.start),
            by(Form::Value, asked.start, asked.end, Check::SecondTimeAfter(asked.end)),
            to_the_end(Form::Value, asked.end, Check::None),
        ],
        // R4 search.html#prefix: with `gt` the range above the given date overlaps the value; with `ge` that range includes the
        // date itself.
        Prefix::Gt => ends_after(asked.end),
        Prefix::Ge => ends_after(asked.start),
        Prefix::Lt => vec![starts_before(asked.start)],
        Prefix::Le => vec![starts_before(asked.end)],
        Prefix::Sa => vec![to_the_end(Form::Value, asked.end, Check::None)],
        Prefix::Eb => {
            vec![by(Form::Value, first, asked.start + 1, Check::SecondTimeAtMost(asked.start))]
        }
        Prefix::Ap => overlapping(about(asked, asking.now)),
    })
}

/// Finds the dates that overlap the interval.
pub(in crate::search) fn overlapping(asked: Span) -> Vec<Ask> {
    let by = |form: Form, from: Nanos| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, asked.end);
        Ask::range(start, end).with(Check::SecondTimeAfter(asked.start))
    };
    let from = asked.start - LONG;
    // If the interval is inverted, only a long one can reach both of its sides.
    let short = (from < asked.end).then(|| by(Form::Value, from));
    short.into_iter().chain([by(Form::Long, Span::ALWAYS.start)]).collect()
}

/// The millisecond-long moments that a date matcher finds. They form an interval, because an entry's key and both its times grow
/// with the moment.
#[must_use]
pub fn moments_found(matcher: &Matcher) -> Interval {
    let key = |moment: Millis| {
        let Span { start, end } = moment_span(moment);
        Encoded::new(Form::Value).time(start).time(end).key
    };
    let mut found = Interval {
        start: first_moment(|moment| key(moment) >= matcher.start),
        end: first_moment(|moment| key(moment) >= matcher.end),
    };
    match &matcher.check {
        Check::SecondTimeAtMost(_) => {
            found.end = found.end.min(first_moment(|moment| !matcher.check.accepts(&key(moment))));
        }
        Check::SecondTimeAfter(_) => {
            found.start = found.start.max(first_moment(|moment| matcher.check.accepts(&key(moment))));
        }
        _ => {}
    }
    found
}

/// A range of milliseconds much wider than the years of FHIR's dates.
const MOMENTS: Interval = Interval { start: -(1 << 50), end: 1 << 50 };

/// The nanoseconds of a millisecond-long moment.
fn moment_span(moment: Millis) -> Span {
    let start = Nanos::from(moment) * NANOS_PER_MILLI;
    Span { start, end: start + NANOS_PER_MILLI }
}

/// The first moment for which `holds` is true; it must then be true for all later ones.
fn first_moment(holds: impl Fn(Millis) -> bool) -> Millis {
    let Interval { mut start, mut end } = MOMENTS;
    while start < end {
        let middle = start + (end - start) / 2;
        if holds(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
}

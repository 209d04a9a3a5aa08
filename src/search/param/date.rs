//! Dates (R4 search.html#date): intervals as long as the precision that they are written with.
use crate::definitions::TypeDef;
use crate::model::{Interval, Millis, NANOS_PER_MILLI, Nanos, Node, Span, Temporal};
use crate::search::entry::{Encoded, Form, push_time};
use crate::search::matcher::{Ask, Check, Matcher};
use crate::search::text::{Prefix, prefixed};

use super::ValueContext;

/// Longer intervals are listed by themselves, so that what overlaps an interval is looked for only this far before it.
const LONG: Nanos = 32 * DAY;
const DAY: Nanos = 86_400_000_000_000;

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    let interval_of = |text: Option<&str>| text.and_then(Temporal::parse).map(|date| date.span());
    let interval = match &*def.name {
        "Period" => period(node),
        // R4 search.html#date: of a schedule only the outer limits matter.
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

/// A period; where a bound is missing it is open.
fn period(node: Node<'_>) -> Option<Span> {
    let bound = |name| node.str_at(name).and_then(Temporal::parse).map(|date| date.span());
    let (start, end) = (bound("start"), bound("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.map_or(Span::ALWAYS.start, |span| span.start);
    Some(Span { start, end: end.map_or(Span::ALWAYS.end, |span| span.end).max(start) })
}

/// The time that the value of a date parameter stands for.
///
/// # Errors
/// If it is no date.
pub fn date_span(value: &str) -> Result<Span, String> {
    // A plus sign that nobody encoded arrives as a space.
    let text = value.replace(' ', "+");
    Temporal::parse(&text).map(|date| date.span()).ok_or_else(|| format!("`{value}` is no date"))
}

/// The time widened for `ap`: by a tenth of the distance from now to its nearest bound (R4 search.html#prefix), and at least
/// by a day.
pub(in crate::search) fn about(asked: Span, now: Millis) -> Span {
    let now = Nanos::from(now) * NANOS_PER_MILLI;
    let distance = (asked.start - now).abs().min((asked.end - now).abs());
    let margin = (distance / 10).max(DAY);
    Span { start: asked.start - margin, end: asked.end + margin }
}

pub(super) fn asks(value: &str, asking: ValueContext<'_>) -> Result<Vec<Ask>, String> {
    let (prefix, text) = prefixed(value);
    let asked = date_span(text)?;
    let by = |form: Form, from: Nanos, to: Nanos, check: Check| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, to);
        Ask::range(start, end).with(check)
    };
    let Span { start: first, end: last } = Span::ALWAYS;
    // The open end of a period without one is the last instant of all; ranges must take it in.
    let to_the_end = |form: Form, from: Nanos, check: Check| {
        let mut ask = by(form, from, last, check);
        ask.end = vec![form.byte() + 1];
        ask
    };
    // What ends after an instant starts not long before it, or is long.
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
        // R4 search.html#prefix: the range above what is asked has something in common with the value; with `ge` the range
        // begins with what is asked itself.
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

/// Dates that have an instant in common with the interval.
pub(in crate::search) fn overlapping(asked: Span) -> Vec<Ask> {
    let by = |form: Form, from: Nanos| {
        let (mut start, mut end) = (vec![form.byte()], vec![form.byte()]);
        push_time(&mut start, from);
        push_time(&mut end, asked.end);
        Ask::range(start, end).with(Check::SecondTimeAfter(asked.start))
    };
    let from = asked.start - LONG;
    // Of an interval that ends before it starts only a long one can reach both sides.
    let short = (from < asked.end).then(|| by(Form::Value, from));
    short.into_iter().chain([by(Form::Long, Span::ALWAYS.start)]).collect()
}

/// The moments, each one millisecond long, that a matcher of dates finds. They are an interval, because an entry's key grows with its
/// moment, and so do both of its times.
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

/// The milliseconds that the years of FHIR's dates lie within, by far.
const MOMENTS: Interval = Interval { start: -(1 << 50), end: 1 << 50 };

/// The nanoseconds of a moment that is one millisecond long.
fn moment_span(moment: Millis) -> Span {
    let start = Nanos::from(moment) * NANOS_PER_MILLI;
    Span { start, end: start + NANOS_PER_MILLI }
}

/// The first moment of which something holds that holds of all later ones too.
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

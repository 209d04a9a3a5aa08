//! Evaluates the conditions of a search on the events of some segments, by the index.
use std::cell::RefCell;
use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::model::{Interval, Millis};
use crate::search::{Check, Filter, Form, Matcher, Prefix, moments_found, param_id};
use crate::store::{Direction, Flow, KeyRange, Snapshot, StoreError};

use super::super::place::RecordPlace;
use super::entries::{date, id_entry, is_indexed};
use super::numbers;
use super::postings::posting;
use super::segment::{
    Body, Segment, SegmentRecord, Summary, body_key, posting_key, postings_from, read_posting_key,
};

/// A segment to search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) summary: Summary,
}

/// Where the index is read from.
#[derive(Clone, Copy)]
pub(super) enum Source<'s> {
    Stored(&'s dyn Snapshot),
    /// One segment in memory that is not stored yet. Its number is arbitrary.
    Held(&'s Segment),
}

impl Source<'_> {
    pub(super) fn body(&self, part: &Part) -> Result<Body, StoreError> {
        match self {
            Self::Held(segment) => Ok(segment.body.clone()),
            Self::Stored(snapshot) => {
                let found = snapshot.get(&body_key(part.number))?;
                let body = found.and_then(|(value, _)| Body::read(&value));
                body.ok_or_else(|| {
                    StoreError::Corrupt(format!("segment {} of the index of accesses", part.number))
                })
            }
        }
    }
}

/// The conditions of an AuditEvent search, as the index evaluates them.
#[derive(Clone, Copy)]
pub struct EventQuery<'a> {
    pub filter: &'a Filter,
    /// The id of the patient whom the search is about, if there is just one: records of many patients may concern that one.
    pub patient: Option<&'a str>,
    /// Gives the place of the record that the event with this id is made of.
    pub place_of_event: &'a dyn Fn(&str) -> Option<RecordPlace>,
}

/// Numbers of events. The upper half of a number is that of the segment, the lower half that of the event within it.
#[derive(Clone, Debug, Default)]
pub(super) struct EventNumbers {
    /// Events that fulfil the condition.
    pub(super) sure: RoaringTreemap,
    /// Events of which the index does not tell whether they fulfil it.
    pub(super) unsure: RoaringTreemap,
}

impl EventNumbers {
    fn may(&self) -> RoaringTreemap {
        &self.sure | &self.unsure
    }
}

/// The number of an event among those of all segments.
fn event(part: u32, number: u32) -> u64 {
    u64::from(part) << 32 | u64::from(number)
}

fn insert(set: &mut RoaringTreemap, part: u32, first: u32, end: u32) {
    set.insert_range(event(part, first)..event(part, end));
}

fn all(parts: &[Part]) -> RoaringTreemap {
    let mut set = RoaringTreemap::new();
    for part in parts {
        insert(&mut set, part.number, 0, part.summary.events);
    }
    set
}

/// Evaluates conditions on segments, which are passed in the order of their numbers.
pub(super) struct Finder<'f> {
    pub(super) source: Source<'f>,
    pub(super) asked: &'f EventQuery<'f>,
    /// The bodies of segments that were read so far.
    pub(super) bodies: RefCell<BTreeMap<u32, Body>>,
}

impl Finder<'_> {
    /// The events of the segments that fulfil a condition, and those that may.
    pub(super) fn mark(&self, parts: &[Part], filter: &Filter) -> Result<EventNumbers, StoreError> {
        Ok(match filter {
            Filter::Entries(matchers) => self.with_entries(parts, matchers)?,
            Filter::LastUpdated(prefix, asked) => {
                let mut sure = RoaringTreemap::new();
                for interval in intervals(*prefix, *asked) {
                    self.made_within(parts, interval, true, &mut sure)?;
                }
                EventNumbers { sure, ..EventNumbers::default() }
            }
            Filter::Id(ids) => {
                let mut unsure = RoaringTreemap::new();
                for id in ids {
                    self.of_id(parts, id.as_str(), &mut unsure)?;
                }
                EventNumbers { unsure, ..EventNumbers::default() }
            }
            Filter::All(filters) => self.all_of(parts, filters)?,
            Filter::Any(filters) => {
                let mut marked = EventNumbers::default();
                for filter in filters {
                    let found = self.mark(parts, filter)?;
                    marked.sure |= found.sure;
                    marked.unsure |= found.unsure;
                }
                marked.unsure -= &marked.sure;
                marked
            }
            Filter::Not(filter) => {
                let found = self.mark(parts, filter)?;
                EventNumbers { sure: all(parts) - found.may(), unsure: found.unsure }
            }
            // The index has neither texts nor data of other resources.
            Filter::Text(..) | Filter::Chain(..) | Filter::Has(..) | Filter::Lookup(_) => {
                EventNumbers { unsure: all(parts), ..EventNumbers::default() }
            }
        })
    }

    /// The events that fulfil all conditions. Conditions that find the fewest events come first; later ones are evaluated only in
    /// segments where the earlier ones found something.
    fn all_of(&self, parts: &[Part], filters: &[Filter]) -> Result<EventNumbers, StoreError> {
        let mut filters: Vec<&Filter> = filters.iter().collect();
        filters.sort_by_key(|filter| rank(filter));
        let mut parts = parts.to_vec();
        let mut marked: Option<EventNumbers> = None;
        for filter in filters {
            let found = self.mark(&parts, filter)?;
            let both = match &marked {
                None => found,
                Some(before) => {
                    let sure = &before.sure & &found.sure;
                    let unsure = (before.may() & found.may()) - &sure;
                    EventNumbers { sure, unsure }
                }
            };
            let may = both.may();
            let kept: Vec<u32> = may.bitmaps().map(|(part, _)| part).collect();
            parts.retain(|part| kept.binary_search(&part.number).is_ok());
            marked = Some(both);
        }
        Ok(marked.unwrap_or_else(|| EventNumbers { sure: all(&parts), ..EventNumbers::default() }))
    }

    fn with_entries(&self, parts: &[Part], matchers: &[Matcher]) -> Result<EventNumbers, StoreError> {
        let mut marked = EventNumbers::default();
        let patients = [param_id("patient"), param_id("entity")];
        for matcher in matchers {
            if !is_indexed(matcher.param) {
                marked.unsure = all(parts);
                continue;
            }
            self.posted(parts, matcher, &mut marked.sure)?;
            if matcher.param == date() {
                self.made_within(parts, moments_found(matcher), false, &mut marked.sure)?;
            }
            if self.asked.patient.is_some() && patients.contains(&matcher.param) {
                self.of_many(parts, &mut marked.unsure)?;
            }
        }
        marked.unsure -= &marked.sure;
        Ok(marked)
    }

    /// The events with an entry that the matcher accepts.
    fn posted(
        &self,
        parts: &[Part],
        matcher: &Matcher,
        found: &mut RoaringTreemap,
    ) -> Result<(), StoreError> {
        let any = Matcher::any(matcher.param);
        let is_any = matcher.start == any.start && matcher.end == any.end;
        let present = (vec![Form::Present.byte()], vec![Form::Present.byte() + 1]);
        let (start, end) = if is_any { present } else { (matcher.start.clone(), matcher.end.clone()) };
        let accepts = |posting: &[u8]| is_any || matcher.check.accepts(posting.get(4..).unwrap_or_default());
        let (start, end) = (posting(matcher.param, &start), posting(matcher.param, &end));
        match self.source {
            Source::Held(segment) => {
                segment.each_posting(&KeyRange { start, end }, &mut |posting, numbers| {
                    for part in parts.iter().filter(|_| accepts(posting)) {
                        found.extend(numbers.iter().map(|number| event(part.number, *number)));
                    }
                });
                Ok(())
            }
            Source::Stored(snapshot) => {
                let range = KeyRange { start: postings_from(&start), end: postings_from(&end) };
                snapshot.scan(&range, Direction::Forward, &mut |key, value| {
                    let Some((posting, number)) = read_posting_key(key) else { return Flow::Next };
                    // The first segment to search from this one on.
                    let wanted = parts.get(parts.partition_point(|part| part.number < number));
                    let wanted = wanted.filter(|_| accepts(posting));
                    match wanted {
                        Some(part) if part.number == number => {
                            for (first, end) in numbers::runs(value) {
                                insert(found, number, first, end);
                            }
                            Flow::Next
                        }
                        Some(part) => Flow::Seek(posting_key(posting, part.number)),
                        // No more segments are to be searched for this value.
                        None => {
                            let mut next = posting_key(posting, u32::MAX);
                            next.push(0);
                            Flow::Seek(next)
                        }
                    }
                })
            }
        }
    }

    /// The events of records that were made within an interval. Events from outside have times of their own and are included only
    /// if `from_outside`.
    fn made_within(
        &self,
        parts: &[Part],
        interval: Interval,
        from_outside: bool,
        found: &mut RoaringTreemap,
    ) -> Result<(), StoreError> {
        let Interval { start, end } = interval;
        for part in parts {
            let Summary { earliest, latest, events, is_mixed, .. } = part.summary;
            if latest < start || end <= earliest {
                continue;
            }
            let is_within = start <= earliest && latest < end;
            if is_within && (from_outside || !is_mixed) {
                insert(found, part.number, 0, events);
                continue;
            }
            let mut within = RoaringTreemap::new();
            self.records_where(part, &mut within, |record| (start..end).contains(&record.time))?;
            if !from_outside && is_mixed {
                self.with_body(part, |body| {
                    for outside in &body.outside {
                        within.remove(event(part.number, *outside));
                    }
                })?;
            }
            *found |= within;
        }
        Ok(())
    }

    /// The events of records of many patients.
    fn of_many(&self, parts: &[Part], found: &mut RoaringTreemap) -> Result<(), StoreError> {
        for part in parts.iter().filter(|part| part.summary.is_mixed) {
            self.records_where(part, found, |record| record.of_many)?;
        }
        Ok(())
    }

    /// The events of the record that the event with this id is made of, and the event from outside with this id.
    fn of_id(&self, parts: &[Part], id: &str, found: &mut RoaringTreemap) -> Result<(), StoreError> {
        if let Some(place) = (self.asked.place_of_event)(id) {
            let holds = |part: &&Part| part.summary.first <= place && place <= part.summary.last;
            for part in parts.iter().filter(holds) {
                self.records_where(part, found, |record| record.place == place)?;
            }
        }
        let entry = id_entry(id);
        // All keys of the entry begin with its value, which ends with zeros.
        let end = [entry.value.as_slice().strip_suffix(&[0]).unwrap_or_default(), &[1]].concat();
        let (param, start) = (entry.param, entry.value);
        self.posted(parts, &Matcher { param, start, end, is_whole_key: true, check: Check::None }, found)
    }

    fn records_where(
        &self,
        part: &Part,
        found: &mut RoaringTreemap,
        is_meant: impl Fn(&SegmentRecord) -> bool,
    ) -> Result<(), StoreError> {
        self.with_body(part, |body| {
            for record in body.records.iter().filter(|record| is_meant(record)) {
                insert(found, part.number, record.range().start, record.range().end);
            }
        })
    }

    /// Passes the body of a segment to `read`. Each body is loaded only once.
    pub(super) fn with_body<T>(&self, part: &Part, read: impl FnOnce(&Body) -> T) -> Result<T, StoreError> {
        if !self.bodies.borrow().contains_key(&part.number) {
            let body = self.source.body(part)?;
            self.bodies.borrow_mut().insert(part.number, body);
        }
        let bodies = self.bodies.borrow();
        let missing = || StoreError::Corrupt(format!("segment {} of the index of accesses", part.number));
        bodies.get(&part.number).map(read).ok_or_else(missing)
    }
}

/// The order in which conditions are evaluated: those that usually find few events come first.
fn rank(filter: &Filter) -> u8 {
    const FEW: [&str; 5] = ["entity", "patient", "agent", "altid", "policy"];
    match filter {
        Filter::Id(_) => 0,
        Filter::Entries(matchers) => {
            let few = |matcher: &Matcher| {
                matcher.is_whole_key && FEW.iter().any(|code| param_id(code) == matcher.param)
            };
            // Times are in the summaries: they cost nothing, and narrow down the segments for the other conditions.
            let of_time = |matcher: &Matcher| matcher.param == date();
            match () {
                () if matchers.iter().all(of_time) => 0,
                () if matchers.iter().all(few) => 1,
                () => 2,
            }
        }
        Filter::LastUpdated(..) => 0,
        Filter::All(_) | Filter::Any(_) | Filter::Not(_) => 3,
        Filter::Text(..) | Filter::Chain(..) | Filter::Has(..) | Filter::Lookup(_) => 4,
    }
}

/// The intervals in which a condition on `_lastUpdated` holds.
fn intervals(prefix: Prefix, asked: Interval) -> Vec<Interval> {
    let Interval { start: first, end: last } = Interval::ALWAYS;
    let of = |start: Millis, end: Millis| Interval { start, end };
    match prefix {
        Prefix::Eq | Prefix::Ap => vec![asked],
        Prefix::Ne => vec![of(first, asked.start), of(asked.end, last)],
        Prefix::Gt | Prefix::Sa => vec![of(asked.end, last)],
        Prefix::Ge => vec![of(asked.start, last)],
        Prefix::Lt | Prefix::Eb => vec![of(first, asked.start)],
        Prefix::Le => vec![of(first, asked.end)],
    }
}

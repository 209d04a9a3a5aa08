//! The records that may match a search, in order, by the index as far as it reaches.
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::audit::log::{Records, record, unreadable};
use crate::audit::record::Access;
use crate::store::{Direction, Flow, KeyRange, Sequence, Snapshot, StoreError};

use super::super::place::RecordPlace;
use super::find::{EventNumbers, EventQuery, Finder, Part, Source};
use super::segment::{Segment, Summary, number_of, summaries, summary_key};

/// The number of segments that are searched first; each further step takes four times as many.
const SEGMENTS_AT_FIRST: u32 = 16;
/// The maximum number of segments in one step. At worst the places of all their records, some 40 bytes each, are in memory at
/// once.
const SEGMENTS_MAX: u32 = 512;

/// Which records are searched, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub direction: Direction,
    /// The record to begin with, inclusive; `None` for the end of the log where `direction` begins.
    pub from: Option<RecordPlace>,
    /// Records of later commits are left out.
    pub until: Sequence,
}

/// The index and the store at one moment.
pub struct View {
    pub(super) snapshot: Box<dyn Snapshot>,
    /// The open segment, which is not stored yet. It begins right after the last stored one.
    pub(super) held: Option<Arc<Segment>>,
    /// The last stored segment.
    pub(super) last: Option<(u32, Summary)>,
}

/// What is searched next.
#[derive(Clone, Copy, Debug)]
enum NextSegments {
    /// The stored segments from the first number up to, not including, the second.
    Stored(u32, u32),
    Held,
    /// The records that are not indexed yet.
    Rest,
}

/// A record that may match.
pub struct Candidate {
    pub place: RecordPlace,
    /// The numbers of its events that match, if the index can tell for all of its events.
    pub matching: Option<Vec<usize>>,
}

/// The records that may match.
pub struct Candidates<'c> {
    view: &'c View,
    asked: &'c EventQuery<'c>,
    bounds: Bounds,
    stretches: VecDeque<NextSegments>,
    found: VecDeque<Candidate>,
    rest: Option<Records<'c>>,
    /// The number of segments that the next step searches.
    step: u32,
}

impl View {
    /// The records that may match, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn candidates<'c>(
        &'c self,
        asked: &'c EventQuery<'c>,
        bounds: Bounds,
    ) -> Result<Candidates<'c>, StoreError> {
        let mut stretches = VecDeque::new();
        if let Some((last, _)) = self.last {
            let (mut start, mut end) = (0, last.saturating_add(1));
            if let Some(from) = bounds.from {
                let at = self.segment_at(from, last)?;
                match bounds.direction {
                    Direction::Forward => start = at,
                    Direction::Reverse => end = at.saturating_add(1),
                }
            }
            stretches.push_back(NextSegments::Stored(start, end));
        }
        stretches.extend([NextSegments::Held, NextSegments::Rest]);
        if bounds.direction == Direction::Reverse {
            stretches = stretches.into_iter().rev().collect();
        }
        let step = SEGMENTS_AT_FIRST;
        let found = VecDeque::new();
        Ok(Candidates { view: self, asked, bounds, stretches, found, rest: None, step })
    }

    /// The segment that contains a record, or the last one before it.
    fn segment_at(&self, place: RecordPlace, last: u32) -> Result<u32, StoreError> {
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = high - (high - low) / 2;
            let found = self.snapshot.get(&summary_key(middle))?;
            let summary = found.and_then(|(value, _)| Summary::read(&value));
            if summary.is_some_and(|summary| summary.first <= place) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// The stored segments from `start` up to, not including, `end`.
    fn parts(&self, start: u32, end: u32) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        let mut range = KeyRange { start: summary_key(start), end: summary_key(end) };
        if self.last.is_some_and(|(last, _)| end > last) {
            range.end = KeyRange::prefix(summaries()).end;
        }
        self.snapshot.scan(&range, Direction::Forward, &mut |key, value| {
            let part = number_of(key).zip(Summary::read(value));
            parts.extend(part.map(|(number, summary)| Part { number, summary }));
            Flow::Next
        })?;
        Ok(parts)
    }

    /// The last record that is indexed.
    fn covered(&self) -> Option<RecordPlace> {
        let held = self.held.as_ref().and_then(|held| held.summary());
        held.map(|summary| summary.last).or(self.last.map(|(_, summary)| summary.last))
    }
}

/// The events that were found in some segments.
struct SegmentEvents<'l> {
    finder: Finder<'l>,
    parts: Vec<Part>,
    marked: EventNumbers,
}

impl<'c> Candidates<'c> {
    /// The next record that may match. Of a record of many patients it is the part about the patient who is searched for.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or something cannot be read.
    pub fn read(&mut self) -> Result<Option<(Candidate, Access)>, StoreError> {
        loop {
            if let Some(candidate) = self.found.pop_front() {
                let place = candidate.place;
                let access = record(&*self.view.snapshot, place)?.ok_or_else(|| unreadable(Some(place)))?;
                let Some(id) = self.asked.patient else { return Ok(Some((candidate, access))) };
                match access.part_of(&*self.view.snapshot, id)? {
                    Some(access) => return Ok(Some((candidate, access))),
                    None => continue,
                }
            }
            if let Some(rest) = &mut self.rest {
                match rest.read()? {
                    Some((place, access)) if self.is_within(place) => {
                        return Ok(Some((Candidate { place, matching: None }, access)));
                    }
                    _ => self.rest = None,
                }
                continue;
            }
            let Some(stretch) = self.next_stretch() else { return Ok(None) };
            if let Some(looked) = self.look(stretch)? {
                self.take(&looked)?;
            }
        }
    }

    /// The number of matching events. Events of which the index is sure are counted by it, the records of others by
    /// `count_of_record`.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or something cannot be read, and what `count_of_record` fails with.
    pub fn count<E: From<StoreError>>(
        &mut self,
        count_of_record: &mut dyn FnMut(RecordPlace, &Access) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut count = 0;
        while let Some(stretch) = self.next_stretch() {
            if let Some(mut looked) = self.look(stretch)? {
                // Records with unsure events are counted one by one.
                self.leave_unsure_records(&mut looked)?;
                count += self.count_sure(&looked)?;
                looked.marked.sure.clear();
                self.take(&looked)?;
            }
            // The found candidates and the records without index are read to their ends here, before the next segments are
            // searched.
            let waiting = std::mem::take(&mut self.stretches);
            while let Some((candidate, access)) = self.read()? {
                count += count_of_record(candidate.place, &access)?;
            }
            self.stretches = waiting;
        }
        Ok(count)
    }

    fn next_stretch(&mut self) -> Option<NextSegments> {
        let stretch = self.stretches.pop_front()?;
        let NextSegments::Stored(start, end) = stretch else { return Some(stretch) };
        if start >= end {
            return self.next_stretch();
        }
        let step = self.step.min(end - start);
        self.step = self.step.saturating_mul(4).min(SEGMENTS_MAX);
        let (now, then) = match self.bounds.direction {
            Direction::Forward => ((start, start + step), (start + step, end)),
            Direction::Reverse => ((end - step, end), (start, end - step)),
        };
        self.stretches.push_front(NextSegments::Stored(then.0, then.1));
        Some(NextSegments::Stored(now.0, now.1))
    }

    /// Searches segments. For the records without index it only opens the reader, and returns `None`.
    fn look(&mut self, stretch: NextSegments) -> Result<Option<SegmentEvents<'c>>, StoreError> {
        let (source, parts) = match stretch {
            NextSegments::Stored(start, end) => {
                (Source::Stored(&*self.view.snapshot), self.view.parts(start, end)?)
            }
            NextSegments::Held => {
                let Some(held) = self.view.held.as_deref() else { return Ok(None) };
                let part = held.summary().map(|summary| Part { number: 0, summary });
                (Source::Held(held), part.into_iter().collect())
            }
            NextSegments::Rest => {
                self.rest = Some(self.records_of_the_rest());
                return Ok(None);
            }
        };
        let finder = Finder { source, asked: self.asked, bodies: RefCell::new(BTreeMap::new()) };
        let marked = finder.mark(&parts, self.asked.filter)?;
        Ok(Some(SegmentEvents { finder, parts, marked }))
    }

    fn records_of_the_rest(&self) -> Records<'c> {
        let (Bounds { direction, from, until }, covered) = (self.bounds, self.view.covered());
        let from = match direction {
            Direction::Forward => from,
            Direction::Reverse => Some(from.map_or((until, u32::MAX), |from| from.min((until, u32::MAX)))),
        };
        Records::new(&*self.view.snapshot, self.asked.patient, direction, from).after(covered)
    }

    fn is_within(&self, place: RecordPlace) -> bool {
        let Bounds { direction, from, until } = self.bounds;
        let is_after_start = from.is_none_or(|from| match direction {
            Direction::Forward => from <= place,
            Direction::Reverse => place <= from,
        });
        is_after_start && place.0 <= until
    }

    /// Adds the records of the marked events to the candidates that are read.
    fn take(&mut self, looked: &SegmentEvents<'_>) -> Result<(), StoreError> {
        let EventNumbers { sure, unsure } = &looked.marked;
        let may = sure | unsure;
        let mut candidates: Vec<Candidate> = Vec::new();
        for (number, events) in may.bitmaps() {
            let Some(part) = looked.part(number) else { continue };
            looked.finder.with_body(part, |body| {
                for event in events {
                    let Some(record) = body.record_of(event) else { continue };
                    let within = usize::try_from(event - record.first_event).unwrap_or(usize::MAX);
                    let is_sure = !unsure.contains(u64::from(number) << 32 | u64::from(event));
                    match candidates.last_mut().filter(|candidate| candidate.place == record.place) {
                        Some(candidate) if is_sure => {
                            candidate.matching.iter_mut().for_each(|matching| matching.push(within));
                        }
                        Some(candidate) => candidate.matching = None,
                        None => {
                            let matching = is_sure.then(|| vec![within]);
                            candidates.push(Candidate { place: record.place, matching });
                        }
                    }
                }
            })?;
        }
        candidates.retain(|candidate| self.is_within(candidate.place));
        if self.bounds.direction == Direction::Reverse {
            candidates.reverse();
        }
        self.found.extend(candidates);
        Ok(())
    }

    /// The number of sure events within the bounds.
    fn count_sure(&self, looked: &SegmentEvents<'_>) -> Result<usize, StoreError> {
        let mut count = 0;
        for (number, events) in looked.marked.sure.bitmaps() {
            let Some(part) = looked.part(number) else { continue };
            let is_whole =
                [part.summary.first, part.summary.last].into_iter().all(|place| self.is_within(place));
            count += if is_whole { events.len() } else { self.count_within(looked, part, events)? };
        }
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn count_within(
        &self,
        looked: &SegmentEvents<'_>,
        part: &Part,
        events: &RoaringBitmap,
    ) -> Result<u64, StoreError> {
        looked.finder.with_body(part, |body| {
            let records = body.records.iter().filter(|record| self.is_within(record.place));
            records.map(|record| events.range_cardinality(record.range())).sum()
        })
    }

    /// Unmarks the sure events of records that have unsure ones too, because such a record is counted as a whole.
    fn leave_unsure_records(&self, looked: &mut SegmentEvents<'_>) -> Result<(), StoreError> {
        let unsure: Vec<(u32, RoaringBitmap)> =
            looked.marked.unsure.bitmaps().map(|(number, events)| (number, events.clone())).collect();
        for (number, events) in unsure {
            let Some(part) = looked.part(number).copied() else { continue };
            let ranges: Vec<std::ops::Range<u32>> = looked.finder.with_body(&part, |body| {
                let records = body.records.iter().map(super::segment::SegmentRecord::range);
                records.filter(|range| events.range_cardinality(range.clone()) > 0).collect()
            })?;
            for range in ranges {
                let base = u64::from(number) << 32;
                looked.marked.sure.remove_range(base | u64::from(range.start)..base | u64::from(range.end));
            }
        }
        Ok(())
    }
}

impl SegmentEvents<'_> {
    fn part(&self, number: u32) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&number, |part| part.number).ok()?;
        self.parts.get(at)
    }
}

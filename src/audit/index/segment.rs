//! A segment of the index: the events of some consecutive records.
use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::sync::Arc;

use crate::model::Millis;
use crate::store::{Key, KeyRange, Sequence, Space};

use super::super::place::{RecordPlace, place_of};
use super::events::Described;
use super::numbers;
use super::postings::SharedPostings;

/// What can be told of a segment without reading its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) first: RecordPlace,
    pub(super) last: RecordPlace,
    /// All its records were made between these times, both inclusive.
    pub(super) earliest: Millis,
    pub(super) latest: Millis,
    pub(super) events: u32,
    /// Whether some of its events came from outside, or some of its records are of many patients.
    pub(super) is_mixed: bool,
}

/// A record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentRecord {
    pub(super) place: RecordPlace,
    pub(super) time: Millis,
    /// The number of its first event within the segment, and its number of events.
    pub(super) first_event: u32,
    pub(super) events: u32,
    /// Whether it stands for many patients, whom it does not list.
    pub(super) of_many: bool,
}

impl SegmentRecord {
    /// The numbers of its events.
    pub(super) fn range(&self) -> Range<u32> {
        self.first_event..self.first_event.saturating_add(self.events)
    }
}

/// The records of a segment, and the numbers of its events that came from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) records: Vec<SegmentRecord>,
    pub(super) outside: Vec<u32>,
}

/// A segment in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) body: Body,
    /// The numbers of the events that have an entry, by the entry's parameter and value.
    postings: BTreeMap<Vec<u8>, Vec<u32>>,
    /// The postings that many events have alike, and the numbers of these events; by the address of the postings.
    alike: HashMap<usize, (Arc<SharedPostings>, Vec<u32>)>,
    events: u32,
}

impl Segment {
    /// Adds the next record.
    pub(super) fn add(&mut self, described: Described) {
        let first_event = self.events;
        for (postings, number) in described.events.into_iter().zip(0_usize..) {
            if number >= described.made {
                self.body.outside.push(self.events);
            }
            if let Some(shared) = postings.shared {
                let alike = self.alike.entry(Arc::as_ptr(&shared).addr());
                alike.or_insert_with(|| (shared, Vec::new())).1.push(self.events);
            }
            postings.own.into_iter().for_each(|posting| self.post(posting));
            self.events = self.events.saturating_add(1);
        }
        let Described { place, time, of_many, .. } = described;
        let events = self.events - first_event;
        self.body.records.push(SegmentRecord { place, time, first_event, events, of_many });
    }

    fn post(&mut self, key: Vec<u8>) {
        let numbers = self.postings.entry(key).or_default();
        if numbers.last() != Some(&self.events) {
            numbers.push(self.events);
        }
    }

    /// Visits the postings in a range, each with numbers of events that have it. A posting may come more than once.
    pub(super) fn each_posting(&self, range: &KeyRange, visit: &mut dyn FnMut(&[u8], &[u32])) {
        let own = (Bound::Included(range.start.as_slice()), Bound::Excluded(range.end.as_slice()));
        for (posting, numbers) in self.postings.range::<[u8], _>(own) {
            visit(posting, numbers);
        }
        for (shared, numbers) in self.alike.values() {
            shared.within(range).iter().for_each(|posting| visit(posting, numbers));
        }
    }

    /// The summary; `None` while there are no records.
    pub(super) fn summary(&self) -> Option<Summary> {
        let records = &self.body.records;
        let (first, last) = (records.first()?.place, records.last()?.place);
        let times = || records.iter().map(|record| record.time);
        let (earliest, latest) = (times().min()?, times().max()?);
        let is_mixed = !self.body.outside.is_empty() || records.iter().any(|record| record.of_many);
        Some(Summary { first, last, earliest, latest, events: self.events, is_mixed })
    }

    /// The keys and values to store it as the segment with this number.
    pub(super) fn pairs(&self, number: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(summary) = self.summary() else { return Vec::new() };
        let mut pairs = vec![(summary_key(number), summary.bytes()), (body_key(number), self.body.bytes())];
        let mut all: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        let own = self.postings.iter();
        let alike = self
            .alike
            .values()
            .flat_map(|(shared, numbers)| shared.all().iter().map(move |posting| (posting, numbers)));
        for (posting, numbers) in own.chain(alike) {
            all.entry(posting).or_default().extend(numbers);
        }
        pairs.extend(all.into_iter().map(|(posting, mut numbers)| {
            // An event may say on its own what the events of its shape have alike, too.
            numbers.sort_unstable();
            numbers.dedup();
            (posting_key(posting, number), numbers::encode(&numbers))
        }));
        pairs
    }
}

fn key(sort: u8) -> Key {
    Key::new(Space::AuditIndex).bytes(&[sort])
}

/// The prefix of the keys of all summaries.
pub(super) fn summaries() -> Vec<u8> {
    key(0).into_bytes()
}

pub(super) fn summary_key(number: u32) -> Vec<u8> {
    key(0).word(number).into_bytes()
}

pub(super) fn body_key(number: u32) -> Vec<u8> {
    key(1).word(number).into_bytes()
}

/// The key under which a segment lists the events with this parameter and value.
pub(super) fn posting_key(posting: &[u8], number: u32) -> Vec<u8> {
    key(2).bytes(posting).word(number).into_bytes()
}

/// The prefix of such keys of all segments, for a parameter and (the beginning of) a value.
pub(super) fn postings_from(posting: &[u8]) -> Vec<u8> {
    key(2).bytes(posting).into_bytes()
}

/// The parameter and value of such a key, and the number of the segment.
pub(super) fn read_posting_key(key: &[u8]) -> Option<(&[u8], u32)> {
    let (posting, number) = key.get(2..)?.split_last_chunk::<4>()?;
    Some((posting, u32::from_be_bytes(*number)))
}

/// The number of the segment in the key of a summary or body.
pub(super) fn number_of(key: &[u8]) -> Option<u32> {
    key.last_chunk::<4>().map(|number| u32::from_be_bytes(*number))
}

fn push_place(out: &mut Vec<u8>, (Sequence(sequence), number): RecordPlace) {
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}

impl Summary {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(45);
        push_place(&mut bytes, self.first);
        push_place(&mut bytes, self.last);
        bytes.extend_from_slice(&self.earliest.to_be_bytes());
        bytes.extend_from_slice(&self.latest.to_be_bytes());
        bytes.extend_from_slice(&self.events.to_be_bytes());
        bytes.push(u8::from(self.is_mixed));
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<12>()?;
        let (last, rest) = rest.split_first_chunk::<12>()?;
        let (earliest, rest) = rest.split_first_chunk::<8>()?;
        let (latest, rest) = rest.split_first_chunk::<8>()?;
        let (events, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            first: place_of(first)?,
            last: place_of(last)?,
            earliest: Millis::from_be_bytes(*earliest),
            latest: Millis::from_be_bytes(*latest),
            events: u32::from_be_bytes(*events),
            is_mixed: rest.first()? != &0,
        })
    }
}

/// The zigzag encoding of a signed difference: an unsigned number that is small where the difference is.
fn zigzag(difference: i64) -> u64 {
    u64::from_ne_bytes(((difference << 1) ^ (difference >> 63)).to_ne_bytes())
}

fn unzigzag(number: u64) -> i64 {
    i64::from_ne_bytes((number >> 1).to_ne_bytes()) ^ -i64::from((number & 1) == 1)
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers::push(&mut bytes, u64::try_from(self.records.len()).unwrap_or(0));
        let (mut sequence, mut time) = (0, 0);
        for record in &self.records {
            let (Sequence(at), number) = record.place;
            numbers::push(&mut bytes, at - sequence);
            numbers::push(&mut bytes, u64::from(number));
            numbers::push(&mut bytes, zigzag(record.time - time));
            numbers::push(&mut bytes, u64::from(record.events) << 1 | u64::from(record.of_many));
            (sequence, time) = (at, record.time);
        }
        bytes.extend(numbers::encode(&self.outside));
        bytes
    }

    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut left = numbers::take(&mut bytes)?;
        let mut records = Vec::new();
        let (mut sequence, mut time, mut first_event) = (0_u64, 0_i64, 0_u32);
        while left > 0 {
            sequence = sequence.checked_add(numbers::take(&mut bytes)?)?;
            let number = u32::try_from(numbers::take(&mut bytes)?).ok()?;
            time = time.checked_add(unzigzag(numbers::take(&mut bytes)?))?;
            let events = numbers::take(&mut bytes)?;
            let of_many = events & 1 == 1;
            let events = u32::try_from(events >> 1).ok()?;
            records.push(SegmentRecord {
                place: (Sequence(sequence), number),
                time,
                first_event,
                events,
                of_many,
            });
            first_event = first_event.checked_add(events)?;
            left -= 1;
        }
        let outside = numbers::runs(bytes).flat_map(|(first, end)| first..end).collect();
        Some(Self { records, outside })
    }

    /// The record that an event belongs to.
    pub(super) fn record_of(&self, event: u32) -> Option<&SegmentRecord> {
        let at = self.records.partition_point(|record| record.range().end <= event);
        self.records.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Body, Segment, Summary, numbers, unzigzag, zigzag};
    use crate::audit::index::events::Described;
    use crate::audit::index::postings::{EventPostings, SharedPostings, posting};
    use crate::search::Entry;
    use crate::store::Sequence;

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        let mut segment = Segment::default();
        // Commit, number within it, time, events that are made of it, events from outside, whether it is of many patients.
        let records = [
            (1, 0, 1_767_225_600_000, 1, 0, false),
            (1, 1, 1_767_225_599_000, 3, 0, true),
            (2, 0, -5, 1, 2, false),
            (1 << 40, u32::MAX, 5_000_000_000_000, 2, 0, false),
        ];
        for (sequence, number, time, made, outside, of_many) in records {
            let entry = |at: u8| Entry { param: 7, value: vec![0x11, at % 2], contained: None };
            let events = (0..made + outside).map(|at| EventPostings::of(vec![entry(at)])).collect();
            let place = (Sequence(sequence), number);
            segment.add(Described { place, time, of_many, events, made: usize::from(made) });
        }
        let pairs = segment.pairs(3);
        assert_eq!(Summary::read(&pairs[0].1), segment.summary());
        let body = Body::read(&pairs[1].1).unwrap();
        assert_eq!(body, segment.body);
        assert_eq!((body.outside.as_slice(), body.records.len()), (&[5, 6][..], 4));
        for (number, record) in body.records.iter().enumerate() {
            for event in record.range() {
                assert_eq!(body.record_of(event), body.records.get(number));
            }
        }
        assert_eq!(body.record_of(9), None);
    }

    #[test]
    fn an_event_is_listed_once_under_what_it_says_twice() {
        let said = vec![posting(7, &[0x11])];
        let shared = Arc::new(SharedPostings::of(said.clone()));
        let both = EventPostings { shared: Some(Arc::clone(&shared)), own: said.clone() };
        let alone = EventPostings { shared: Some(shared), own: Vec::new() };
        let mut segment = Segment::default();
        let events = vec![both.clone(), alone, both];
        segment.add(Described { place: (Sequence(1), 0), time: 0, of_many: false, events, made: 3 });
        let pairs = segment.pairs(0);
        let runs: Vec<_> = numbers::runs(&pairs[2].1).collect();
        assert_eq!((pairs.len(), runs), (3, vec![(0, 3)]));
    }

    #[test]
    fn differences_come_back() {
        for difference in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(difference)), difference);
        }
    }
}

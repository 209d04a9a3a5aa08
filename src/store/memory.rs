//! The smallest backend: everything in one ordered map, nothing on the disk. The oracle of the tests, and the store of
//! a demo that shall leave nothing behind.
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;

use super::clock::Clock;
use super::kv::{
    At, Batch, CommitError, Committed, Direction, Expectation, Flow, KeyRange, Kv, Sequence, Snapshot,
    StoreError,
};
use super::ticket::Ticket;

/// A key's versions stand together, the newest first.
type Versions = BTreeMap<(Bytes, Reverse<Sequence>), Option<Bytes>>;

struct State {
    versions: Versions,
    last: Committed,
}

/// A store in memory. Clones share it.
#[derive(Clone)]
pub struct Memory {
    state: Arc<RwLock<State>>,
    clock: Arc<dyn Clock>,
}

impl Memory {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Committed { sequence: Sequence(0), time: 0, first_row: 1 };
        Self { state: Arc::new(RwLock::new(State { versions: Versions::new(), last })), clock }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn newest(&self, key: &[u8], at: Sequence) -> Option<(Sequence, &Option<Bytes>)> {
        let from = (Bytes::copy_from_slice(key), Reverse(at));
        let ((found, Reverse(sequence)), value) = self.versions.range(from..).next()?;
        (&**found == key).then_some((*sequence, value))
    }

    fn holds(&self, expectation: &Expectation) -> bool {
        match expectation {
            Expectation::Key { key, sequence } => {
                let newest = self.newest(key, Sequence(u64::MAX));
                newest.filter(|(_, value)| value.is_some()).map(|(sequence, _)| sequence) == *sequence
            }
            Expectation::Unchanged { range, since } => {
                let from = (Bytes::copy_from_slice(&range.start), Reverse(Sequence(u64::MAX)));
                !self
                    .versions
                    .range(from..)
                    .take_while(|((key, _), _)| range.contains(key))
                    .any(|((_, Reverse(sequence)), _)| sequence > since)
            }
        }
    }
}

impl Kv for Memory {
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError> {
        let latest = self.read().last.sequence;
        let sequence = match at {
            At::Latest => latest,
            At::Sequence(sequence) => sequence.min(latest),
        };
        Ok(Box::new(MemorySnapshot { store: self.clone(), sequence }))
    }

    fn commit(&self, mut batch: Batch) -> Ticket {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let readable_at = state.last.sequence;
        if !batch.expectations.iter().all(|expectation| state.holds(expectation)) {
            return Ticket::resolved(Err(CommitError::Conflict { readable_at }));
        }
        let committed = state.last.next(&batch, self.clock.now());
        batch.stamp(committed);
        for write in batch.writes {
            let key = (Bytes::from(write.key), Reverse(committed.sequence));
            state.versions.insert(key, write.value.map(Bytes::from));
        }
        state.last = Committed { first_row: committed.first_row + batch.rows, ..committed };
        Ticket::resolved(Ok(committed))
    }
}

struct MemorySnapshot {
    store: Memory,
    sequence: Sequence,
}

impl Snapshot for MemorySnapshot {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get(&self, key: &[u8]) -> Result<Option<(Bytes, Sequence)>, StoreError> {
        let state = self.store.read();
        let newest = state.newest(key, self.sequence);
        Ok(newest.and_then(|(sequence, value)| value.clone().map(|value| (value, sequence))))
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
    ) -> Result<(), StoreError> {
        let mut start = Bound::Included(Bytes::copy_from_slice(&range.start));
        let mut end = Bound::Excluded(Bytes::copy_from_slice(&range.end));
        loop {
            let Some((key, value)) = self.step(&start, &end, direction) else { return Ok(()) };
            let mut after = Bound::Excluded(key.clone());
            match visit(&key, &value) {
                Flow::Stop => return Ok(()),
                Flow::Next => {}
                Flow::Seek(to) => match direction {
                    Direction::Forward if to.as_slice() > &*key => after = Bound::Included(to.into()),
                    Direction::Reverse if to.as_slice() < &*key => after = Bound::Included(to.into()),
                    Direction::Forward | Direction::Reverse => {}
                },
            }
            match direction {
                Direction::Forward => start = after,
                Direction::Reverse => end = after,
            }
        }
    }
}

impl MemorySnapshot {
    /// The first visible key between the bounds, from the end that the direction begins at.
    fn step(&self, start: &Bound<Bytes>, end: &Bound<Bytes>, direction: Direction) -> Option<(Bytes, Bytes)> {
        let state = self.store.read();
        let newest_first = |key: &Bytes| (key.clone(), Reverse(Sequence(u64::MAX)));
        let oldest_last = |key: &Bytes| (key.clone(), Reverse(Sequence(0)));
        let from = match start {
            Bound::Included(key) => Bound::Included(newest_first(key)),
            Bound::Excluded(key) => Bound::Excluded(oldest_last(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let to = match end {
            Bound::Included(key) => Bound::Included(oldest_last(key)),
            Bound::Excluded(key) => Bound::Excluded(newest_first(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        if is_empty(&from, &to) {
            return None;
        }
        let visible = |key: &Bytes| {
            let value = state.newest(key, self.sequence)?.1.clone()?;
            Some((key.clone(), value))
        };
        let mut range = state.versions.range((from, to));
        match direction {
            Direction::Forward => range.find_map(|((key, _), _)| visible(key)),
            Direction::Reverse => range.rev().find_map(|((key, _), _)| visible(key)),
        }
    }
}

/// A map refuses a range whose start is after its end, which a seek past the end makes.
fn is_empty<K: Ord>(from: &Bound<K>, to: &Bound<K>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        _ => false,
    }
}

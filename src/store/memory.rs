//! The in-memory backend: one ordered map, nothing on the disk. Tests compare the other backends with it, and a demo that
//! must leave nothing behind uses it.
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::batch::{Batch, CommitError, Committed, Expectation, KeyRange, Sequence};
use super::clock::Clock;
use super::key::erased_row;
use super::kv::{At, Direction, Flow, Kv, Snapshot, StoreError};
use super::ticket::Ticket;

/// All versions of all keys; those of one key are adjacent, the newest first.
type Versions = BTreeMap<(Bytes, Reverse<Sequence>), Option<Bytes>>;

struct State {
    versions: Versions,
    last: Committed,
    /// The oldest state that can still be opened.
    horizon: Sequence,
    /// The keys that each erasing commit removed, kept until no snapshot of an older state is open.
    erased: Vec<(Sequence, Vec<Bytes>)>,
    /// How many snapshots are open, by sequence.
    used: BTreeMap<Sequence, usize>,
}

/// A store in memory. Clones share the data.
#[derive(Clone)]
pub struct Memory {
    state: Arc<RwLock<State>>,
    clock: Arc<dyn Clock>,
}

impl Memory {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Committed { sequence: Sequence(0), time: 0, first_row: 1 };
        let state = State {
            versions: Versions::new(),
            last,
            horizon: Sequence(0),
            erased: Vec::new(),
            used: BTreeMap::new(),
        };
        Self { state: Arc::new(RwLock::new(state)), clock }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Discards the versions of erased keys, for each erasure of which no snapshot of an older state is open.
    fn forget(&mut self) {
        let oldest = self.used.keys().next().copied().unwrap_or(self.last.sequence);
        let (free, kept) = std::mem::take(&mut self.erased).into_iter().partition(|(by, _)| *by <= oldest);
        self.erased = kept;
        let free: Vec<(Sequence, Vec<Bytes>)> = free;
        for (by, key) in free.into_iter().flat_map(|(by, keys)| keys.into_iter().map(move |key| (by, key))) {
            let all = (key.clone(), Reverse(by))..=(key, Reverse(Sequence(0)));
            let versions: Vec<_> = self.versions.range(all).map(|(version, _)| version.clone()).collect();
            for version in versions {
                self.versions.remove(&version);
            }
        }
    }

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
        let mut state = self.write();
        let latest = state.last.sequence;
        let sequence = match at {
            At::Latest => latest,
            At::Sequence(sequence) => sequence.min(latest),
        };
        if sequence < state.horizon {
            return Err(StoreError::Expired);
        }
        *state.used.entry(sequence).or_insert(0) += 1;
        drop(state);
        Ok(Box::new(MemorySnapshot { store: self.clone(), sequence }))
    }

    fn commit(&self, mut batch: Batch) -> Ticket {
        let mut state = self.write();
        let readable_at = state.last.sequence;
        if !batch.expectations.iter().all(|expectation| state.holds(expectation)) {
            return Ticket::resolved(Err(CommitError::Conflict { readable_at }));
        }
        let committed = state.last.next(&batch, self.clock.now());
        batch.stamp(committed);
        let erases =
            batch.writes.iter().any(|write| write.value.is_some() && erased_row(&write.key).is_some());
        let mut removed = Vec::new();
        for write in batch.writes {
            let key = Bytes::from(write.key);
            if erases && write.value.is_none() {
                removed.push(key.clone());
            }
            state.versions.insert((key, Reverse(committed.sequence)), write.value.map(Bytes::from));
        }
        if erases {
            state.horizon = committed.sequence;
            state.erased.push((committed.sequence, removed));
        }
        state.last = Committed { first_row: committed.first_row + batch.rows, ..committed };
        state.forget();
        Ticket::resolved(Ok(committed))
    }
}

struct MemorySnapshot {
    store: Memory,
    sequence: Sequence,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        let mut state = self.store.write();
        if let Some(count) = state.used.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                state.used.remove(&self.sequence);
            }
        }
        state.forget();
    }
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
    /// The first visible key between the bounds, in the given direction.
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

/// Whether a range is empty. `BTreeMap::range` panics if the start is after the end, as after a seek past the end.
fn is_empty<K: Ord>(from: &Bound<K>, to: &Bound<K>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        _ => false,
    }
}

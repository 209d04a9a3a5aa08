//! What a reader sees at one moment (the memory tables, the runs, the records), and which earlier states are still in use.
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use crate::model::Millis;
use crate::store::key::{Space, resource_row};
use crate::store::kv::{Direction, Flow, Snapshot, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::cursor::{self, Cursor};
use super::disk::Disk;
use super::records::RecordsCursor;
use super::run::Run;
use super::table::Table;

/// How long an earlier state can be opened, in milliseconds. Later pages of a search open the state of the first page.
pub(super) const RETAINED_MS: Millis = 15 * 60 * 1_000;

/// The sources of all reads. They are replaced as a whole, so that every reader has a consistent set.
#[derive(Clone)]
pub(super) struct Sources {
    /// Newest first. The writer inserts into the first.
    pub(super) tables: Vec<Arc<Table>>,
    /// Oldest first, as in the manifest.
    pub(super) runs: Vec<Arc<Run>>,
    /// Rows whose erasure is not complete, each with the erasing commit. Sled may still hold their records.
    pub(super) erased: Arc<BTreeMap<u64, Sequence>>,
}

/// State that readers and writers share.
pub(super) struct State {
    pub(super) disk: Arc<Disk>,
    sources: RwLock<Arc<Sources>>,
    published: AtomicU64,
    pins: Mutex<Pins>,
}

#[derive(Default)]
struct Pins {
    /// How many snapshots are open, by sequence.
    used: BTreeMap<Sequence, usize>,
    /// Times and sequences of commits, at most one per second, oldest first.
    recent: VecDeque<(Millis, Sequence)>,
    /// The oldest state that can still be opened.
    horizon: Sequence,
}

impl State {
    pub(super) fn new(disk: Arc<Disk>, sources: Sources, published: Sequence) -> Self {
        let pins = Pins { horizon: published, ..Pins::default() };
        Self {
            disk,
            sources: RwLock::new(Arc::new(sources)),
            published: AtomicU64::new(published.0),
            pins: Mutex::new(pins),
        }
    }

    pub(super) fn sources(&self) -> Arc<Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, change: impl FnOnce(&mut Sources)) {
        let mut guard = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        let mut sources = Sources::clone(&guard);
        change(&mut sources);
        let before = std::mem::replace(&mut *guard, Arc::new(sources));
        drop(guard);
        // The lock is released first: to drop a table takes tens of milliseconds, in which no reader should wait.
        drop(before);
    }

    pub(super) fn published(&self) -> Sequence {
        Sequence(self.published.load(Ordering::Acquire))
    }

    /// Makes everything up to this commit readable.
    pub(super) fn publish(&self, sequence: Sequence, time: Millis) {
        self.published.store(sequence.0, Ordering::Release);
        let mut pins = self.pins();
        if pins.recent.back().is_none_or(|(last, _)| time - last >= 1_000) {
            pins.recent.push_back((time, sequence));
        }
    }

    /// Hides the records of erased rows until the erasure is complete.
    pub(super) fn erase(&self, rows: &BTreeMap<u64, Sequence>) {
        self.replace(|sources| Arc::make_mut(&mut sources.erased).extend(rows));
    }

    /// Makes earlier states unavailable: they belong to an earlier run of the process, or show erased rows.
    pub(super) fn forget_before(&self, sequence: Sequence) {
        let mut pins = self.pins();
        pins.horizon = pins.horizon.max(sequence);
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest state that anybody can still read. Versions that only older states show may be dropped.
    pub(super) fn horizon(&self, now: Millis) -> Sequence {
        let published = self.published();
        let mut pins = self.pins();
        while pins.recent.front().is_some_and(|(time, _)| now - time > RETAINED_MS) {
            if let Some((_, sequence)) = pins.recent.pop_front() {
                pins.horizon = pins.horizon.max(sequence);
            }
        }
        let oldest_used = pins.used.keys().next().copied().unwrap_or(published);
        pins.horizon.min(oldest_used)
    }

    /// Opens a snapshot and registers it, so that merges keep what it shows.
    pub(super) fn pin(self: &Arc<Self>, wanted: Option<Sequence>) -> Result<SledSnapshot, StoreError> {
        let mut pins = self.pins();
        let published = self.published();
        let sequence = wanted.unwrap_or(published).min(published);
        if sequence < pins.horizon {
            return Err(StoreError::Expired);
        }
        *pins.used.entry(sequence).or_insert(0) += 1;
        drop(pins);
        Ok(SledSnapshot { state: self.clone(), sources: self.sources(), sequence })
    }

    /// How many snapshots are open.
    pub(super) fn snapshots(&self) -> usize {
        self.pins().used.values().sum()
    }

    fn unpin(&self, sequence: Sequence) {
        let mut pins = self.pins();
        if let Some(count) = pins.used.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                pins.used.remove(&sequence);
            }
        }
    }

    /// The newest version of a key that is not newer than `at`, including removals.
    pub(super) fn newest(
        &self,
        sources: &Sources,
        key: &[u8],
        at: Sequence,
    ) -> Result<Option<(Sequence, Option<Bytes>)>, StoreError> {
        // Tables and runs are searched from the newest to the oldest, so the first match is the newest version.
        for table in &sources.tables {
            if let Some(found) = table.newest(key, at) {
                return Ok(Some(found));
            }
        }
        if Space::of(key) == Some(Space::Record) {
            let sequence = Sequence(crate::store::key::number_at(key, 9).unwrap_or(0));
            if let Some(erased) =
                resource_row(key).and_then(|row| sources.erased.get(&row)).filter(|by| **by <= at)
            {
                return Ok(Some((*erased, None)));
            }
            let value = if sequence <= at { self.disk.read_record(key)? } else { None };
            return Ok(value.map(|value| (sequence, Some(value))));
        }
        for run in sources.runs.iter().rev() {
            if let Some(found) = run.newest(key, at)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Cursors over all sources that may hold a key of the range.
    pub(super) fn cursors<'s>(
        &'s self,
        sources: &'s Sources,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Vec<Box<dyn Cursor + 's>>, StoreError> {
        let mut cursors: Vec<Box<dyn Cursor + 's>> = Vec::new();
        for table in &sources.tables {
            cursors.push(Box::new(table.cursor(range, direction)));
        }
        for run in &sources.runs {
            if run.may_hold(range) {
                cursors.push(Box::new(run.cursor(range, direction)?));
            }
        }
        if range.start.first().is_none_or(|first| *first <= Space::Record.byte()) {
            cursors.push(Box::new(RecordsCursor::new(&self.disk, range, direction)?));
        }
        Ok(cursors)
    }
}

/// An open snapshot.
pub(super) struct SledSnapshot {
    state: Arc<State>,
    sources: Arc<Sources>,
    sequence: Sequence,
}

impl Drop for SledSnapshot {
    fn drop(&mut self) {
        self.state.unpin(self.sequence);
    }
}

impl Snapshot for SledSnapshot {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get(&self, key: &[u8]) -> Result<Option<(Bytes, Sequence)>, StoreError> {
        let newest = self.state.newest(&self.sources, key, self.sequence)?;
        Ok(newest.and_then(|(sequence, value)| value.map(|value| (value, sequence))))
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
    ) -> Result<(), StoreError> {
        let mut cursors = self.state.cursors(&self.sources, range, direction)?;
        cursor::scan(&mut cursors, direction, self.sequence, visit)
    }

    fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        let tables: u64 = self.sources.tables.iter().map(|table| table.estimate(range)).sum();
        let mut runs = 0;
        for run in self.sources.runs.iter().filter(|run| run.may_hold(range)) {
            runs += run.estimate(range)?;
        }
        Ok(tables + runs)
    }
}

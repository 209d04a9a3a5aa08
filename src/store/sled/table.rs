//! The memory table: the newest entries, sorted, until they are written to sled.
use std::cmp::Reverse;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;

use crate::store::kv::{Direction, StoreError};

use super::super::batch::{Committed, KeyRange, Sequence};
use super::cursor::{Cursor, narrow};

/// The memory of an entry besides its bytes: the node of the skip list and two handles.
const ENTRY_OVERHEAD: usize = 120;

type VersionedKey = (Bytes, Reverse<Sequence>);

/// Entries by key; of each key the newest version comes first.
#[derive(Default)]
pub(super) struct Table {
    entries: SkipMap<VersionedKey, Option<Bytes>>,
    bytes: AtomicUsize,
    /// The last commit in the table; its `first_row` is the next free row after it.
    last: Mutex<Option<Committed>>,
}

impl Table {
    pub(super) fn insert(&self, key: Bytes, sequence: Sequence, value: Option<Bytes>) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.insert((key, Reverse(sequence)), value);
    }

    pub(super) fn set_last(&self, last: Committed) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    pub(super) fn last(&self) -> Option<Committed> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest version of a key that is not newer than `at`.
    pub(super) fn newest(&self, key: &[u8], at: Sequence) -> Option<(Sequence, Option<Bytes>)> {
        let from = (Bytes::copy_from_slice(key), Reverse(at));
        let entry = self.entries.lower_bound(Bound::Included(&from))?;
        let (found, Reverse(sequence)) = entry.key();
        (found == key).then(|| (*sequence, entry.value().clone()))
    }

    pub(super) fn cursor(&self, range: &KeyRange, direction: Direction) -> TableCursor<'_> {
        let mut cursor = TableCursor { table: self, range: range.clone(), direction, at: None };
        cursor.start();
        cursor
    }

    /// About how many entries a range has: counted up to a limit; above that, a fixed large number.
    pub(super) fn estimate(&self, range: &KeyRange) -> u64 {
        const COUNTED_MAX: u64 = 64;
        const MANY: u64 = 4_096;
        // Pinning the epoch once makes the pins of the single steps cheap.
        let _pinned = crossbeam_epoch::pin();
        let mut cursor = self.cursor(range, Direction::Forward);
        let mut count = 0;
        while cursor.at.is_some() && count < COUNTED_MAX {
            count += 1;
            cursor.step();
        }
        if count < COUNTED_MAX { count } else { MANY }
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Bytes, Sequence, Option<Bytes>)> + '_ {
        self.entries.iter().map(|entry| {
            let (key, Reverse(sequence)) = entry.key();
            (key.clone(), *sequence, entry.value().clone())
        })
    }
}

/// A cursor over a table.
pub(super) struct TableCursor<'t> {
    table: &'t Table,
    range: KeyRange,
    direction: Direction,
    at: Option<Entry<'t, VersionedKey, Option<Bytes>>>,
}

impl TableCursor<'_> {
    fn start(&mut self) {
        let newest = |key: &[u8]| (Bytes::copy_from_slice(key), Reverse(Sequence(u64::MAX)));
        let entry = match self.direction {
            Direction::Forward => self.table.entries.lower_bound(Bound::Included(&newest(&self.range.start))),
            Direction::Reverse => self.table.entries.upper_bound(Bound::Excluded(&newest(&self.range.end))),
        };
        self.at = entry.filter(|entry| self.range.contains(&entry.key().0));
    }

    fn step(&mut self) {
        let next = self.at.take().and_then(|entry| match self.direction {
            Direction::Forward => entry.next(),
            Direction::Reverse => entry.prev(),
        });
        self.at = next.filter(|entry| self.range.contains(&entry.key().0));
    }
}

impl Cursor for TableCursor<'_> {
    fn current(&self) -> Option<(&[u8], Sequence)> {
        self.at.as_ref().map(|entry| (&*entry.key().0, entry.key().1.0))
    }

    fn value(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.at.as_ref().and_then(|entry| entry.value().clone()))
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.step();
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        narrow(&mut self.range, self.direction, key);
        self.start();
        Ok(())
    }
}

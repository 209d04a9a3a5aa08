//! History: the versions of a resource, of a type or of the whole server, newest first.
use std::collections::{BTreeMap, BTreeSet};

use crate::definitions::{TypeDef, r4};
use crate::model::Millis;
use crate::store::key::{Key, Space, number_at};
use crate::store::kv::{Direction, Flow, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::record::Stored;
use super::repository::Repository;

/// Whose history is read.
#[derive(Clone, Copy, Debug)]
pub enum HistoryScope {
    Row(u64),
    Type(&'static TypeDef),
    System,
}

/// A version in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub place: HistoryPlace,
    pub time: Millis,
}

/// The position of a version in a history. Histories are in descending order of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryPlace {
    pub sequence: Sequence,
    pub row: u64,
}

/// Which part of a history to read.
#[derive(Clone, Copy, Debug)]
pub struct HistoryRange {
    /// Versions older than this time are left out.
    pub since: Option<Millis>,
    /// Start after this position, towards older versions; `None`: start with the newest version.
    pub after: Option<HistoryPlace>,
    /// The maximum number of versions.
    pub len: usize,
}

impl Repository<'_> {
    /// The versions in a range of a history, newest first. Fewer than `range.len` means that no more follow.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn history(&self, scope: HistoryScope, range: HistoryRange) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut newest = Newest { range, found: BTreeMap::new() };
        match scope {
            HistoryScope::Row(row) => self.row_history(row, &mut newest)?,
            HistoryScope::Type(def) => self.type_history(def, &mut newest)?,
            HistoryScope::System => {
                for def in r4().resources() {
                    self.type_history(def, &mut newest)?;
                }
            }
        }
        let entry = |(place, time)| HistoryEntry { place, time };
        Ok(newest.found.into_iter().rev().map(entry).collect())
    }

    /// The versions of a row that are newer than a commit, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn versions_after(&self, row: u64, sequence: Sequence) -> Result<Vec<Sequence>, StoreError> {
        let mut range = self.versions_of(row, None);
        range.start = Key::new(Space::Record).number(row).number(sequence.0.saturating_add(1)).into_bytes();
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        self.snapshot.scan(&range, Direction::Reverse, &mut |key, _| {
            found.extend(number_at(key, 9).map(Sequence));
            Flow::Next
        })?;
        Ok(found)
    }

    /// The newest version with a text before a position of the same row. There need not be a version at that position.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn text_before(&self, place: HistoryPlace) -> Result<Option<Stored>, StoreError> {
        /// Between two versions with a text there is hardly ever more than one deletion.
        const READ_LEN: usize = 2;
        let mut range = HistoryRange { since: None, after: Some(place), len: READ_LEN };
        loop {
            let found = self.history(HistoryScope::Row(place.row), range)?;
            for entry in &found {
                let stored = self.version(place.row, entry.place.sequence)?;
                if let Some(stored) = stored.filter(|stored| !stored.text.is_empty()) {
                    return Ok(Some(stored));
                }
            }
            match found.last() {
                Some(last) if found.len() == READ_LEN => range.after = Some(last.place),
                _ => return Ok(None),
            }
        }
    }

    /// At most `len` rows of a type that were written after a commit.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn rows_written_since(
        &self,
        def: &TypeDef,
        since: Sequence,
        len: usize,
    ) -> Result<BTreeSet<u64>, StoreError> {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        let prefix = Key::new(Space::History).short(number);
        let mut range = KeyRange::prefix(prefix.clone().into_bytes());
        range.start = prefix.number(since.0.saturating_add(1)).into_bytes();
        let mut found = BTreeSet::new();
        self.snapshot.scan(&range, Direction::Forward, &mut |key, _| {
            found.extend(number_at(key, 11));
            if found.len() < len { Flow::Next } else { Flow::Stop }
        })?;
        Ok(found)
    }

    fn row_history(&self, row: u64, newest: &mut Newest) -> Result<(), StoreError> {
        let range = self.versions_of(row, newest.range.after);
        self.snapshot.scan(&range, Direction::Reverse, &mut |key, value| match (
            number_at(key, 9),
            number_at(value, 0),
        ) {
            (Some(sequence), Some(time)) => newest.take(sequence, row, time),
            _ => Flow::Next,
        })
    }

    /// The keys of a row's versions that the snapshot includes and that are before a position.
    fn versions_of(&self, row: u64, before: Option<HistoryPlace>) -> KeyRange {
        let prefix = Key::new(Space::Record).number(row);
        let end = before
            .map_or(u64::MAX, |place| place.sequence.0)
            .min(self.snapshot.sequence().0.saturating_add(1));
        KeyRange { start: prefix.clone().into_bytes(), end: prefix.number(end).into_bytes() }
    }

    fn type_history(&self, def: &TypeDef, newest: &mut Newest) -> Result<(), StoreError> {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        let prefix = Key::new(Space::History).short(number);
        let mut range = KeyRange::prefix(prefix.clone().into_bytes());
        if let Some(HistoryPlace { sequence, row }) = newest.range.after {
            range.end = prefix.number(sequence.0).number(row).into_bytes();
        }
        self.snapshot.scan(&range, Direction::Reverse, &mut |key, value| match (
            number_at(key, 3),
            number_at(key, 11),
            number_at(value, 0),
        ) {
            (Some(sequence), Some(row), Some(time)) => newest.take(sequence, row, time),
            _ => Flow::Next,
        })
    }
}

/// Collects the newest versions of several sources, each of which is read from its newest version on.
struct Newest {
    range: HistoryRange,
    found: BTreeMap<HistoryPlace, Millis>,
}

impl Newest {
    fn take(&mut self, sequence: u64, row: u64, time: u64) -> Flow {
        let place = HistoryPlace { sequence: Sequence(sequence), row };
        let time = Millis::try_from(time).unwrap_or(Millis::MAX);
        let is_full = self.found.len() >= self.range.len;
        let is_late = is_full && self.found.first_key_value().is_none_or(|(oldest, _)| place < *oldest);
        // Commit times never decrease, so the rest of this source is older still.
        if is_late || self.range.since.is_some_and(|since| time < since) {
            return Flow::Stop;
        }
        self.found.insert(place, time);
        if self.found.len() > self.range.len {
            self.found.pop_first();
        }
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use crate::store::batch::Batch;
    use crate::store::batch::KeyRange;
    use crate::store::batch::Sequence;
    use crate::store::batch::Write;
    use std::cell::Cell;
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{HistoryPlace, HistoryRange, HistoryScope, Repository};
    use crate::definitions::r4;
    use crate::store::SystemClock;
    use crate::store::key::{Key, Space};
    use crate::store::kv::{At, Direction, Flow, Kv, Snapshot, StoreError};
    use crate::store::memory::Memory;

    /// Counts the visited keys.
    struct Counting<'s> {
        inner: &'s dyn Snapshot,
        visited: std::sync::Mutex<usize>,
    }

    impl Snapshot for Counting<'_> {
        fn sequence(&self) -> Sequence {
            self.inner.sequence()
        }

        fn get(&self, key: &[u8]) -> Result<Option<(Bytes, Sequence)>, StoreError> {
            self.inner.get(key)
        }

        fn scan(
            &self,
            range: &KeyRange,
            direction: Direction,
            visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
        ) -> Result<(), StoreError> {
            let visited = Cell::new(0);
            self.inner.scan(range, direction, &mut |key, value| {
                visited.set(visited.get() + 1);
                visit(key, value)
            })?;
            *self.visited.lock().unwrap() += visited.get();
            Ok(())
        }
    }

    #[test]
    fn a_page_is_found_without_what_is_before_and_after_it() {
        let memory = Memory::new(Arc::new(SystemClock));
        let types = ["Patient", "Observation", "Encounter"].map(|name| r4().resource(name).unwrap());
        let mut writes = Vec::new();
        for sequence in 1..=3_000_u64 {
            let def = types[usize::try_from(sequence % 3).unwrap()];
            let number = r4().resource_number(def.id).unwrap();
            let key = Key::new(Space::History).short(number).number(sequence).number(sequence % 10);
            let value = Some(sequence.to_be_bytes().to_vec());
            writes.push(Write { key: key.into_bytes(), value, ..Write::default() });
        }
        memory.commit(Batch { writes, ..Batch::default() }).wait().unwrap();
        let snapshot = memory.snapshot(At::Latest).unwrap();
        let counting = Counting { inner: &*snapshot, visited: std::sync::Mutex::new(0) };
        let repository = Repository::new(&counting);
        for scope in [HistoryScope::System, HistoryScope::Type(types[0])] {
            let mut range = HistoryRange { since: Some(1_001), after: None, len: 7 };
            let mut found = Vec::new();
            loop {
                *counting.visited.lock().unwrap() = 0;
                let page = repository.history(scope, range).unwrap();
                // At most one page of each of the three types, and one more key of each.
                assert!(*counting.visited.lock().unwrap() <= 24, "{scope:?}");
                found.extend(page.iter().map(|entry| entry.place.sequence.0));
                if page.len() < range.len {
                    break;
                }
                range.after = page.last().map(|entry| entry.place);
            }
            let is_in = |sequence: &u64| matches!(scope, HistoryScope::System) || sequence.is_multiple_of(3);
            assert_eq!(found, (1_001..=3_000).rev().filter(is_in).collect::<Vec<u64>>(), "{scope:?}");
        }
        let place = HistoryPlace { sequence: Sequence(u64::MAX), row: 3 };
        assert_eq!(repository.text_before(place).unwrap().map(|stored| stored.row), None);
    }
}

//! History: the versions of a resource, of a type or of the whole server, newest first.
use std::collections::BTreeSet;

use crate::definitions::{TypeDef, r4};
use crate::model::Millis;
use crate::store::key::{Key, Space, number_at};
use crate::store::kv::{Direction, Flow, KeyRange, Sequence, StoreError};

use super::repository::Repository;

/// What a history is of.
#[derive(Clone, Copy, Debug)]
pub enum HistoryScope {
    Row(u64),
    Type(&'static TypeDef),
    System,
}

/// A version in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub row: u64,
    pub sequence: Sequence,
    pub time: Millis,
}

impl Repository<'_> {
    /// The versions of the scope that came at or after `since`, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn history(
        &self,
        scope: HistoryScope,
        since: Option<Millis>,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let since = since.unwrap_or(Millis::MIN);
        let mut found = Vec::new();
        match scope {
            HistoryScope::Row(row) => {
                for sequence in self.versions(row)? {
                    let Some(version) = self.version(row, sequence)? else { continue };
                    if version.time < since {
                        break;
                    }
                    found.push(HistoryEntry { row, sequence, time: version.time });
                }
            }
            HistoryScope::Type(def) => self.type_history(def, since, &mut found)?,
            HistoryScope::System => {
                for def in r4().resources() {
                    self.type_history(def, since, &mut found)?;
                }
                found.sort_by_key(|entry| std::cmp::Reverse((entry.sequence, entry.row)));
            }
        }
        Ok(found)
    }

    /// The rows of a type that were written after a commit, up to so many.
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

    fn type_history(
        &self,
        def: &TypeDef,
        since: Millis,
        found: &mut Vec<HistoryEntry>,
    ) -> Result<(), StoreError> {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        let range = KeyRange::prefix(Key::new(Space::History).short(number).into_bytes());
        self.snapshot.scan(&range, Direction::Reverse, &mut |key, value| {
            let (Some(sequence), Some(row), Some(time)) =
                (number_at(key, 3), number_at(key, 11), number_at(value, 0))
            else {
                return Flow::Next;
            };
            let time = Millis::try_from(time).unwrap_or(Millis::MAX);
            if time < since {
                return Flow::Stop;
            }
            found.push(HistoryEntry { row, sequence: Sequence(sequence), time });
            Flow::Next
        })
    }
}

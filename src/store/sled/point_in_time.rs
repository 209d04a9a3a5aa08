//! Point-in-time recovery: repeats the commits that a journal has after a backup on the restored store, up to a given time.
use std::collections::BTreeSet;
use std::path::Path;

use crate::model::Millis;
use crate::store::dump::commit_patiently;
use crate::store::key::resource_row;
use crate::store::kv::{Kv, StoreError};

use super::super::batch::{Batch, Committed, Sequence, Write};
use super::commit_record::Replayed;
use super::journal;

/// Which commits of a journal are repeated.
pub struct PointInTime<'a> {
    /// The data directory with the journal, or a copy of it.
    pub data: &'a Path,
    /// The last commit that the backup contains.
    pub after: Sequence,
    /// Commits after this time are left out; `None`: all are repeated.
    pub until: Option<Millis>,
    /// Rows that are left out because they were erased.
    pub erased: &'a BTreeSet<u64>,
}

/// The result of a recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledForward {
    pub commits: u64,
    /// The time of the last commit that the store contains now.
    pub time: Millis,
}

impl PointInTime<'_> {
    /// Repeats the commits on a store that was restored from the backup, and verifies the chain of the whole journal.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the chain is broken or does not continue the store's contents; [`StoreError::Expired`] if the
    /// backup is newer than the requested time.
    pub fn commit_into(&self, kv: &dyn Kv) -> Result<RolledForward, StoreError> {
        let start = Committed { sequence: Sequence(0), time: 0, first_row: 1 };
        let mut made = RolledForward::default();
        let is_wanted = |time: Millis| self.until.is_none_or(|until| time <= until);
        // The journal must contain the last commit of the backup and every commit after it.
        let mut next = None;
        journal::replay(&self.data.join("journal"), start, journal::Reading::ToInspect, &mut |record| {
            let Committed { sequence, time, .. } = record.committed;
            if sequence == self.after {
                if !is_wanted(time) {
                    return Err(StoreError::Expired);
                }
                made.time = time;
                next = Some(sequence.0 + 1);
            } else if sequence > self.after && is_wanted(time) {
                if next != Some(sequence.0) {
                    return Err(not_of(self.after));
                }
                next = Some(sequence.0 + 1);
                self.commit(kv, record)?;
                made.commits += 1;
                made.time = time;
            }
            Ok(())
        })?;
        if next.is_none() {
            return Err(not_of(self.after));
        }
        Ok(made)
    }

    fn commit(&self, kv: &dyn Kv, record: Replayed) -> Result<(), StoreError> {
        let there = record.committed;
        // The keys that mark rows as erased are kept: such a row must not be assigned again, nor restored by another backup.
        let is_kept = |key: &[u8]| resource_row(key).is_none_or(|row| !self.erased.contains(&row));
        let writes = record.writes.into_iter().filter(|(key, _)| is_kept(key)).map(|(key, value)| Write {
            key: key.to_vec(),
            value: value.map(|value| value.to_vec()),
            ..Write::default()
        });
        let batch = Batch { writes: writes.collect(), rows: record.rows, ..Batch::default() };
        let here = commit_patiently(kv, &batch)?;
        // Row numbers are part of keys, so they must be the same. Sequences only have to increase.
        if here.first_row == there.first_row && here.sequence >= there.sequence {
            return Ok(());
        }
        let what = format!("commit {} of the journal does not follow from the backup", there.sequence.0);
        Err(StoreError::Corrupt(what))
    }
}

fn not_of(last: Sequence) -> StoreError {
    let what = format!("the journal does not go on from commit {}, the last of the backup", last.0);
    StoreError::Corrupt(what)
}

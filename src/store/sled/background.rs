//! The background thread: writes full memory tables to sled as records and runs, merges runs (further while nothing is
//! written), drops versions that no snapshot can show any more, and compresses closed journal files.
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::clock::Clock;
use crate::store::key::{Space, erased_row};
use crate::store::kv::{Direction, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::cursor::{self, Cursor};
use super::disk::SledBatch;
use super::journal;
use super::manifest::Manifest;
use super::run::{BlockCache, Run, RunFacts, RunWriter};
use super::state::State;
use super::table::Table;
use super::writer::Queue;

/// How many runs of one level are merged into a run of the next level.
const MERGE_WIDTH: usize = 8;
/// In quiet times a run is merged with all newer runs if those have at least one entry for every `SETTLE_SHARE` of its own,
/// so that a large run is not rewritten for each small one.
const SETTLE_SHARE: u64 = 8;
/// A merge looks after this many keys whether the writer waits for the background.
const LOOK_AFTER: u64 = 16_384;
/// How long the background waits for readers of a table that it wrote to sled, and how often, before it goes on with other work.
const RETIRE_AFTER: Duration = Duration::from_millis(5);
const RETIRE_TRIES: usize = 10;
/// How often the background looks for work without being notified.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Background {
    pub(super) state: Arc<State>,
    pub(super) queue: Arc<Queue>,
    pub(super) manifest: Manifest,
    pub(super) cache: Arc<BlockCache>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal_folder: PathBuf,
    /// Runs are merged further once no table was written for this long.
    pub(super) settle_after: Duration,
    pub(super) failures_max: u32,
    /// When the last table was written.
    pub(super) quiet_since: Instant,
    /// Runs that the manifest no longer names; they are removed when no reader uses them.
    pub(super) obsolete: Vec<Arc<Run>>,
    /// Tables that are in sled. The background drops them when no reader uses them: to drop one takes tens of milliseconds, and a
    /// reader that did it would answer late.
    pub(super) retired: Vec<Arc<Table>>,
    /// The runs contain nothing of rows that were erased up to this commit.
    pub(super) merged: u64,
    /// A closed journal file cannot be read, so erased rows cannot be removed from it.
    pub(super) is_journal_damaged: bool,
}

impl Background {
    /// Runs until the store closes. If the operating system refuses something (no room, no file handles), the background tries
    /// again while commits wait. Corruption stops the writes; reads continue.
    pub(super) fn run(mut self) -> Self {
        let mut failures = 0_u32;
        while self.queue.wait_for_frozen(PATIENCE) {
            match self.work().and_then(|()| self.erase()).and_then(|()| self.settle()) {
                Ok(()) => failures = 0,
                // Nothing waits for the background, since memory serves the reads and the journal has everything: it may retry
                // for ever. Below, retries are limited: after a failed write sled keeps failing until it is opened again.
                Err(error) if !self.queue.is_awaited() && !matches!(error, StoreError::Corrupt(_)) => {
                    self.queue.note(error.to_string());
                    self.queue.pause(PATIENCE);
                }
                Err(error) if failures >= self.failures_max || matches!(error, StoreError::Corrupt(_)) => {
                    self.queue.stop(error.to_string());
                    return self;
                }
                Err(error) => {
                    failures += 1;
                    self.queue.note(error.to_string());
                    self.queue.pause(PATIENCE);
                }
            }
        }
        self
    }

    /// Writes all full tables to sled, merges runs, and compresses the journal.
    pub(super) fn work(&mut self) -> Result<(), StoreError> {
        self.write_down_full()?;
        while self.merge()? {}
        self.remove_obsolete()?;
        self.pack_journal()
    }

    /// Writes all full tables to sled. Long work calls it again and again, because commits wait while two tables are full.
    fn write_down_full(&mut self) -> Result<(), StoreError> {
        let full: Vec<Arc<Table>> = self.state.sources().tables.iter().skip(1).rev().cloned().collect();
        for table in full {
            self.write_down(&table)?;
        }
        // Most readers are done soon, and a merge may take long.
        for _ in 0..RETIRE_TRIES {
            self.retired.retain(|table| Arc::strong_count(table) > 1);
            if self.retired.is_empty() {
                break;
            }
            self.queue.pause(RETIRE_AFTER);
        }
        Ok(())
    }

    /// Writes the newest table to sled too, so that the next start has nothing to replay.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.work()?;
        let table = self.state.sources().tables.first().cloned();
        if let Some(table) = table.filter(|table| !table.is_empty()) {
            self.write_down(&table)?;
        }
        Ok(())
    }

    fn write_down(&mut self, table: &Arc<Table>) -> Result<(), StoreError> {
        let disk = self.state.disk.clone();
        // A failed earlier attempt may have left blocks under the same run number.
        disk.remove_run(self.manifest.next_run)?;
        let mut run = RunWriter::new(self.manifest.next_run, 0, disk.clone());
        let mut records = SledBatch::default();
        let mut erasing = 0;
        for (key, sequence, value) in table.iter() {
            if erased_row(&key).is_some() && value.is_some() {
                erasing = sequence.0.max(erasing);
            }
            match (Space::of(&key), &value) {
                (Some(Space::Record), Some(value)) => {
                    records.put_record(&key, value);
                    disk.write_when_large(&mut records)?;
                }
                _ => run.push(&key, sequence, value.as_deref())?,
            }
        }
        disk.write(&mut records)?;
        let facts = run.finish()?;
        let mut manifest = self.manifest.clone();
        manifest.next_run += 1;
        if let Some(last) = table.last() {
            (manifest.sequence, manifest.time, manifest.next_row) =
                (last.sequence.0, last.time, last.first_row);
        }
        manifest.runs.extend(facts.clone());
        manifest.erasing = erasing.max(manifest.erasing);
        disk.flush()?;
        manifest.write(&disk)?;
        let opened = facts.map(|facts| self.open(facts)).transpose()?;
        self.manifest = manifest;
        self.state.replace(|sources| {
            sources.tables.retain(|other| !Arc::ptr_eq(other, table));
            sources.runs.extend(opened);
        });
        self.queue.set_frozen(false);
        self.quiet_since = Instant::now();
        self.retired.push(table.clone());
        Ok(())
    }

    fn open(&self, facts: RunFacts) -> Result<Arc<Run>, StoreError> {
        Run::open(facts, self.state.disk.clone(), self.cache.clone()).map(Arc::new)
    }

    /// Merges the oldest `MERGE_WIDTH` adjacent runs of one level. `false` if there are none.
    fn merge(&mut self) -> Result<bool, StoreError> {
        let runs = self.state.sources().runs.clone();
        let Some(start) = (0..runs.len()).find(|start| self.is_full_level(&runs, *start)) else {
            return Ok(false);
        };
        let level = runs.get(start).map_or(0, |run| run.facts.level) + 1;
        self.merge_into_one(&runs, start..start + MERGE_WIDTH, level, &|| false).map(drop)?;
        Ok(true)
    }

    /// After a quiet time, merges runs further, so that a lookup reads fewer blocks. Gives up as soon as a table must be
    /// written.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.quiet_since.elapsed() < self.settle_after {
            return Ok(());
        }
        let runs = self.state.sources().runs.clone();
        let entries = |runs: &[Arc<Run>]| runs.iter().map(|run| run.facts.entries).sum::<u64>();
        let is_worth_it = |start: &usize| {
            let newer = runs.get(start + 1..).map_or(0, entries);
            newer > 0 && runs.get(*start).is_some_and(|run| newer * SETTLE_SHARE >= run.facts.entries)
        };
        let Some(start) = (0..runs.len()).find(is_worth_it) else { return Ok(()) };
        let level = runs.get(start).map_or(0, |run| run.facts.level);
        let queue = self.queue.clone();
        self.merge_into_one(&runs, start..runs.len(), level, &|| queue.is_awaited())?;
        self.remove_obsolete()
    }

    /// Replaces adjacent runs by their merge. `false` if `gives_up` interrupted it.
    pub(super) fn merge_into_one(
        &mut self,
        runs: &[Arc<Run>],
        range: Range<usize>,
        level: u32,
        gives_up: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let Some(merged) = runs.get(range.clone()) else { return Ok(false) };
        let Some(facts) = self.merge_runs(merged, level, range.start == 0, gives_up)? else {
            return Ok(false);
        };
        let mut manifest = self.manifest.clone();
        manifest.merging = None;
        manifest.runs.splice(range.clone(), facts.clone());
        self.state.disk.flush()?;
        manifest.write(&self.state.disk)?;
        let opened = facts.map(|facts| self.open(facts)).transpose()?;
        self.manifest = manifest;
        self.obsolete.extend(merged.iter().cloned());
        self.state.replace(|sources| drop(sources.runs.splice(range, opened)));
        Ok(true)
    }

    fn is_full_level(&self, runs: &[Arc<Run>], start: usize) -> bool {
        let level = runs.get(start).map(|run| run.facts.level);
        runs.get(start..start + MERGE_WIDTH)
            .is_some_and(|group| group.iter().all(|run| Some(run.facts.level) == level))
    }

    /// The merged run: the inner `None` if no entries are left, the outer `None` if the merge was given up. Tables that fill
    /// meanwhile are written as newer runs. The blocks of a merge that did not come to its end are removed before the next one.
    fn merge_runs(
        &mut self,
        runs: &[Arc<Run>],
        level: u32,
        is_oldest: bool,
        gives_up: &dyn Fn() -> bool,
    ) -> Result<Option<Option<RunFacts>>, StoreError> {
        let everything = KeyRange { start: Vec::new(), end: vec![0xff; 16] };
        let mut horizon = self.state.horizon(self.clock.now());
        if self.manifest.erasing > self.manifest.purged {
            // Sled still holds records of erased rows. The removals in the runs hide them, so they must be kept.
            horizon = horizon.min(Sequence(self.manifest.purged));
        }
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        for run in runs {
            cursors.push(Box::new(run.cursor_past_cache(&everything)?));
        }
        if let Some(unfinished) = self.manifest.merging {
            self.state.disk.remove_run(unfinished)?;
        }
        let number = self.manifest.next_run;
        self.state.disk.remove_run(number)?;
        (self.manifest.merging, self.manifest.next_run) = (Some(number), number + 1);
        let mut out = RunWriter::merging(number, level, self.state.disk.clone(), runs);
        let (mut key, mut versions) = (Vec::new(), Vec::new());
        let mut read = 0_u64;
        while cursor::next_key(&mut cursors, Direction::Forward, &mut key, &mut versions)? {
            read += 1;
            if read.is_multiple_of(LOOK_AFTER) {
                if gives_up() {
                    return Ok(None);
                }
                self.write_down_full()?;
            }
            versions.sort_by_key(|version| std::cmp::Reverse(version.sequence));
            for version in versions.drain(..) {
                let is_base = version.sequence <= horizon;
                let is_gone = version.value.is_none() && is_base && is_oldest;
                if !is_gone {
                    out.push(&key, version.sequence, version.value.as_deref())?;
                }
                if is_base {
                    // No snapshot is older than this version, so earlier versions of the key are not needed.
                    break;
                }
            }
            versions.clear();
        }
        out.finish().map(Some)
    }

    pub(super) fn remove_obsolete(&mut self) -> Result<(), StoreError> {
        let (free, used): (Vec<_>, Vec<_>) =
            self.obsolete.drain(..).partition(|run| Arc::strong_count(run) == 1);
        self.obsolete = used;
        for run in free {
            self.state.disk.remove_run(run.facts.id)?;
            self.write_down_full()?;
        }
        Ok(())
    }

    /// Compresses the journal files whose commits are all in sled, except the newest file.
    fn pack_journal(&self) -> Result<(), StoreError> {
        let files = journal::files_with_records(&self.journal_folder)?;
        for pair in files.windows(2) {
            let [(_, path), (next, _)] = pair else { continue };
            let is_covered = next.0 <= self.manifest.sequence + 1;
            if is_covered && journal::is_plain(path) {
                journal::compress(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::SystemClock;
    use crate::store::batch::Committed;
    use crate::store::sled::disk::Disk;
    use crate::store::sled::run::ByBytes;
    use crate::store::sled::state::Sources;

    /// A table with some keys of a commit; the keys of commits lie between one another.
    fn table(commit: u32, keys: u32) -> Arc<Table> {
        let table = Table::default();
        let sequence = Sequence(u64::from(commit));
        for number in 0..keys {
            let key = [&[7][..], &number.to_be_bytes(), &commit.to_be_bytes()].concat();
            table.insert(Bytes::from(key), sequence, Some(Bytes::from_static(b"value")));
        }
        table.set_last(Committed { sequence, time: 0, first_row: 1 });
        Arc::new(table)
    }

    #[test]
    fn a_table_that_fills_during_a_merge_is_written_before_the_merge_ends() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("sled"), 1 << 20, false).unwrap();
        let sources = Sources { tables: vec![Arc::default()], runs: Vec::new(), erased: Arc::default() };
        let state = Arc::new(State::new(Arc::new(disk), sources, Sequence(0)));
        let queue = Arc::<Queue>::default();
        let mut background = Background {
            state: state.clone(),
            queue: queue.clone(),
            manifest: Manifest::empty(),
            cache: Arc::new(BlockCache::with_weighter(100, 1 << 20, ByBytes)),
            clock: Arc::new(SystemClock),
            journal_folder: folder.path().to_owned(),
            settle_after: Duration::from_secs(1),
            failures_max: 0,
            quiet_since: Instant::now(),
            obsolete: Vec::new(),
            retired: Vec::new(),
            merged: 0,
            is_journal_damaged: false,
        };
        let fill = |commit: u32, keys: u32| {
            state.replace(|sources| sources.tables.insert(1, table(commit, keys)));
            queue.set_frozen(true);
        };
        for commit in 1..=2 {
            fill(commit, 20_000);
            background.write_down_full().unwrap();
        }
        let runs = state.sources().runs.clone();
        assert_eq!(runs.len(), 2);
        // Each look of the merge finds that the table of the look before is in sled, and another one full.
        let looks = std::cell::Cell::new(2);
        let looked = || {
            assert!(!queue.is_awaited(), "a full table waits for the merge");
            looks.set(looks.get() + 1);
            fill(looks.get(), 10);
            false
        };
        assert!(background.merge_into_one(&runs, 0..2, 1, &looked).unwrap());
        assert!(looks.get() >= 4);
        assert!(!queue.is_awaited() && background.manifest.merging.is_none());
        let sources = state.sources();
        assert_eq!(sources.tables.len(), 1);
        // The merged run comes first, then those of the tables, and the manifest names the same ones.
        let ids =
            |facts: &mut dyn Iterator<Item = &RunFacts>| facts.map(|facts| facts.id).collect::<Vec<_>>();
        assert_eq!(
            ids(&mut sources.runs.iter().map(|run| &run.facts)),
            ids(&mut background.manifest.runs.iter())
        );
        assert_eq!(sources.runs.len(), usize::try_from(looks.get()).unwrap() - 1);
        assert_eq!(sources.runs[0].facts.entries, 40_000);
        for (commit, number) in [(1, 0_u32), (2, 19_999), (3, 9), (looks.get(), 0)] {
            let key = [&[7][..], &number.to_be_bytes(), &commit.to_be_bytes()].concat();
            let found = state.newest(&sources, &key, Sequence(u64::MAX)).unwrap();
            assert!(found.is_some(), "{commit} {number}");
        }
        // A merge that did not come to its end leaves blocks, which the next one removes.
        background.manifest.merging = Some(background.manifest.next_run);
        let runs = sources.runs.clone();
        assert!(background.merge_into_one(&runs, 0..runs.len(), 1, &|| false).unwrap());
        assert_eq!(state.sources().runs.len(), 1);
    }
}

//! The background: writes full memory tables down as records and runs, merges runs by eights and, while it is quiet,
//! further; drops what nobody can ask for any more, and packs closed journal files.
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

/// How many runs of a level are merged into one of the next.
const MERGE_WIDTH: usize = 8;
/// While it is quiet a run is merged with all newer ones if these have at least one in so many of its entries: so a large
/// run is not written again for every small one.
const SETTLE_SHARE: u64 = 8;
/// After so many entries a merge that can wait looks whether something waits for it.
const LOOK_AFTER: u64 = 16_384;
/// How often it looks for work of its own.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Background {
    pub(super) state: Arc<State>,
    pub(super) queue: Arc<Queue>,
    pub(super) manifest: Manifest,
    pub(super) cache: Arc<BlockCache>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal_folder: PathBuf,
    /// When it has been quiet for so long, runs are merged further.
    pub(super) settle_after: Duration,
    pub(super) failures_max: u32,
    /// Since when no table was written down.
    pub(super) quiet_since: Instant,
    /// Runs that no manifest names, kept while a reader may be in them.
    pub(super) obsolete: Vec<Arc<Run>>,
    /// The erasures up to this commit have left the runs.
    pub(super) merged: u64,
    /// A closed file of the journal cannot be read, so nothing can be erased from it.
    pub(super) is_journal_damaged: bool,
}

impl Background {
    /// Works until the store closes. What the operating system refuses now (no room, no handles) is tried again, and
    /// meanwhile commits wait; damage stops the writes, and reads go on from what is there.
    pub(super) fn run(mut self) -> Self {
        let mut failures = 0_u32;
        while self.queue.wait_for_frozen(PATIENCE) {
            match self.work().and_then(|()| self.erase()).and_then(|()| self.settle()) {
                Ok(()) => failures = 0,
                // sled remembers a failed write for as long as it is open, so what does not pass soon will not.
                // Nobody waits for it: what is in memory can be read, and the journal has it.
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

    /// One round of everything that waits.
    pub(super) fn work(&mut self) -> Result<(), StoreError> {
        let frozen: Vec<Arc<Table>> = self.state.sources().tables.iter().skip(1).rev().cloned().collect();
        for table in frozen {
            self.write_down(&table)?;
        }
        while self.merge()? {}
        self.remove_obsolete()?;
        self.pack_journal()
    }

    /// Writes the newest table down too, so that the next start has nothing to replay.
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
        // An earlier try that failed may have left pieces under the same number.
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
        Ok(())
    }

    fn open(&self, facts: RunFacts) -> Result<Arc<Run>, StoreError> {
        Run::open(facts, self.state.disk.clone(), self.cache.clone()).map(Arc::new)
    }

    /// Merges the oldest full level. `false` if there is none.
    fn merge(&mut self) -> Result<bool, StoreError> {
        let runs = self.state.sources().runs.clone();
        let Some(start) = (0..runs.len()).find(|start| self.is_full_level(&runs, *start)) else {
            return Ok(false);
        };
        let level = runs.get(start).map_or(0, |run| run.facts.level) + 1;
        self.merge_into_one(&runs, start..start + MERGE_WIDTH, level, &|| false).map(drop)?;
        Ok(true)
    }

    /// When nothing has been written for a while: few runs, so that a look-up reads few blocks. Given up as soon as a
    /// table is to be written down.
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

    /// Merges runs that stand side by side, unless `gives_up` says so while it is about it; then `false`.
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
        manifest.next_run += 1;
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

    /// The merged run, which may have no entries left; the outer `None` if it was given up. What was written of it is
    /// removed when its number is used.
    fn merge_runs(
        &self,
        runs: &[Arc<Run>],
        level: u32,
        is_oldest: bool,
        gives_up: &dyn Fn() -> bool,
    ) -> Result<Option<Option<RunFacts>>, StoreError> {
        let everything = KeyRange { start: Vec::new(), end: vec![0xff; 16] };
        let mut horizon = self.state.horizon(self.clock.now());
        if self.manifest.erasing > self.manifest.purged {
            // While erased records are still there, their removals hide them.
            horizon = horizon.min(Sequence(self.manifest.purged));
        }
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        for run in runs {
            cursors.push(Box::new(run.cursor(&everything, Direction::Forward)?));
        }
        self.state.disk.remove_run(self.manifest.next_run)?;
        let mut out = RunWriter::new(self.manifest.next_run, level, self.state.disk.clone());
        let (mut key, mut versions) = (Vec::new(), Vec::new());
        let mut read = 0_u64;
        while cursor::next_key(&mut cursors, Direction::Forward, &mut key, &mut versions)? {
            read += 1;
            if read.is_multiple_of(LOOK_AFTER) && gives_up() {
                return Ok(None);
            }
            versions.sort_by_key(|version| std::cmp::Reverse(version.sequence));
            for version in versions.drain(..) {
                let is_base = version.sequence <= horizon;
                let is_gone = version.value.is_none() && is_base && is_oldest;
                if !is_gone {
                    out.push(&key, version.sequence, version.value.as_deref())?;
                }
                if is_base {
                    // Everybody who may still ask sees this version or a newer one.
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
        free.iter().try_for_each(|run| self.state.disk.remove_run(run.facts.id))
    }

    /// Packs the files that the manifest covers, all but the newest.
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

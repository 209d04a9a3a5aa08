//! What an erasure leaves the background to do. A commit has removed every key of some rows, so nobody reads them any more;
//! here the bytes go: records, the runs' postings, and what the closed files of the journal say. Every step can be done
//! twice, and the manifest says that it is to be done until all are, so a crash at any moment only means doing it again.
use std::collections::BTreeMap;
use std::fs;

use crate::store::key::{erased_prefix, erased_row};
use crate::store::kv::{Direction, Flow, KeyRange, Sequence, Snapshot as _, StoreError};

use super::background::Background;
use super::journal;
use super::renewal;
use super::state::State;

impl State {
    /// The rows that the newest state says were erased, and the commits that did.
    pub(super) fn erased_rows(self: &std::sync::Arc<Self>) -> Result<BTreeMap<u64, Sequence>, StoreError> {
        let snapshot = self.pin(None)?;
        let mut rows = Vec::new();
        snapshot.scan(&KeyRange::prefix(erased_prefix()), Direction::Forward, &mut |key, _| {
            rows.extend(erased_row(key).map(|row| (row, key.to_vec())));
            Flow::Next
        })?;
        let mut found = BTreeMap::new();
        for (row, key) in rows {
            found.extend(snapshot.get(&key)?.map(|(_, sequence)| (row, sequence)));
        }
        Ok(found)
    }
}

impl Background {
    /// Goes on with what erasures have left to do, as far as nobody waits for something else and nobody reads a state from
    /// before them.
    pub(super) fn erase(&mut self) -> Result<(), StoreError> {
        let until = Sequence(self.manifest.erasing);
        if until == Sequence(0)
            || self.is_journal_damaged
            || self.queue.is_awaited()
            || self.state.horizon(self.clock.now()) < until
            || self.queue.journal_first() <= until
        {
            return Ok(());
        }
        let mut rows = self.state.erased_rows()?;
        rows.retain(|_, by| *by <= until);
        self.purge(&rows, until)?;
        if !self.merge_all(until)? {
            return Ok(());
        }
        self.remove_obsolete()?;
        if !self.obsolete.is_empty() {
            // Somebody still reads a run from before.
            return Ok(());
        }
        if !self.erase_journal(&rows)? {
            return Ok(());
        }
        self.state.disk.flush()?;
        let mut manifest = self.manifest.clone();
        (manifest.erasing, manifest.renew) = (0, true);
        manifest.write(&self.state.disk)?;
        self.manifest = manifest;
        // Later erasures, which the manifest does not know yet, stay.
        self.state.replace(|sources| {
            std::sync::Arc::make_mut(&mut sources.erased).retain(|_, by| *by > until);
        });
        Ok(())
    }

    fn purge(&mut self, rows: &BTreeMap<u64, Sequence>, until: Sequence) -> Result<(), StoreError> {
        if self.manifest.purged >= until.0 {
            return Ok(());
        }
        for (row, by) in rows {
            if by.0 > self.manifest.purged {
                self.state.disk.remove_records(*row)?;
            }
        }
        self.state.disk.flush()?;
        let mut manifest = self.manifest.clone();
        manifest.purged = until.0;
        manifest.write(&self.state.disk)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Merges all runs into one, which drops what was removed and what is older. `false` if it was given up.
    fn merge_all(&mut self, until: Sequence) -> Result<bool, StoreError> {
        if self.merged >= until.0 {
            return Ok(true);
        }
        let runs = self.state.sources().runs.clone();
        let level = runs.iter().map(|run| run.facts.level).max().unwrap_or(0);
        let queue = self.queue.clone();
        if !runs.is_empty() && !self.merge_into_one(&runs, 0..runs.len(), level, &|| queue.is_awaited())? {
            return Ok(false);
        }
        self.merged = until.0;
        Ok(true)
    }

    /// Takes the rows out of the closed files, the oldest first: so that no replay, at whatever moment, finds a version
    /// without the removal after it. `false` if something else is waited for, or a file is damaged: what it says cannot be told,
    /// and the store goes on without it.
    fn erase_journal(&mut self, rows: &BTreeMap<u64, Sequence>) -> Result<bool, StoreError> {
        let open = self.queue.journal_first();
        for (first, path) in journal::files_with_records(&self.journal_folder)? {
            if self.queue.is_awaited() {
                return Ok(false);
            }
            if first >= open {
                continue;
            }
            match journal::erase(&path, &|row| rows.contains_key(&row)) {
                Ok(_) => {}
                Err(StoreError::Corrupt(what)) => {
                    self.is_journal_damaged = true;
                    self.queue.note(format!("an erasure is not complete: {what}"));
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(data) = self.journal_folder.parent() {
            for path in renewal::set_aside(data)? {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(true)
    }
}

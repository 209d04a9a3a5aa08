//! The background part of an erasure. The erasing commit has removed every key of some rows, so nobody can read them any
//! more; here their bytes are removed from records, runs and closed journal files. Each step can be repeated, and the
//! manifest marks the erasure as incomplete until all steps are done, so a crash at any moment only repeats steps.
use std::collections::BTreeMap;
use std::fs;

use crate::store::key::{erased_prefix, erased_row};
use crate::store::kv::{Direction, Flow, Snapshot as _, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::background::Background;
use super::compaction;
use super::journal;
use super::state::State;

impl State {
    /// The rows that the newest state marks as erased, each with the commit that erased it.
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
    /// Continues incomplete erasures, unless the writer waits for the background or a snapshot of an earlier state is open.
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
            // A reader still uses a run that contains erased rows.
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
        // Erasures that came later, which the manifest does not include yet, stay.
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

    /// Merges all runs into one, which drops removed keys and old versions. `false` if the merge was given up.
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

    /// Removes the rows from the closed journal files, the oldest first, so that a replay at any moment finds no version without
    /// the removal after it. `false` if the writer waits for the background, or if a file is damaged: then it is unknown what the
    /// file contains, and the store goes on without completing the erasure.
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
            for path in compaction::set_aside(data)? {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::batch::Batch;
    use crate::store::batch::Write;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use crate::store::key::erased_key;
    use crate::store::kv::{At, Kv as _};
    use crate::store::{Key, Sled, SledOptions, Space, SystemClock, verify_chain};

    const NEEDLE: &[u8] = b"needle of row seven";

    fn open(folder: &Path) -> Sled {
        let options = SledOptions { table_bytes_max: 20_000, sync: false, ..SledOptions::new(folder) };
        Sled::open(&options, Arc::new(SystemClock)).unwrap()
    }

    fn keys(row: u64) -> [Vec<u8>; 2] {
        let record = Key::new(Space::Record).number(row).number(1);
        let posting = Key::new(Space::Posting).short(1).word(2).text(NEEDLE).number(row);
        [record.into_bytes(), posting.into_bytes()]
    }

    fn commit(store: &Sled, pairs: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let write = |(key, value)| Write { key, value, ..Write::default() };
        let writes = pairs.into_iter().map(write).collect();
        store.commit(Batch { writes, ..Batch::default() }).wait().unwrap();
    }

    /// A store with many journal files, the first of which contains row 7.
    fn filled(folder: &Path) -> Sled {
        let store = open(folder);
        for row in 7..400 {
            let value = if row == 7 { NEEDLE.to_vec() } else { vec![7; 300] };
            commit(&store, keys(row).into_iter().map(|key| (key, Some(value.clone()))).collect());
        }
        store
    }

    fn erase(store: &Sled, row: u64) {
        let mut pairs: Vec<_> = keys(row).into_iter().map(|key| (key, None)).collect();
        pairs.push((erased_key(row), Some(Vec::new())));
        commit(store, pairs);
    }

    fn waited_for(what: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !what() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        what()
    }

    fn journal(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let read = |(_, path): (_, std::path::PathBuf)| {
            let bytes = std::fs::read(&path).ok()?;
            let is_packed = path.extension().is_some_and(|extension| extension == "zst");
            Some((path, if is_packed { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes }))
        };
        loop {
            let files = super::journal::files(&folder.join("journal")).unwrap();
            // The background may compress and so rename a file between listing and reading. Then list again.
            if let Some(files) = files.into_iter().map(read).collect() {
                return files;
            }
        }
    }

    fn finds(bytes: &[u8]) -> bool {
        // The posting keys of all rows contain the needle, so a key of row 7 must be found too.
        let found = bytes.windows(NEEDLE.len()).filter(|window| *window == NEEDLE).count();
        let first = keys(7);
        found > 0 && first.iter().any(|key| bytes.windows(key.len()).any(|window| window == key.as_slice()))
    }

    #[test]
    fn what_is_erased_leaves_every_file_of_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        assert!(journal(folder.path()).iter().any(|(_, bytes)| finds(bytes)));
        erase(&store, 7);
        assert!(waited_for(|| !store.is_erasing()), "{:?}", store.failure());
        assert!(journal(folder.path()).len() > 3);
        assert!(!journal(folder.path()).iter().any(|(_, bytes)| finds(bytes)));
        assert_eq!(verify_chain(folder.path()), Ok(394));
        assert_eq!(store.figures().runs, 1);
        drop(store);
        // Rebuilt from the journal alone, the store has all other rows.
        std::fs::remove_dir_all(folder.path().join("sled")).unwrap();
        let store = open(folder.path());
        let snapshot = store.snapshot(At::Latest).unwrap();
        for row in 7..400 {
            for key in keys(row) {
                assert_eq!(snapshot.get(&key).unwrap().is_some(), row != 7, "{row}");
            }
        }
    }

    #[test]
    fn a_damaged_file_keeps_an_erasure_from_its_end_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        let first = || journal(folder.path()).remove(0);
        assert!(waited_for(|| first().0.extension().is_some_and(|extension| extension == "zst")));
        let (path, bytes) = first();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        erase(&store, 7);
        assert!(waited_for(|| store.failure().is_some()));
        assert!(store.failure().unwrap().contains("an erasure is not complete"));
        assert!(store.is_erasing() && !store.is_stopped());
        commit(&store, keys(400).into_iter().map(|key| (key, Some(vec![1]))).collect());
    }
}

//! The sled backend: a journal, memory tables, and, written in the background, records and runs in sled.
//!
//! ```text
//! commit --> queue --> writer: journal (one sync for a group) --> memory table --> answer
//!                                                   | when it is full
//!                                                   v
//!            background: sled  records by row | runs: sorted blocks | manifest
//! ```

mod background;
mod block;
mod bloom;
mod commit_record;
mod compaction;
mod cursor;
mod disk;
mod erasure;
mod first_keys;
mod format;
mod journal;
mod manifest;
mod open;
mod options;
mod point_in_time;
mod records;
mod replication;
mod replication_position;
mod run;
mod state;
mod table;
mod writer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::batch::Batch;
use super::key::erased_row;
use super::kv::{At, Figure, Kv, NotWritable, Snapshot, StoreError};
use super::ticket::Ticket;
use background::Background;

pub use options::SledOptions;
pub use point_in_time::{PointInTime, RolledForward};
use state::State;
use writer::Queue;

/// What happened when a directory was opened; for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// How many commits were replayed from the journal.
    pub replayed: u64,
    /// How many bytes of an incomplete record were cut off.
    pub torn_bytes: u64,
    /// Why sled's directory was set aside and rebuilt from the journal, if it was.
    pub rebuilt: Option<String>,
    /// Why sled's directory was not rewritten after an erasure, if that failed; the next start tries again.
    pub not_renewed: Option<String>,
}

/// Called for every write of a commit: the sequence, the key, and its value, or `None` for a removal.
type WriteListener<'t> = dyn FnMut(super::batch::Sequence, &[u8], Option<&[u8]>) + 't;

/// The result of reading the whole journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub commits: u64,
    /// The bytes of an incomplete commit at the end.
    pub torn_bytes: u64,
    /// The rows that the journal's commits mark as erased.
    pub erased: BTreeSet<u64>,
    /// How many commits lack writes of erased rows.
    pub commits_erased: u64,
    /// Rows whose writes are missing although no commit marks them as erased.
    pub unexplained: BTreeSet<u64>,
}

/// Reads the whole journal of a data directory, or of a copy of it, and verifies every seal. Calls `tell` for every write.
/// Changes nothing.
///
/// # Errors
/// [`StoreError::Corrupt`] with the file, the byte and the commit at which the chain breaks.
pub fn read_chain(data: &std::path::Path, tell: &mut WriteListener<'_>) -> Result<Chain, StoreError> {
    let start = super::batch::Committed { sequence: super::batch::Sequence(0), time: 0, first_row: 1 };
    let mut chain = Chain::default();
    let folder = data.join("journal");
    let replayed = journal::replay(&folder, start, journal::Reading::ToInspect, &mut |record| {
        chain.commits += 1;
        chain.commits_erased += u64::from(!record.erased.is_empty());
        chain.unexplained.extend(record.erased);
        for (key, value) in &record.writes {
            chain.erased.extend(erased_row(key).filter(|_| value.is_some()));
            tell(record.committed.sequence, key, value.as_deref());
        }
        Ok(())
    })?;
    chain.torn_bytes = replayed.torn_bytes;
    chain.unexplained.retain(|row| !chain.erased.contains(row));
    Ok(chain)
}

/// Like [`read_chain`], if only the validity of the chain matters. Returns the number of commits.
///
/// # Errors
/// Those of [`read_chain`], and [`StoreError::Corrupt`] if writes are missing that no erasure explains.
pub fn verify_chain(data: &std::path::Path) -> Result<u64, StoreError> {
    let chain = read_chain(data, &mut |_, _, _| {})?;
    match chain.unexplained.first() {
        Some(row) => {
            Err(StoreError::Corrupt(format!("writes of row {row} are gone that no erasure explains")))
        }
        None => Ok(chain.commits),
    }
}

/// Sizes of a store, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SledFigures {
    pub sled_bytes: u64,
    pub journal_bytes: u64,
    pub runs: usize,
    /// First keys and bloom filters of the runs, in bytes.
    pub index_bytes: usize,
    pub table_bytes: usize,
}

/// An open store. Dropping it writes the memory tables to sled and closes it.
pub struct Sled {
    state: Arc<State>,
    queue: Arc<Queue>,
    /// The position of the standby that follows this store.
    followed: Mutex<Option<replication_position::ReplicationPosition>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    background: Mutex<Option<JoinHandle<Background>>>,
    journal_folder: PathBuf,
    opened: OpenReport,
    answer_max: Duration,
}

impl Sled {
    /// Rewrites sled's directory, so that it takes no more room than its data. Meanwhile there must be room for both copies. The
    /// store must not be open.
    ///
    /// # Errors
    /// [`StoreError`]; the directory is then unchanged.
    pub fn compact(options: &SledOptions) -> Result<(), StoreError> {
        compaction::recover(&options.path)?;
        let open = || disk::Disk::open(&options.path.join("sled"), options.sled_cache_bytes, options.sync);
        let disk = open()?;
        let manifest = manifest::Manifest::read(&disk)?;
        let renewed = compaction::renew(options, disk, &manifest);
        compaction::recover(&options.path)?;
        // sled saves its page table only when it opens; without this, the next start would scan all files.
        renewed.and_then(|()| open().map(drop))
    }

    /// What happened when the directory was opened.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.opened
    }

    /// Whether the store refuses writes since one failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.queue.is_stopped()
    }

    /// The last failure of the disk, in the words of the operating system; for the log.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.queue.failure()
    }

    /// Whether the background still has to remove bytes of erased rows from records, runs or journal.
    #[must_use]
    pub fn is_erasing(&self) -> bool {
        !self.state.sources().erased.is_empty()
    }

    /// Sizes on the disk and in memory.
    #[must_use]
    pub fn figures(&self) -> SledFigures {
        let sources = self.state.sources();
        let files = journal::files(&self.journal_folder).unwrap_or_default();
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        SledFigures {
            sled_bytes: self.state.disk.bytes_on_disk(),
            journal_bytes: files.iter().map(|(_, path)| size(path)).sum(),
            runs: sources.runs.len(),
            index_bytes: sources.runs.iter().map(|run| run.resident_bytes()).sum(),
            table_bytes: sources.tables.iter().map(|table| table.bytes()).sum(),
        }
    }

    /// Finishes the accepted commits, writes the memory tables to sled and closes the store.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails. Nothing is lost: the next start replays the journal.
    pub fn close(&self) -> Result<(), StoreError> {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            return Err(StoreError::Io("the writer failed".to_owned()));
        }
        let Some(background) = background else { return Ok(()) };
        // In a separate thread, because a call of sled may never return.
        let (ended, end) = mpsc::channel();
        let queue = self.queue.clone();
        let finish = move || {
            let failed = |_| StoreError::Io("the background work failed".to_owned());
            let finished = background
                .join()
                .map_err(failed)
                .and_then(|mut background| if queue.is_stopped() { Ok(()) } else { background.finish() });
            // The receiver may have given up waiting.
            let _ = ended.send(finished);
        };
        thread::Builder::new().name("store-end".to_owned()).spawn(finish)?;
        loop {
            match end.recv_timeout(Duration::from_millis(100)) {
                Ok(finished) => return finished,
                Err(RecvTimeoutError::Timeout) if self.state.disk.writes_for() <= self.answer_max => {}
                Err(_) => return Err(StoreError::Io(writer::NO_ANSWER.to_owned())),
            }
        }
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        // What could not be written to sled is in the journal.
        let _ = self.close();
    }
}

impl Kv for Sled {
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError> {
        let wanted = match at {
            At::Latest => None,
            At::Sequence(sequence) => Some(sequence),
        };
        Ok(Box::new(self.state.pin(wanted)?))
    }

    fn health(&self) -> Result<(), NotWritable> {
        let is_well = !self.queue.is_stopped() && !self.queue.is_overfull();
        if is_well { Ok(()) } else { Err(self.queue.failure().unwrap_or_default().into()) }
    }

    fn figures(&self) -> Vec<Figure> {
        let (commits, bytes) = self.queue.pending();
        let sources = self.state.sources();
        let table_bytes = sources.tables.iter().map(|table| table.bytes()).sum();
        let count = |value: usize| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        let figure = |name, help, value| Figure { name, help, value };
        vec![
            figure(
                "store_writable",
                "1 while writes are accepted",
                f64::from(u8::from(self.queue.is_writable())),
            ),
            figure("store_commits_pending", "Commits that wait for the writer", count(commits)),
            figure("store_pending_bytes", "Bytes of commits that wait for the writer", count(bytes)),
            figure("store_table_bytes", "Bytes in the memory tables", count(table_bytes)),
            figure(
                "store_tables",
                "Memory tables: two while one is being written down",
                count(sources.tables.len()),
            ),
            figure("store_runs", "Sorted runs of the index", count(sources.runs.len())),
            figure("store_snapshots", "Snapshots in use", count(self.state.snapshots())),
        ]
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let (ticket, resolver) = Ticket::new();
        self.queue.push(batch, Some(resolver));
        ticket
    }

    fn commit_soon(&self, batch: Batch) {
        self.queue.push(batch, None);
    }

    fn is_behind(&self) -> bool {
        self.queue.is_behind()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::batch::Batch;
    use crate::store::batch::Write;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Sled, SledOptions, read_chain, verify_chain};
    use crate::store::kv::{At, Kv as _};
    use crate::store::{Key, Space, SystemClock};

    #[test]
    fn what_is_taken_from_the_journal_without_an_erasure_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let options = SledOptions { sync: false, ..SledOptions::new(folder.path()) };
        let store = Sled::open(&options, Arc::new(SystemClock)).unwrap();
        for row in [5, 6] {
            let key = Key::new(Space::Record).number(row).number(1).into_bytes();
            let write = Write { key, value: Some(vec![7; 200]), ..Write::default() };
            store.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
        }
        drop(store);
        assert_eq!(verify_chain(folder.path()), Ok(2));
        let (_, path) = super::journal::files(&folder.path().join("journal")).unwrap().remove(0);
        assert_eq!(super::journal::erase(&path, &|row| row == 5), Ok(true));
        let chain = read_chain(folder.path(), &mut |_, _, _| {}).unwrap();
        assert_eq!((chain.commits_erased, chain.unexplained), (1, [5].into()));
        assert!(verify_chain(folder.path()).is_err());
    }

    #[test]
    fn what_is_written_no_more_ends_in_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let options = SledOptions {
            table_bytes_max: 20_000,
            sync: false,
            settle_after: Duration::from_secs(3_600),
            ..SledOptions::new(folder.path())
        };
        let key = |number: u64| [&[5], number.to_be_bytes().as_slice()].concat();
        let store = Sled::open(&options, Arc::new(SystemClock)).unwrap();
        for number in 0..1_000 {
            let write = Write { key: key(number), value: Some(vec![7; 200]), ..Write::default() };
            store.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
        }
        drop(store);
        let quiet = SledOptions { settle_after: Duration::ZERO, ..options };
        let store = Sled::open(&quiet, Arc::new(SystemClock)).unwrap();
        let before = store.figures().runs;
        assert!(before > 2, "{before} runs");
        let begun = Instant::now();
        while store.figures().runs > 1 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
        }
        assert_eq!(store.figures().runs, 1);
        let snapshot = store.snapshot(At::Latest).unwrap();
        for number in 0..1_000 {
            assert_eq!(snapshot.get(&key(number)).unwrap().unwrap().0, vec![7; 200], "{number}");
        }
    }
}

//! The sled backend: journal, memory tables, and in the background records and runs in sled.
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
use super::kv::{At, Figure, Kv, Snapshot, StoreError};
use super::ticket::Ticket;
use background::Background;

pub use options::SledOptions;
pub use point_in_time::{PointInTime, RolledForward};
use state::State;
use writer::Queue;

/// What opening a directory came upon; for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Commits that were replayed from the journal.
    pub replayed: u64,
    /// Bytes of a record that was never finished, cut off.
    pub torn_bytes: u64,
    /// Why sled's directory was set aside and rebuilt from the journal, if it was.
    pub rebuilt: Option<String>,
    /// Why sled's directory was not written anew after an erasure, if it should have been; the next opening tries again.
    pub not_renewed: Option<String>,
}

/// Is told a write of a commit: a key that was put (with a value) or removed (without).
type WriteListener<'t> = dyn FnMut(super::batch::Sequence, &[u8], Option<&[u8]>) + 't;

/// What reading the journal from its first file to its last came upon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub commits: u64,
    /// Bytes at the end that are no whole commit.
    pub torn_bytes: u64,
    /// Rows of resources that were erased, as their erasures say.
    pub erased: BTreeSet<u64>,
    /// How many commits lack what they said of erased rows.
    pub commits_erased: u64,
    /// How many of them are of the first format, whose seals can then only be taken as they stand.
    pub commits_unproved: u64,
    /// Rows that something was taken away of although no erasure names them.
    pub unexplained: BTreeSet<u64>,
}

/// Reads the journal of a data directory, or a copy of it, from the first file to the last and checks every seal. Nothing
/// is changed. Tells every write, with its commit.
///
/// # Errors
/// [`StoreError::Corrupt`] naming the file, the byte and the commit at which the chain breaks.
pub fn read_chain(data: &std::path::Path, tell: &mut WriteListener<'_>) -> Result<Chain, StoreError> {
    let start = super::batch::Committed { sequence: super::batch::Sequence(0), time: 0, first_row: 1 };
    let mut chain = Chain::default();
    let folder = data.join("journal");
    let replayed = journal::replay(&folder, start, journal::Reading::ToInspect, &mut |record| {
        chain.commits += 1;
        chain.commits_erased += u64::from(!record.erased.is_empty());
        chain.commits_unproved += u64::from(!record.is_proved);
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

/// As [`read_chain`], for who wants to know only whether the chain is whole; gives the number of commits.
///
/// # Errors
/// Those of [`read_chain`], and [`StoreError::Corrupt`] if something is missing that no erasure explains.
pub fn verify_chain(data: &std::path::Path) -> Result<u64, StoreError> {
    let chain = read_chain(data, &mut |_, _, _| {})?;
    match chain.unexplained.first() {
        Some(row) => {
            Err(StoreError::Corrupt(format!("writes of row {row} are gone that no erasure explains")))
        }
        None => Ok(chain.commits),
    }
}

/// Figures about a store, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SledFigures {
    pub sled_bytes: u64,
    pub journal_bytes: u64,
    pub runs: usize,
    /// First keys and filters of runs, in bytes.
    pub index_bytes: usize,
    pub table_bytes: usize,
}

/// An open store. Dropped, it writes down what is in memory and closes.
pub struct Sled {
    state: Arc<State>,
    queue: Arc<Queue>,
    /// Where the one that follows this store is.
    followed: Mutex<Option<replication_position::ReplicationPosition>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    background: Mutex<Option<JoinHandle<Background>>>,
    journal_folder: PathBuf,
    opened: OpenReport,
    answer_max: Duration,
}

impl Sled {
    /// Writes sled's directory anew, so that it takes no more room than what is in it; until then there must be room for both.
    /// It must not be open.
    ///
    /// # Errors
    /// [`StoreError`]; the directory is then as it was.
    pub fn compact(options: &SledOptions) -> Result<(), StoreError> {
        compaction::recover(&options.path)?;
        let open = || disk::Disk::open(&options.path.join("sled"), options.sled_cache_bytes, options.sync);
        let disk = open()?;
        let manifest = manifest::Manifest::read(&disk)?;
        let renewed = compaction::renew(options, disk, &manifest);
        compaction::recover(&options.path)?;
        // sled saves where its pages are only while it is opened; without that the next start looks through all of its files.
        renewed.and_then(|()| open().map(drop))
    }

    /// What opening the directory came upon.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.opened
    }

    /// Whether writes are refused since one failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.queue.is_stopped()
    }

    /// The last failure of the disk, in the words of the operating system; for the log.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.queue.failure()
    }

    /// Whether something that was erased is still to be taken out of records, runs or journal; the background is about it.
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

    /// Finishes what was accepted, writes the memory tables down and closes.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails; the journal has everything, and the next start replays it.
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
        // In a thread of its own, because sled may not come back.
        let (ended, end) = mpsc::channel();
        let queue = self.queue.clone();
        let finish = move || {
            let failed = |_| StoreError::Io("the background work failed".to_owned());
            let finished = background
                .join()
                .map_err(failed)
                .and_then(|mut background| if queue.is_stopped() { Ok(()) } else { background.finish() });
            // Whoever waited may have given up.
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
        // What could not be written down is in the journal.
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

    fn health(&self) -> Result<(), String> {
        let is_well = !self.queue.is_stopped() && !self.queue.is_overfull();
        if is_well { Ok(()) } else { Err(self.queue.failure().unwrap_or_default()) }
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
            let write = Write { key, value: Some(vec![7; 200]), stamps: Vec::new() };
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
            let write = Write { key: key(number), value: Some(vec![7; 200]), stamps: Vec::new() };
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

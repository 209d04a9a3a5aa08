//! Opening a directory: sled with its manifest and runs, then the commits of the journal that sled does not have. A damaged
//! sled directory is set aside and rebuilt from the journal.
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::store::clock::Clock;
use crate::store::key::erased_row;
use crate::store::kv::StoreError;
use crate::store::private::make_private_folder;

use super::super::batch::{Committed, Sequence};
use super::background::Background;
use super::commit_record::{Replayed, Seal};
use super::compaction;
use super::disk::Disk;
use super::journal::{self, Journal};
use super::manifest::Manifest;
use super::run::{BlockCache, ByBytes, Run};
use super::state::{Sources, State};
use super::table::Table;
use super::writer::{Queue, Writer};
use super::{OpenReport, Sled, SledOptions};

impl Sled {
    /// Opens a data directory, or creates it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open; [`StoreError::Io`] if the operating system refuses;
    /// [`StoreError::Corrupt`] with the place if the journal itself is damaged.
    pub fn open(options: &SledOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let mut opened = OpenReport::default();
        match Self::open_as_it_is(options, clock.clone(), &mut opened) {
            Err(StoreError::Corrupt(reason)) if reason == WENT_BACK => {
                set_aside(&options.path)?;
                opened = OpenReport { rebuilt: Some(reason), ..OpenReport::default() };
                Self::open_as_it_is(options, clock, &mut opened)
            }
            other => other,
        }
    }

    fn open_as_it_is(
        options: &SledOptions,
        clock: Arc<dyn Clock>,
        opened: &mut OpenReport,
    ) -> Result<Self, StoreError> {
        let journal_folder = options.path.join("journal");
        make_private_folder(&journal_folder)?;
        let cache = Arc::new(BlockCache::with_weighter(
            usize::try_from(options.block_cache_bytes / 8_192).unwrap_or(usize::MAX),
            options.block_cache_bytes,
            ByBytes,
        ));
        compaction::recover(&options.path)?;
        let (disk, manifest, runs) = match open_sled(options, &cache, opened) {
            Err(StoreError::Corrupt(reason)) => {
                set_aside(&options.path)?;
                opened.rebuilt = Some(reason);
                open_sled(options, &cache, opened)?
            }
            other => other?,
        };
        let applied = manifest.applied();
        let queue = Arc::<Queue>::default();
        let sources = Sources { tables: vec![Arc::new(Table::default())], runs, erased: Arc::default() };
        let state = Arc::new(State::new(disk, sources, applied.sequence));
        let mut background = Background {
            state: state.clone(),
            queue: queue.clone(),
            manifest,
            cache,
            clock: clock.clone(),
            journal_folder: journal_folder.clone(),
            settle_after: options.settle_after,
            failures_max: options.failures_max,
            quiet_since: Instant::now(),
            obsolete: Vec::new(),
            retired: Vec::new(),
            merged: 0,
            is_journal_damaged: false,
        };
        let replayed = replay(options, &journal_folder, applied, &mut background, opened)?;
        state.publish(replayed.last.sequence, replayed.last.time);
        state.forget_before(replayed.last.sequence);
        if background.manifest.erasing > 0 {
            state.erase(&state.erased_rows()?);
        }
        queue.set_journal(replayed.journal.first());
        let writer = Writer {
            state: state.clone(),
            queue: queue.clone(),
            journal: replayed.journal,
            seal: replayed.seal,
            last: replayed.last,
            clock,
            answer_max: options.answer_max,
            table_bytes_max: options.table_bytes_max,
            journal_bytes_max: options.journal_bytes_max,
            is_erasing: false,
        };
        let writer = thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run())?;
        let background =
            thread::Builder::new().name("store-background".to_owned()).spawn(move || background.run())?;
        Ok(Self {
            state,
            queue,
            followed: Mutex::new(None),
            writer: Mutex::new(Some(writer)),
            background: Mutex::new(Some(background)),
            journal_folder,
            opened: std::mem::take(opened),
            answer_max: options.answer_max,
        })
    }
}

/// Erased rows are removed from the journal only when sled has the erasure on the disk. If such a journal record must be
/// replayed, sled has lost flushed data: it may hold erased rows whose removals are lost, so it must be rebuilt.
const WENT_BACK: &str = "sled has gone back to before an erasure";

type OpenSled = (Arc<Disk>, Manifest, Vec<Arc<Run>>);

fn open_sled(
    options: &SledOptions,
    cache: &Arc<BlockCache>,
    opened: &mut OpenReport,
) -> Result<OpenSled, StoreError> {
    let folder = options.path.join("sled");
    make_private_folder(&folder)?;
    let open = || Disk::open(&folder, options.sled_cache_bytes, options.sync);
    let mut disk = open()?;
    let mut manifest = Manifest::read(&disk)?;
    // A crash leaves runs that the manifest does not name: unfinished ones, or ones that were merged into another.
    for run in disk.runs()? {
        if !manifest.runs.iter().any(|facts| facts.id == run) {
            disk.remove_run(run)?;
        }
    }
    if manifest.renew {
        match compaction::renew(options, disk, &manifest) {
            // The directory remains usable if there is no room for a copy.
            Err(StoreError::Io(reason)) => opened.not_renewed = Some(reason),
            other => other?,
        }
        compaction::recover(&options.path)?;
        disk = open()?;
        manifest = Manifest::read(&disk)?;
    }
    let disk = Arc::new(disk);
    let mut runs = Vec::new();
    for facts in &manifest.runs {
        runs.push(Arc::new(Run::open(facts.clone(), disk.clone(), cache.clone())?));
    }
    Ok((disk, manifest, runs))
}

fn set_aside(path: &Path) -> Result<(), StoreError> {
    let free =
        (1..1_000).map(|number| path.join(format!("sled-damaged-{number}"))).find(|path| !path.exists());
    let target = free.ok_or_else(|| StoreError::Io("too many damaged directories are kept".to_owned()))?;
    Ok(fs::rename(path.join("sled"), target)?)
}

/// The journal and the last commit, with which the writer continues.
struct OpenedWriter {
    journal: Journal,
    seal: Seal,
    last: Committed,
}

fn replay(
    options: &SledOptions,
    folder: &Path,
    applied: Committed,
    background: &mut Background,
    opened: &mut OpenReport,
) -> Result<OpenedWriter, StoreError> {
    let replayed = journal::replay(folder, applied, journal::Reading::ToOpen, &mut |record: Replayed| {
        if applied.sequence.0 > 0 && !record.erased.is_empty() {
            return Err(StoreError::Corrupt(WENT_BACK.to_owned()));
        }
        opened.replayed += 1;
        let table = background.state.sources().tables.first().cloned();
        let Some(table) = table else { return Ok(()) };
        let sequence = record.committed.sequence;
        for (key, value) in record.writes {
            table.insert(key, sequence, value);
        }
        table.set_last(Committed { first_row: record.committed.first_row + record.rows, ..record.committed });
        if table.bytes() < options.table_bytes_max {
            return Ok(());
        }
        background.state.replace(|sources| sources.tables.insert(0, Arc::new(Table::default())));
        background.work()
    })?;
    let was_written_down = journal::files(folder)?.iter().any(|(_, path)| !journal::is_plain(path));
    if applied.sequence.0 == 0 && was_written_down && opened.rebuilt.is_none() {
        opened.rebuilt = Some("what had been written to sled is gone".to_owned());
    }
    opened.torn_bytes = replayed.torn_bytes;
    let next = Sequence(replayed.last.sequence.0 + 1);
    let resumed = match &replayed.open {
        Some((path, len)) if journal::is_plain(path) => Some(Journal::resume(path, *len, options.sync)?),
        _ => None,
    };
    let erases = holds_erasure(background);
    // A file with commits up to an erasure is closed, so that the erased rows can be removed from it.
    let is_closed = |journal: &Journal| erases || journal.first().0 <= background.manifest.erasing;
    let journal = match resumed.filter(|journal| !is_closed(journal)) {
        Some(journal) => journal,
        None => Journal::create(folder, next, &replayed.seal, options.sync)?,
    };
    if erases {
        // Starts a new memory table too, so that erased rows leave the memory.
        background.state.replace(|sources| sources.tables.insert(0, Arc::new(Table::default())));
        background.work()?;
    }
    Ok(OpenedWriter { journal, seal: replayed.seal, last: replayed.last })
}

/// Whether the memory table contains an erasing commit.
fn holds_erasure(background: &Background) -> bool {
    let sources = background.state.sources();
    let holds = |(key, _, value): (bytes::Bytes, Sequence, Option<bytes::Bytes>)| {
        erased_row(&key).is_some() && value.is_some()
    };
    sources.tables.first().is_some_and(|table| table.iter().any(holds))
}

//! The sled database: two trees (records and blocks) and the manifest, written in batches. After each flush the files are
//! synced explicitly, because sled's own flush on Linux does not wait until the disk has the data.
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::store::key::Space;
use crate::store::kv::StoreError;

use super::super::batch::KeyRange;

/// The largest batch that sled is given at once, in bytes. While sled applies a batch, nobody reads from it.
const BATCH_BYTES_MAX: usize = 128 * 1024;
/// sled stores larger values in separate files, so larger values are cut into pieces of this size.
const PIECE_BYTES_MAX: usize = 6 * 1024;
/// sled is flushed after this many bytes, because only then does it reuse the room of freed pages.
const FLUSH_BYTES: usize = 4 * 1024 * 1024;
/// How long opening waits for the directory's lock: a sled thread of a store that this process just closed may still hold it.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const MANIFEST: &[u8] = b"manifest";
/// Of every `GATHER_EVERY` keys written, one is touched this often before a flush ([`Disk::gather_and_flush`]). sled keeps 9
/// to 16 keys in a page, and rewrites a page as a whole after ten changes.
const GATHER_EVERY: usize = 8;
const GATHER_TOUCHES: u8 = 3;

/// An open sled directory.
pub(super) struct Disk {
    path: PathBuf,
    /// Always set until the drop.
    open: Option<Open>,
    sync: bool,
    /// What was written since the last flush.
    unflushed: Mutex<Unflushed>,
    /// When the current write began, if one is running.
    writing_since: Mutex<Option<Instant>>,
}

/// sled and its trees.
struct Open {
    database: sled::Db,
    records: sled::Tree,
    blocks: sled::Tree,
}

impl Drop for Disk {
    fn drop(&mut self) {
        let open = self.open.take();
        // sled syncs when it is dropped and panics if that fails. Nothing is lost, since the journal has everything.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(open)));
    }
}

#[derive(Default)]
struct Unflushed {
    bytes: usize,
    records: Vec<Vec<u8>>,
    blocks: Vec<Vec<u8>>,
}

/// Writes that are gathered for one batch.
#[derive(Default)]
pub(super) struct SledBatch {
    records: Puts,
    blocks: Puts,
    bytes: usize,
}

/// The puts of one tree, and some of their keys for [`Disk::gather_and_flush`].
#[derive(Default)]
struct Puts {
    batch: sled::Batch,
    count: usize,
    some: Vec<Vec<u8>>,
}

impl Puts {
    fn insert(&mut self, key: Vec<u8>, value: impl Into<sled::IVec>) {
        self.count += 1;
        if self.count.is_multiple_of(GATHER_EVERY) {
            self.some.push(key.clone());
        }
        self.batch.insert(key, value);
    }
}

impl SledBatch {
    pub(super) fn put_block(&mut self, run: u64, number: u32, stored: Vec<u8>) {
        self.bytes += stored.len();
        self.blocks.insert(block_key(b'b', run, number), stored);
    }

    /// Adds the index of a run, cut into pieces.
    pub(super) fn put_index(&mut self, run: u64, index: &[u8]) {
        for (piece, number) in index.chunks(PIECE_BYTES_MAX).zip(0_u32..) {
            self.bytes += piece.len();
            self.blocks.insert(block_key(b'i', run, number), piece);
        }
    }

    /// Adds a record, cut into pieces; the first piece begins with the length of the whole record.
    pub(super) fn put_record(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += key.len() + value.len();
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
        let (first, rest) = value.split_at(value.len().min(PIECE_BYTES_MAX));
        self.records.insert(record_key(key, 0), [&len[..], first].concat());
        for (piece, number) in rest.chunks(PIECE_BYTES_MAX).zip(1_u32..) {
            self.records.insert(record_key(key, number), piece);
        }
    }
}

fn block_key(what: u8, run: u64, number: u32) -> Vec<u8> {
    let mut key = vec![what];
    key.extend_from_slice(&run.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of a piece of a record in sled: the store's key without its space byte, then the number of the piece.
fn record_key(key: &[u8], piece: u32) -> Vec<u8> {
    let mut out = key.get(1..).unwrap_or_default().to_vec();
    out.extend_from_slice(&piece.to_be_bytes());
    out
}

/// Runs a call of sled. sled reports some damage by panicking; here that becomes an error.
fn guarded<T>(what: &str, act: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::Io(format!("{what}: {error}"))),
        Ok(Err(error)) => Err(StoreError::Corrupt(format!("{what}: {error}"))),
        Err(_) => Err(StoreError::Corrupt(format!("{what}: sled panicked"))),
    }
}

impl Disk {
    /// Opens the directory, or creates it.
    pub(super) fn open(path: &Path, cache_bytes: u64, sync: bool) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        let since = Instant::now();
        let database = loop {
            match guarded("sled does not open", || config.open()) {
                // sled has no error code for this, only this message.
                Err(StoreError::Io(error)) if error.contains("acquire lock") => {
                    if since.elapsed() >= LOCK_PATIENCE {
                        return Err(StoreError::InUse);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => break opened?,
            }
        };
        let records = guarded("the records do not open", || database.open_tree("records"))?;
        let blocks = guarded("the blocks do not open", || database.open_tree("blocks"))?;
        Ok(Self {
            path: path.to_owned(),
            open: Some(Open { database, records, blocks }),
            sync,
            unflushed: Mutex::default(),
            writing_since: Mutex::default(),
        })
    }

    /// Runs a call that writes, and measures how long it takes. If a sled thread has failed to write or sync, a call that waits
    /// for that thread never returns.
    fn writing<T>(&self, what: &str, act: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
        let since = |since| *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        since(Some(Instant::now()));
        let done = guarded(what, act);
        since(None);
        done
    }

    /// How long the current write has been running.
    pub(super) fn writes_for(&self) -> Duration {
        let since = *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn opened(&self) -> Result<&Open, sled::Error> {
        self.open.as_ref().ok_or_else(|| sled::Error::Unsupported("it is closed".to_owned()))
    }

    fn trees(&self) -> Result<&Open, StoreError> {
        guarded("sled", || self.opened())
    }

    pub(super) fn write_when_large(&self, batch: &mut SledBatch) -> Result<(), StoreError> {
        if batch.bytes >= BATCH_BYTES_MAX { self.write(batch) } else { Ok(()) }
    }

    pub(super) fn write(&self, batch: &mut SledBatch) -> Result<(), StoreError> {
        let batch = std::mem::take(batch);
        self.writing("sled does not write", || {
            self.opened()?.records.apply_batch(batch.records.batch)?;
            self.opened()?.blocks.apply_batch(batch.blocks.batch)
        })?;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        unflushed.bytes += batch.bytes;
        unflushed.records.extend(batch.records.some);
        unflushed.blocks.extend(batch.blocks.some);
        let is_due = unflushed.bytes >= FLUSH_BYTES;
        drop(unflushed);
        if is_due { self.gather_and_flush() } else { Ok(()) }
    }

    /// Makes sled rewrite the changed pages as a whole, each in one place, by touching some of their keys until sled does so.
    /// Otherwise the fragments of a page would occupy room until all data beside them are obsolete: measured, 1.7 to 1.8 times
    /// the size of the data, and 1.3 times with this. A touched key is put and removed again. Should a crash leave it behind, no
    /// reader takes it for data: it follows an existing key, and its last four bytes are not the number of a first piece.
    fn gather_and_flush(&self) -> Result<(), StoreError> {
        let unflushed = std::mem::take(&mut *self.unflushed.lock().unwrap_or_else(PoisonError::into_inner));
        let key = |near: &[u8], number: u8| [near, &[0xff, number]].concat();
        self.writing("sled does not flush", || {
            let Open { records, blocks, .. } = self.opened()?;
            for (tree, some) in [(records, &unflushed.records), (blocks, &unflushed.blocks)] {
                for near in some {
                    for number in 0..GATHER_TOUCHES {
                        tree.insert(key(near, number), &[])?;
                    }
                    for number in 0..GATHER_TOUCHES {
                        tree.remove(key(near, number))?;
                    }
                }
            }
            self.opened()?.database.flush().map(drop)
        })
    }

    /// Waits until everything written is on the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.gather_and_flush()?;
        if !self.sync {
            return Ok(());
        }
        File::open(self.path.join("db"))?.sync_all()?;
        let blobs = self.path.join("blobs");
        if let Ok(entries) = fs::read_dir(&blobs) {
            for entry in entries {
                match File::open(entry?.path()) {
                    Ok(file) => file.sync_all()?,
                    // sled removed the file since the folder was listed, so nothing needs it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
            File::open(&blobs)?.sync_all()?;
        }
        Ok(File::open(&self.path)?.sync_all()?)
    }

    pub(super) fn read_block(&self, run: u64, number: u32) -> Result<Vec<u8>, StoreError> {
        let found =
            guarded("sled does not read", || self.opened()?.blocks.get(block_key(b'b', run, number)))?;
        found
            .map(|stored| stored.to_vec())
            .ok_or_else(|| StoreError::Corrupt(format!("block {number} of run {run} is missing")))
    }

    pub(super) fn read_index(&self, run: u64) -> Result<Vec<u8>, StoreError> {
        let prefix = block_key(b'i', run, 0);
        guarded("sled does not read", || {
            let mut index = Vec::new();
            for piece in self.opened()?.blocks.scan_prefix(prefix.get(..9).unwrap_or_default()) {
                index.extend_from_slice(&piece?.1);
            }
            Ok(index)
        })
    }

    /// The value of a record; the key includes the space byte.
    pub(super) fn read_record(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let first = guarded("sled does not read", || self.opened()?.records.get(record_key(key, 0)))?;
        first.map(|first| self.whole_record(key, &first)).transpose()
    }

    fn whole_record(&self, key: &[u8], first: &[u8]) -> Result<Bytes, StoreError> {
        let corrupt = || StoreError::Corrupt("a record is cut short".to_owned());
        let (len, rest) = first.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| corrupt())?;
        let mut value = rest.to_vec();
        let mut piece = 1;
        while value.len() < len {
            let next = guarded("sled does not read", || self.opened()?.records.get(record_key(key, piece)))?;
            value.extend_from_slice(&next.ok_or_else(corrupt)?);
            piece += 1;
        }
        if value.len() == len { Ok(value.into()) } else { Err(corrupt()) }
    }

    /// All pieces of the records of a range, in order; their keys are without the space byte.
    pub(super) fn records(&self, range: &KeyRange) -> Result<sled::Iter, StoreError> {
        let space = Space::Record.byte();
        // Greater than every key, since row, sequence and piece number together have 20 bytes.
        let last = vec![0xff; 24];
        let within = |key: &[u8], after: Vec<u8>| match key.split_first() {
            Some((first, rest)) if *first == space => rest.to_vec(),
            Some((first, _)) if *first > space => after,
            _ => Vec::new(),
        };
        let (start, end) = (within(&range.start, last.clone()), within(&range.end, last));
        Ok(self.trees()?.records.range(start.clone()..end.max(start)))
    }

    /// Reads the whole record if an iteration has reached its first piece; `None` for a later piece.
    pub(super) fn record_of(&self, key: &[u8], first: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
        match key.split_last_chunk::<4>() {
            Some((plain, [0, 0, 0, 0])) => {
                let key = [&[Space::Record.byte()], plain].concat();
                let value = self.whole_record(&key, first)?;
                Ok(Some((key, value)))
            }
            _ => Ok(None),
        }
    }

    /// Removes all records of a row.
    pub(super) fn remove_records(&self, row: u64) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for key in self.trees()?.records.scan_prefix(row.to_be_bytes()).keys() {
            batch.remove(guarded("sled does not read", || key)?);
        }
        self.writing("sled does not write", || self.opened()?.records.apply_batch(batch))
    }

    /// Copies every record and block into another directory.
    pub(super) fn copy_into(&self, other: &Self) -> Result<(), StoreError> {
        let mut batch = SledBatch::default();
        for pair in self.trees()?.records.iter() {
            let (key, value) = guarded("sled does not read", || pair)?;
            batch.bytes += key.len() + value.len();
            batch.records.insert(key.to_vec(), value);
            other.write_when_large(&mut batch)?;
        }
        for pair in self.trees()?.blocks.iter() {
            let (key, value) = guarded("sled does not read", || pair)?;
            batch.bytes += key.len() + value.len();
            batch.blocks.insert(key.to_vec(), value);
            other.write_when_large(&mut batch)?;
        }
        other.write(&mut batch)?;
        other.flush()
    }

    pub(super) fn read_manifest(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(guarded("sled does not read", || self.opened()?.database.get(MANIFEST))?
            .map(|stored| stored.to_vec()))
    }

    pub(super) fn write_manifest(&self, manifest: Vec<u8>) -> Result<(), StoreError> {
        self.writing("sled does not write", || self.opened()?.database.insert(MANIFEST, manifest).map(drop))?;
        self.flush()
    }

    /// Removes the blocks and the index of a run that the manifest does not name.
    pub(super) fn remove_run(&self, run: u64) -> Result<(), StoreError> {
        for what in [b'b', b'i'] {
            let prefix = block_key(what, run, 0);
            let mut batch = sled::Batch::default();
            let keys = self.trees()?.blocks.scan_prefix(prefix.get(..9).unwrap_or_default()).keys();
            let mut count = 0_usize;
            for key in keys {
                let key = guarded("sled does not read", || key)?;
                batch.remove(key);
                count += 1;
                if count.is_multiple_of(1_000) {
                    let full = std::mem::take(&mut batch);
                    self.writing("sled does not write", || self.opened()?.blocks.apply_batch(full))?;
                }
            }
            self.writing("sled does not write", || self.opened()?.blocks.apply_batch(batch))?;
        }
        Ok(())
    }

    /// The numbers of all runs that have an index.
    pub(super) fn runs(&self) -> Result<Vec<u64>, StoreError> {
        let mut found: Vec<u64> = Vec::new();
        let mut from = vec![b'i'];
        loop {
            let next = guarded("sled does not read", || {
                self.opened()?.blocks.range(from.clone()..vec![b'j']).next().transpose()
            })?;
            let Some((key, _)) = next else { return Ok(found) };
            let Some(run) = key.get(1..9).and_then(|bytes| bytes.first_chunk::<8>()) else {
                return Ok(found);
            };
            let run = u64::from_be_bytes(*run);
            found.push(run);
            from = block_key(b'i', run + 1, 0);
        }
    }

    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.opened().and_then(|open| open.database.size_on_disk()).unwrap_or(0)
    }
}

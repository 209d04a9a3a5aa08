//! The journal (write-ahead log), which alone makes writes durable: append-only files of commits. Each record's seal is a
//! hash that covers the seal of the record before, so that lost, changed or reordered records are detected.
//!
//! A file is `journal/<first sequence, 20 digits>.journal`, or `.journal.zst` once it is closed and compressed: the magic of
//! its format (8), its first sequence (8), the seal of the record before its first (32), and records
//! ([`super::commit_record`]).
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::store::key::resource_row;
use crate::store::kv::StoreError;

use super::super::batch::{Committed, Sequence};
use super::commit_record::{self, Reader, Replayed, Seal};
use super::format;

pub(super) const FILE_HEADER: usize = 8 + 8 + 32;
const FILE_HEADER_LEN: u64 = 48;

/// Takes the place of the previous seal for the very first record.
pub(super) const FIRST_SEAL: Seal = [0; 32];

/// The open file, to which records are appended.
pub(super) struct Journal {
    folder: PathBuf,
    /// The first sequence, which names the file.
    first: Sequence,
    file: File,
    len: u64,
    sync: bool,
}

pub(super) fn file_header(first: Sequence, seal: &Seal) -> Vec<u8> {
    [&format::JOURNAL_MAGIC[..], &first.0.to_be_bytes()[..], seal].concat()
}

fn file_path(folder: &Path, first: Sequence) -> PathBuf {
    folder.join(format!("{:020}.journal", first.0))
}

impl Journal {
    /// Creates a file whose first record will have the sequence `first`.
    pub(super) fn create(
        folder: &Path,
        first: Sequence,
        seal: &Seal,
        sync: bool,
    ) -> Result<Self, StoreError> {
        let header = file_header(first, seal);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(file_path(folder, first))?;
        file.write_all(&header)?;
        if sync {
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { folder: folder.to_owned(), first, file, len: FILE_HEADER_LEN, sync })
    }

    /// Opens an existing file for appending, after it was replayed; bytes after `len`, the end of its last whole record, are cut.
    pub(super) fn resume(path: &Path, len: u64, sync: bool) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        if sync {
            file.sync_all()?;
        }
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let first = first_of(path).unwrap_or_default();
        Ok(Self { folder, first, file, len, sync })
    }

    /// Appends records and waits until the disk has them.
    ///
    /// # Errors
    /// The failure of the operating system. With [`AppendError::NothingWritten`] the file is as before, and the store may
    /// continue; with [`AppendError::Unknown`] it is unknown what the disk holds.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = self.file.write_all(bytes) {
            // A read-only disk has written nothing, and would refuse to truncate the file too.
            let is_longer = self.file.metadata().map_or(true, |file| file.len() != self.len);
            let cut = if is_longer { self.file.set_len(self.len) } else { Ok(()) };
            let restored = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            return Err(match restored {
                Ok(_) => AppendError::NothingWritten(error),
                Err(_) => AppendError::Unknown(error),
            });
        }
        if self.sync {
            // After a failed sync it is unknown what the disk holds.
            self.file.sync_data().map_err(AppendError::Unknown)?;
        }
        self.len += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    /// Closes this file and begins the next one.
    pub(super) fn rotate(&mut self, next: Sequence, seal: &Seal) -> Result<(), StoreError> {
        *self = Self::create(&self.folder, next, seal, self.sync)?;
        Ok(())
    }

    /// The first sequence, which names the file.
    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    /// The length of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

/// How an append failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    /// The file is as it was before.
    #[error("{0}")]
    NothingWritten(std::io::Error),
    /// It is unknown what the disk holds.
    #[error("{0}")]
    Unknown(std::io::Error),
}

/// The purpose of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To open the store: files without records are removed.
    ToOpen,
    /// To inspect the journal: nothing is changed.
    ToInspect,
}

/// The result of a replay.
pub(super) struct Replay {
    pub(super) last: Committed,
    pub(super) seal: Seal,
    /// The newest file, and its length up to the last whole record.
    pub(super) open: Option<(PathBuf, u64)>,
    /// The bytes of an incomplete record at the end of the newest file.
    pub(super) torn_bytes: u64,
}

/// The first sequence in a journal file's name; `None` for other files.
fn first_of(path: &Path) -> Option<Sequence> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".journal").or_else(|| name.strip_suffix(".journal.zst"))?;
    stem.parse().ok().map(Sequence)
}

/// The journal files of a folder, ordered by their first sequence.
pub(super) fn files(folder: &Path) -> Result<Vec<(Sequence, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(first) = first_of(&path) {
            found.push((first, path));
        }
    }
    found.sort();
    // A crash after compressing a file and before removing the original leaves both; each is complete.
    found.dedup_by_key(|(first, _)| *first);
    Ok(found)
}

/// The journal files that hold records. A file without records was never used: a crash came first, or the store continued
/// with the file before it.
pub(super) fn files_with_records(folder: &Path) -> Result<Vec<(Sequence, PathBuf)>, StoreError> {
    let mut used = Vec::new();
    for (first, path) in files(folder)? {
        if !is_plain(&path) || fs::metadata(&path)?.len() > FILE_HEADER_LEN {
            used.push((first, path));
        }
    }
    Ok(used)
}

/// Reads the records in order, verifies the chain of seals up to the end, and visits the records after `applied`.
///
/// # Errors
/// [`StoreError::Corrupt`] for a gap, a broken seal, or damage before the end of the last file.
pub(super) fn replay(
    folder: &Path,
    applied: Committed,
    reading: Reading,
    visit: &mut dyn FnMut(Replayed) -> Result<(), StoreError>,
) -> Result<Replay, StoreError> {
    let all = files(folder)?;
    let files = files_with_records(folder)?;
    if reading == Reading::ToOpen {
        for (_, path) in all.iter().filter(|file| !files.contains(file)) {
            fs::remove_file(path)?;
        }
    }
    let mut state = Replay { last: applied, seal: FIRST_SEAL, open: None, torn_bytes: 0 };
    let mut expected: Option<(Sequence, Seal)> = None;
    // Files before the one with the first record to apply need not be read. From there on the files must follow without gaps.
    let from = files.iter().rposition(|(first, _)| first.0 <= applied.sequence.0 + 1).unwrap_or(0);
    let last_file = files.len().saturating_sub(1);
    for ((first, path), number) in files.iter().zip(0..).skip(from) {
        let name = path.display();
        let bytes = read_file(path)?;
        let header = FileHeader::parse(path, &bytes)?;
        if header.first != *first {
            return Err(StoreError::Corrupt(format!("{name} has no valid header")));
        }
        match expected {
            Some((next, _)) if next != header.first => {
                return Err(StoreError::Corrupt(format!(
                    "before {name} records from {} on are missing",
                    next.0
                )));
            }
            Some((_, seal)) if seal != header.seal => {
                return Err(StoreError::Corrupt(format!("{name} does not follow from the file before it")));
            }
            None if header.first.0 > applied.sequence.0 + 1 => {
                let missing = applied.sequence.0 + 1;
                return Err(StoreError::Corrupt(format!(
                    "before {name} records from {missing} on are missing"
                )));
            }
            _ => {}
        }
        let mut reader = header.reader(&bytes);
        while let Some(record) = reader.next(path)? {
            if record.committed.sequence > applied.sequence {
                let (committed, rows) = (record.committed, record.rows);
                visit(record)?;
                state.last = Committed { first_row: committed.first_row + rows, ..committed };
            }
        }
        let torn = bytes.len() - reader.at;
        if torn > 0 && number != last_file {
            return Err(StoreError::Corrupt(format!("{name} ends in the middle of a record")));
        }
        state.torn_bytes = u64::try_from(torn).unwrap_or(0);
        state.seal = reader.seal;
        state.open = Some((path.clone(), u64::try_from(reader.at).unwrap_or(0)));
        expected = Some((reader.next, reader.seal));
    }
    if expected.is_some_and(|(next, _)| next.0 != state.last.sequence.0 + 1) {
        return Err(StoreError::Corrupt("the journal ends before what the records hold".to_owned()));
    }
    if state.open.is_none() && applied.sequence.0 > 0 {
        return Err(StoreError::Corrupt("the journal is missing".to_owned()));
    }
    Ok(state)
}

/// Whether a journal file is uncompressed.
pub(super) fn is_plain(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal")
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        return zstd::decode_all(bytes.as_slice())
            .map_err(|error| StoreError::Corrupt(format!("{}: {error}", path.display())));
    }
    Ok(bytes)
}

/// Replaces a closed file by its compressed form.
pub(super) fn compress(path: &Path) -> Result<(), StoreError> {
    pack(path, File::open(path)?)
}

/// Writes these bytes compressed and replaces a closed file, compressed or not, by them. A whole file in memory would be more than
/// all else that the store takes, so it is compressed piece by piece.
fn pack(path: &Path, bytes: impl Read) -> Result<(), StoreError> {
    const LEVEL: i32 = 3;
    let plain = if is_plain(path) { path.to_owned() } else { path.with_extension("") };
    let (temporary, target) = (plain.with_extension("journal.tmp"), plain.with_extension("journal.zst"));
    let file = File::create(&temporary)?;
    zstd::stream::copy_encode(bytes, &file, LEVEL)?;
    file.sync_all()?;
    fs::rename(&temporary, &target)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    if is_plain(path) { Ok(fs::remove_file(path)?) } else { Ok(()) }
}

/// Removes the writes of erased rows from a closed file, after verifying its chain. `false` if the file has none.
pub(super) fn erase(path: &Path, is_erased: &dyn Fn(u64) -> bool) -> Result<bool, StoreError> {
    let bytes = read_file(path)?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("{} {what}", path.display()));
    let header = FileHeader::parse(path, &bytes)?;
    let mut reader = header.reader(&bytes);
    let mut out = file_header(header.first, &header.seal);
    let mut found = false;
    let mut start = reader.at;
    while let Some(record) = reader.next(path)? {
        let whole = bytes.get(start..reader.at).unwrap_or_default();
        start = reader.at;
        if record.writes.iter().any(|(key, _)| resource_row(key).is_some_and(is_erased)) {
            found = true;
            let body = whole.get(..whole.len().saturating_sub(reader.seal.len())).unwrap_or_default();
            out.extend(commit_record::without(body, is_erased)?);
            out.extend_from_slice(&reader.seal);
        } else {
            out.extend_from_slice(whole);
        }
    }
    if reader.at != bytes.len() {
        return Err(corrupt("ends in the middle of a record"));
    }
    if found {
        pack(path, out.as_slice())?;
    }
    Ok(found)
}

pub(super) struct FileHeader {
    pub(super) first: Sequence,
    seal: Seal,
}

impl FileHeader {
    /// # Errors
    /// [`StoreError::Format`] for a file that an earlier release wrote, [`StoreError::Corrupt`] for anything else.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let invalid = || StoreError::Corrupt(format!("{} has no valid header", path.display()));
        let rest = format::after_magic(path, bytes)?;
        let (first, rest) = rest.split_first_chunk::<8>().ok_or_else(invalid)?;
        let seal = *rest.first_chunk::<32>().ok_or_else(invalid)?;
        Ok(Self { first: Sequence(u64::from_be_bytes(*first)), seal })
    }

    /// A reader of the records after this header.
    pub(super) fn reader<'b>(&self, bytes: &'b [u8]) -> Reader<'b> {
        Reader { bytes, at: FILE_HEADER, next: self.first, seal: self.seal }
    }
}

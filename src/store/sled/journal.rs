//! The journal: what alone makes a write durable. Append-only files of committed batches, each record sealed with a
//! hash that takes in the hash of the record before, so that neither loss nor change nor reordering goes unseen.
//!
//! A file is `journal/<first sequence, 20 digits>.journal`:
//!
//! | part | bytes |
//! |---|---|
//! | file header | magic `CWJOURN1`, first sequence (8), hash of the record before the first (32) |
//! | record header | magic `CWRC`, payload length (4), sequence (8), time in ms (8), first row (8), rows (8), first sequence of the group that was synced with it (8), CRC-32 of header and payload (4) |
//! | payload | per write: `1` put or `0` remove, key length, key, and for a put value length, value; lengths as variable-length numbers |
//! | seal | SHA-256 of: seal of the record before, record header, payload (32) |
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::store::kv::{Batch, Committed, Sequence, StoreError};

use super::block::{put_number, take_number};

const FILE_MAGIC: &[u8; 8] = b"CWJOURN1";
const RECORD_MAGIC: &[u8; 4] = b"CWRC";
const FILE_HEADER: usize = 8 + 8 + 32;
const FILE_HEADER_LEN: u64 = 48;
const RECORD_HEADER: usize = 4 + 4 + 8 + 8 + 8 + 8 + 8 + 4;
const SEAL: usize = 32;

/// The seal of a record.
pub(super) type Seal = [u8; SEAL];

/// The seal before the very first record.
pub(super) const FIRST_SEAL: Seal = [0; SEAL];

/// A batch as the journal gives it back.
pub(super) struct Replayed {
    pub(super) committed: Committed,
    pub(super) rows: u64,
    pub(super) writes: Vec<(Bytes, Option<Bytes>)>,
}

/// Encodes records one after the other; each takes the seal of the one before.
pub(super) struct Encoder {
    pub(super) seal: Seal,
    pub(super) bytes: Vec<u8>,
    /// The first sequence of the group that is synced together.
    pub(super) group: Sequence,
}

impl Encoder {
    /// Appends the record of a stamped batch.
    pub(super) fn push(&mut self, committed: Committed, batch: &Batch) -> Result<(), StoreError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(RECORD_MAGIC);
        self.bytes.extend_from_slice(&[0; 4]);
        let time = u64::try_from(committed.time).unwrap_or(0);
        for number in [committed.sequence.0, time, committed.first_row, batch.rows, self.group.0] {
            self.bytes.extend_from_slice(&number.to_be_bytes());
        }
        self.bytes.extend_from_slice(&[0; 4]);
        for write in &batch.writes {
            self.bytes.push(u8::from(write.value.is_some()));
            put_bytes(&mut self.bytes, &write.key);
            if let Some(value) = &write.value {
                put_bytes(&mut self.bytes, value);
            }
        }
        let len = u32::try_from(self.bytes.len() - start - RECORD_HEADER)
            .map_err(|_| StoreError::Io("a batch is larger than 4 GiB".to_owned()))?;
        let record = self.bytes.get_mut(start..).unwrap_or_default();
        if let Some(place) = record.get_mut(4..8) {
            place.copy_from_slice(&len.to_be_bytes());
        }
        let crc = crc32fast::hash(record);
        if let Some(place) = record.get_mut(RECORD_HEADER - 4..RECORD_HEADER) {
            place.copy_from_slice(&crc.to_be_bytes());
        }
        self.seal = sealed(&self.seal, record);
        self.bytes.extend_from_slice(&self.seal);
        Ok(())
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

fn sealed(before: &Seal, record: &[u8]) -> Seal {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(record);
    hasher.finalize().into()
}

/// The file that records are appended to.
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    len: u64,
    sync: bool,
}

fn file_path(folder: &Path, first: Sequence) -> PathBuf {
    folder.join(format!("{:020}.journal", first.0))
}

impl Journal {
    /// Begins a new file, whose first record will have this sequence.
    pub(super) fn create(
        folder: &Path,
        first: Sequence,
        seal: &Seal,
        sync: bool,
    ) -> Result<Self, StoreError> {
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend_from_slice(FILE_MAGIC);
        header.extend_from_slice(&first.0.to_be_bytes());
        header.extend_from_slice(seal);
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
        Ok(Self { folder: folder.to_owned(), file, len: u64::try_from(FILE_HEADER).unwrap_or(0), sync })
    }

    /// Goes on with an existing file, which has been replayed and is `len` bytes long up to its last whole record.
    pub(super) fn resume(path: &Path, len: u64, sync: bool) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        if sync {
            file.sync_all()?;
        }
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { folder, file, len, sync })
    }

    /// Appends records and waits for the disk.
    ///
    /// # Errors
    /// The failure of the operating system. If it came before the sync, the file has been cut back to what it was, and
    /// [`AppendError::NothingWritten`] says that the store may go on.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = self.file.write_all(bytes) {
            let restored =
                self.file.set_len(self.len).and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            return Err(match restored {
                Ok(_) => AppendError::NothingWritten(error),
                Err(_) => AppendError::Unknown(error),
            });
        }
        if self.sync {
            // After a failed sync nobody can know what the disk holds.
            self.file.sync_data().map_err(AppendError::Unknown)?;
        }
        self.len += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    /// Closes this file and begins the next.
    pub(super) fn rotate(&mut self, next: Sequence, seal: &Seal) -> Result<(), StoreError> {
        *self = Self::create(&self.folder, next, seal, self.sync)?;
        Ok(())
    }

    /// The bytes of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

/// How an append failed.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The file is as it was before.
    NothingWritten(std::io::Error),
    /// What the disk holds is not known.
    Unknown(std::io::Error),
}

/// Why a journal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To go on with it: files that were begun and never used are removed.
    ToOpen,
    /// To look at it: nothing is changed.
    ToInspect,
}

/// What a replay came to.
pub(super) struct Replay {
    pub(super) last: Committed,
    pub(super) seal: Seal,
    /// The newest file, and how long it is up to its last whole record.
    pub(super) open: Option<(PathBuf, u64)>,
    /// Bytes of a record that was never finished, cut off.
    pub(super) torn_bytes: u64,
}

/// The files of a folder by their first sequence.
pub(super) fn files(folder: &Path) -> Result<Vec<(Sequence, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.strip_suffix(".journal").or_else(|| name.strip_suffix(".journal.zst"));
        if let Some(first) = stem.and_then(|stem| stem.parse().ok()) {
            found.push((Sequence(first), path));
        }
    }
    found.sort();
    // A crash between writing the compressed form and removing the plain one leaves both; either is whole.
    found.dedup_by_key(|(first, _)| *first);
    Ok(found)
}

/// The files that hold records. One without says nothing: it was begun and never used, because the machine stopped or
/// because the store went on with the file before it.
pub(super) fn files_with_records(folder: &Path) -> Result<Vec<(Sequence, PathBuf)>, StoreError> {
    let mut used = Vec::new();
    for (first, path) in files(folder)? {
        if !is_plain(&path) || fs::metadata(&path)?.len() > FILE_HEADER_LEN {
            used.push((first, path));
        }
    }
    Ok(used)
}

/// Reads every record in order, checking the chain from the first file to the end, and hands those after `applied` on.
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
    // Files that the checkpoint covers need not be read again; what follows must join without a gap.
    let from = files.iter().rposition(|(first, _)| first.0 <= applied.sequence.0 + 1).unwrap_or(0);
    let last_file = files.len().saturating_sub(1);
    for ((first, path), number) in files.iter().zip(0..).skip(from) {
        let name = path.display();
        let bytes = read_file(path)?;
        let header = FileHeader::parse(&bytes);
        let Some(header) = header.filter(|header| header.first == *first) else {
            return Err(StoreError::Corrupt(format!("{name} has no valid header")));
        };
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
        let mut reader = Reader { bytes: &bytes, at: FILE_HEADER, next: header.first, seal: header.seal };
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

fn is_plain(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal")
}

fn read_file(path: &Path) -> Result<Vec<u8>, StoreError> {
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
    const LEVEL: i32 = 3;
    let bytes = fs::read(path)?;
    let packed = zstd::encode_all(bytes.as_slice(), LEVEL)?;
    let (temporary, target) = (path.with_extension("journal.tmp"), path.with_extension("journal.zst"));
    let mut file = File::create(&temporary)?;
    file.write_all(&packed)?;
    file.sync_all()?;
    fs::rename(&temporary, &target)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(fs::remove_file(path)?)
}

struct FileHeader {
    first: Sequence,
    seal: Seal,
}

impl FileHeader {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(FILE_MAGIC)?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (seal, _) = rest.split_first_chunk::<SEAL>()?;
        Some(Self { first: Sequence(u64::from_be_bytes(*first)), seal: *seal })
    }
}

/// A record header, parsed.
struct RecordHeader {
    payload: usize,
    committed: Committed,
    rows: u64,
    group: Sequence,
}

impl RecordHeader {
    /// The header at the start of these bytes, if the whole record follows and its checksum is right.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(RECORD_MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let payload = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let number =
            |at: usize| rest.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        let crc = rest.get(40..44)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
        let record = bytes.get(..RECORD_HEADER.checked_add(payload)?)?;
        bytes.get(record.len()..record.len() + SEAL)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(record.get(..RECORD_HEADER - 4)?);
        hasher.update(&[0; 4]);
        hasher.update(record.get(RECORD_HEADER..)?);
        if hasher.finalize() != crc {
            return None;
        }
        let committed = Committed {
            sequence: Sequence(number(0)?),
            time: i64::try_from(number(8)?).ok()?,
            first_row: number(16)?,
        };
        Some(Self { payload, committed, rows: number(24)?, group: Sequence(number(32)?) })
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    next: Sequence,
    seal: Seal,
}

impl Reader<'_> {
    /// The next record; `None` at the end, or where a record was never finished.
    fn next(&mut self, path: &Path) -> Result<Option<Replayed>, StoreError> {
        let commit = self.next.0;
        let corrupt = |what: &str, at: usize| {
            StoreError::Corrupt(format!("{}: {what} at byte {at}, commit {commit}", path.display()))
        };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some(header) = RecordHeader::parse(rest) else {
            // Torn only if nothing of a later group follows: the disk may hold a later part of a group whose sync was
            // cut short without an earlier one, but a later group was begun only after this one was synced. Cutting
            // anything else away would lose what came after.
            let follows = (1..rest.len()).any(|at| {
                let tail = rest.get(at..).unwrap_or_default();
                tail.starts_with(RECORD_MAGIC)
                    && RecordHeader::parse(tail).is_some_and(|header| header.group > self.next)
            });
            return if follows { Err(corrupt("damaged record", self.at)) } else { Ok(None) };
        };
        // A restored store begins to count where the backup ended.
        let is_start = self.next == Sequence(1) && header.committed.sequence > self.next;
        if header.committed.sequence != self.next && !is_start {
            return Err(corrupt("record out of order", self.at));
        }
        let end = RECORD_HEADER + header.payload;
        let record = rest.get(..end).unwrap_or_default();
        let seal = rest.get(end..).and_then(|rest| rest.first_chunk::<SEAL>()).copied().unwrap_or_default();
        if sealed(&self.seal, record) != seal {
            return Err(corrupt("broken seal", self.at));
        }
        let payload = Bytes::copy_from_slice(record.get(RECORD_HEADER..).unwrap_or_default());
        let writes = decode(&payload).ok_or_else(|| corrupt("unreadable record", self.at))?;
        self.at += end + SEAL;
        self.next = Sequence(header.committed.sequence.0 + 1);
        self.seal = seal;
        Ok(Some(Replayed { committed: header.committed, rows: header.rows, writes }))
    }
}

fn decode(payload: &Bytes) -> Option<Vec<(Bytes, Option<Bytes>)>> {
    let mut writes = Vec::new();
    let mut at = 0;
    let bytes = |at: &mut usize| {
        let len = usize::try_from(take_number(payload, at)?).ok()?;
        let end = at.checked_add(len).filter(|end| *end <= payload.len())?;
        let taken = payload.slice(*at..end);
        *at = end;
        Some(taken)
    };
    while at < payload.len() {
        let is_put = *payload.get(at)? == 1;
        at += 1;
        let key = bytes(&mut at)?;
        let value = if is_put { Some(bytes(&mut at)?) } else { None };
        writes.push((key, value));
    }
    Some(writes)
}

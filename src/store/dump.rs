//! Backup and restore: all keys and values of one snapshot as a compressed stream with a checksum. A dump of one backend can
//! be restored into any other.
//!
//! | part | bytes |
//! |---|---|
//! | magic | `CWDUMP01` |
//! | within zstd | sequence (8), next row (8); each key; `0`, number of keys (8), SHA-256 of everything before it (32) |
//! | each key | `1`, key length (4), key, value length (4), value |
use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};

use sha2::{Digest as _, Sha256};

use crate::model::Millis;

use super::batch::{Batch, CommitError, Committed, KeyRange, Sequence, Start, Write};
use super::key::{Space, erased_key, erased_prefix, erased_row, resource_row, row_of};
use super::kv::{At, Direction, Flow, Kv, Snapshot, StoreError};
use super::resource::is_deleted;

const MAGIC: &[u8; 8] = b"CWDUMP01";
const LEVEL: i32 = 3;
/// How many bytes one commit restores.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// A key or value cannot be larger; a greater length in the stream means damage.
const PART_BYTES_MAX: u32 = 1024 * 1024 * 1024;

/// The contents of a dump that was written or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// The last commit.
    pub sequence: Sequence,
    /// The time of the last commit that wrote a resource, in milliseconds since 1970; 0 without resources.
    pub time: Millis,
    pub keys: u64,
    /// Resources that are not deleted.
    pub resources: u64,
    /// Versions of all resources, deletions included.
    pub versions: u64,
}

impl Dumped {
    fn count(&mut self, key: &[u8], value: &[u8]) {
        self.keys += 1;
        match key.first().copied() {
            Some(space) if space == Space::Record.byte() => self.versions += 1,
            Some(space) if space == Space::Current.byte() => self.resources += u64::from(!is_deleted(value)),
            Some(space) if space == Space::History.byte() => {
                let time = value.first_chunk::<8>().map_or(0, |bytes| Millis::from_be_bytes(*bytes));
                self.time = self.time.max(time);
            }
            _ => {}
        }
    }
}

/// Writes all keys and values that a snapshot shows.
///
/// # Errors
/// [`StoreError`] if the store cannot be read or the stream cannot be written.
pub fn write_dump(snapshot: &dyn Snapshot, out: &mut dyn io::Write) -> Result<Dumped, StoreError> {
    out.write_all(MAGIC)?;
    let mut packed = zstd::Encoder::new(out, LEVEL)?;
    let mut hasher = Sha256::new();
    let mut dumped = Dumped { sequence: snapshot.sequence(), ..Dumped::default() };
    let mut next_row = 1;
    // An erased row has no other key left, but its number must not be assigned again.
    for prefix in [vec![Space::Current.byte()], erased_prefix()] {
        snapshot.scan(&KeyRange::prefix(prefix), Direction::Reverse, &mut |key, _| {
            next_row = row_of(key).map_or(1, |row| row + 1).max(next_row);
            Flow::Stop
        })?;
    }
    let mut failed: Option<io::Error> = None;
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        packed.write_all(bytes)
    };
    put(&snapshot.sequence().0.to_be_bytes())?;
    put(&u64::to_be_bytes(next_row))?;
    snapshot.scan(&KeyRange::prefix(Vec::new()), Direction::Forward, &mut |key, value| {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let written = put(&[1]).and_then(|()| put(&len(key))).and_then(|()| put(key));
        let written = written.and_then(|()| put(&len(value))).and_then(|()| put(value));
        dumped.count(key, value);
        match written {
            Ok(()) => Flow::Next,
            Err(error) => {
                failed = Some(error);
                Flow::Stop
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    put(&[0])?;
    put(&dumped.keys.to_be_bytes())?;
    let digest = hasher.finalize();
    packed.write_all(&digest)?;
    packed.finish()?.flush()?;
    Ok(dumped)
}

/// Restores a dump into an empty store.
///
/// # Errors
/// [`StoreError::Corrupt`] if the stream is damaged. Damage may show only at its end, when most data have been committed
/// already, so the store must then be discarded.
pub fn read_dump(input: &mut dyn Read, kv: &dyn Kv) -> Result<Dumped, StoreError> {
    read_dump_without(input, kv, &BTreeSet::new())
}

/// Like [`read_dump`], but leaves out the rows in `erased`: those that were erased after the dump was written.
///
/// # Errors
/// Those of [`read_dump`].
pub fn read_dump_without(
    input: &mut dyn Read,
    kv: &dyn Kv,
    erased: &BTreeSet<u64>,
) -> Result<Dumped, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("the backup: {what}"));
    if kv.snapshot(At::Latest)?.sequence() != Sequence(0) {
        return Err(StoreError::Io("a backup is restored into an empty store only".to_owned()));
    }
    let mut magic = [0; 8];
    input.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(corrupt("it is none, or of another format"));
    }
    // The decoder must stop at the end of the frame, so that bytes after it can be detected below.
    let decoder = zstd::Decoder::new(&mut *input)?.single_frame();
    let mut stream = Hashed { input: decoder, hasher: Sha256::new() };
    let sequence = Sequence(stream.number()?);
    let row = stream.number()?;
    let mut start = Some(Start { sequence, row });
    let mut writes = Vec::new();
    let mut bytes = 0;
    let mut dumped = Dumped { sequence, ..Dumped::default() };
    let mut left_out = 0;
    let mut commit = |writes: &mut Vec<Write>| -> Result<(), StoreError> {
        let batch = Batch { writes: std::mem::take(writes), start: start.take(), ..Batch::default() };
        commit_patiently(kv, &batch).map(drop)
    };
    while stream.byte()? == 1 {
        let (key, value) = (stream.part()?, stream.part()?);
        if resource_row(&key).or_else(|| erased_row(&key)).is_some_and(|row| erased.contains(&row)) {
            left_out += 1;
            continue;
        }
        dumped.count(&key, &value);
        bytes += key.len() + value.len();
        writes.push(Write { key, value: Some(value), ..Write::default() });
        if bytes >= COMMIT_BYTES {
            commit(&mut writes)?;
            bytes = 0;
        }
    }
    let counted = stream.number()?;
    let digest = stream.hasher.clone().finalize();
    let mut expected = [0; 32];
    stream.input.read_exact(&mut expected)?;
    if counted != dumped.keys + left_out || *digest != expected {
        return Err(corrupt("it was damaged; what was restored from it is not to be used"));
    }
    let mut rest = stream.input.finish();
    if !rest.buffer().is_empty() || rest.read(&mut [0])? != 0 {
        return Err(corrupt("there is more behind its end"));
    }
    // Rows from the dump's next row on do not exist in this store; their numbers will be assigned to other resources.
    let since = erased.range(..row).map(|row| erased_key(*row));
    writes.extend(since.map(|key| Write { key, value: Some(Vec::new()), ..Write::default() }));
    commit(&mut writes)?;
    Ok(dumped)
}

/// Commits a batch, and tries again as long as the store is busy.
pub(super) fn commit_patiently(kv: &dyn Kv, batch: &Batch) -> Result<Committed, StoreError> {
    loop {
        match kv.commit(batch.clone()).wait() {
            Ok(committed) => return Ok(committed),
            Err(CommitError::Busy) => {}
            Err(error) => return Err(StoreError::Io(error.to_string())),
        }
    }
}

/// A reader that hashes all bytes read through it.
struct Hashed<R> {
    input: R,
    hasher: Sha256,
}

impl<R: Read> Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.input.read_exact(bytes)?;
        self.hasher.update(&*bytes);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        let mut byte = [0];
        self.read(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn part(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut len = [0; 4];
        self.read(&mut len)?;
        let len = u32::from_be_bytes(len);
        if len > PART_BYTES_MAX {
            return Err(StoreError::Corrupt("the backup: a length in it is impossible".to_owned()));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.read(&mut bytes)?;
        Ok(bytes)
    }
}

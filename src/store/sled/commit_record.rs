//! A journal record: one commit, and a seal that covers the record and the seal of the record before it.
//!
//! | part | bytes |
//! |---|---|
//! | header | magic `CWRC`, payload length (4), numbers (40), CRC-32 of header and payload (4) |
//! | numbers | sequence (8), time in ms (8), first row (8), rows (8), first sequence of the commits synced together (8) |
//! | payload | write groups: one of the keys of no resource, and one for each row |
//! | seal | SHA-256 of: the seal of the record before, the numbers, the digest of every write group (32) |
//!
//! | write group | bytes | digest |
//! |---|---|---|
//! | of no resource | `0`, length, writes | SHA-256 of `0`, writes |
//! | of a row | `1`, row (8), salt (16), length, writes | SHA-256 of `1`, row, inner; inner is SHA-256 of salt, writes |
//! | of an erased row | `2`, row (8), inner (32) | SHA-256 of `1`, row, inner |
//!
//! A write is `1` put or `0` remove, key length, key, and for a put value length, value; lengths are variable-length numbers.
//! An erasure removes the salt too, so that nobody can test guesses of the erased writes against the digest.
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::store::key::resource_row;
use crate::store::kv::StoreError;
use crate::store::random::fill_random;

use super::super::batch::{Batch, Committed, Sequence};
use super::block::{put_number, take_number};

const MAGIC: &[u8; 4] = b"CWRC";
const HEADER: usize = 4 + 4 + 8 + 8 + 8 + 8 + 8 + 4;
/// The bytes of the header that hold its numbers, which the seal covers.
const NUMBERS: std::ops::Range<usize> = 8..48;
const SEAL: usize = 32;
const SALT: usize = 16;
const PLAIN: u8 = 0;
const OF_ROW: u8 = 1;
const ERASED: u8 = 2;

/// A SHA-256 digest: the seal of a record or the digest of a write group.
pub(super) type Seal = [u8; SEAL];

/// A commit as read back from the journal.
pub(super) struct Replayed {
    pub(super) committed: Committed,
    pub(super) rows: u64,
    pub(super) writes: Vec<(Bytes, Option<Bytes>)>,
    /// Rows whose writes in this commit were erased.
    pub(super) erased: Vec<u64>,
}

/// Encodes records one after the other; each seal covers the one before.
pub(super) struct Encoder {
    pub(super) seal: Seal,
    pub(super) bytes: Vec<u8>,
    /// The first sequence of the commits that are synced together.
    pub(super) group: Sequence,
}

impl Encoder {
    /// Appends the record of a stamped batch; on an error nothing is appended.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the batch is larger than 4 GiB or the system gives no random bytes.
    pub(super) fn push(&mut self, committed: Committed, batch: &Batch) -> Result<(), StoreError> {
        let start = self.bytes.len();
        let pushed = self.push_from(start, committed, batch);
        if pushed.is_err() {
            self.bytes.truncate(start);
        }
        pushed
    }

    fn push_from(&mut self, start: usize, committed: Committed, batch: &Batch) -> Result<(), StoreError> {
        let mut groups: BTreeMap<Option<u64>, Vec<u8>> = BTreeMap::new();
        for write in &batch.writes {
            let group = groups.entry(resource_row(&write.key)).or_default();
            put_write(group, &write.key, write.value.as_deref());
        }
        let mut salts = vec![0; groups.keys().flatten().count() * SALT];
        fill_random(&mut salts).map_err(|error| StoreError::Io(error.to_string()))?;
        let mut salts = salts.chunks_exact(SALT).map(|salt| salt.first_chunk().copied().unwrap_or_default());
        let time = u64::try_from(committed.time).unwrap_or(0);
        let numbers = [committed.sequence.0, time, committed.first_row, batch.rows, self.group.0];
        begin(&mut self.bytes, &numbers.map(u64::to_be_bytes).concat());
        let mut sealing = Sealing::new(&self.seal, &numbers.map(u64::to_be_bytes).concat());
        for (row, writes) in groups {
            let group = match row {
                None => Group::Plain(writes.into()),
                // INVARIANT: there is one salt for each row.
                Some(row) => {
                    Group::OfRow { row, salt: salts.next().unwrap_or_default(), writes: writes.into() }
                }
            };
            sealing.group(&group);
            group.put(&mut self.bytes);
        }
        end(&mut self.bytes, start)?;
        self.seal = sealing.finish();
        self.bytes.extend_from_slice(&self.seal);
        Ok(())
    }
}

/// Begins a record with the numbers of its header; length and checksum are still zero.
fn begin(out: &mut Vec<u8>, numbers: &[u8]) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(numbers);
    out.extend_from_slice(&[0; 4]);
}

/// Fills in the length and checksum of the record that begins at `start`.
fn end(out: &mut [u8], start: usize) -> Result<(), StoreError> {
    let record = out.get_mut(start..).unwrap_or_default();
    let len = u32::try_from(record.len().saturating_sub(HEADER))
        .map_err(|_| StoreError::Io("a batch is larger than 4 GiB".to_owned()))?;
    if let Some(place) = record.get_mut(4..8) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    let crc = crc32fast::hash(record);
    if let Some(place) = record.get_mut(HEADER - 4..HEADER) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

fn put_write(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.push(u8::from(value.is_some()));
    put_bytes(out, key);
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

fn sha256(parts: &[&[u8]]) -> Seal {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// A write group: the writes of a record that an erasure removes together.
enum Group {
    Plain(Bytes),
    OfRow { row: u64, salt: [u8; SALT], writes: Bytes },
    Erased { row: u64, inner: Seal },
}

impl Group {
    fn inner(salt: &[u8; SALT], writes: &[u8]) -> Seal {
        sha256(&[salt, writes])
    }

    fn digest(&self) -> Seal {
        let of_row = |row: u64, inner: &Seal| sha256(&[&[OF_ROW], &row.to_be_bytes(), inner]);
        match self {
            Self::Plain(writes) => sha256(&[&[PLAIN], writes]),
            Self::OfRow { row, salt, writes } => of_row(*row, &Self::inner(salt, writes)),
            Self::Erased { row, inner } => of_row(*row, inner),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(writes) => {
                out.push(PLAIN);
                put_bytes(out, writes);
            }
            Self::OfRow { row, salt, writes } => {
                out.push(OF_ROW);
                out.extend_from_slice(&row.to_be_bytes());
                out.extend_from_slice(salt);
                put_bytes(out, writes);
            }
            Self::Erased { row, inner } => {
                out.push(ERASED);
                out.extend_from_slice(&row.to_be_bytes());
                out.extend_from_slice(inner);
            }
        }
    }

    fn take(parts: &mut Parts) -> Option<Self> {
        Some(match parts.byte()? {
            PLAIN => Self::Plain(parts.bytes()?),
            OF_ROW => Self::OfRow { row: parts.row()?, salt: parts.chunk()?, writes: parts.bytes()? },
            ERASED => Self::Erased { row: parts.row()?, inner: parts.chunk()? },
            _ => return None,
        })
    }

    /// Replaces the writes by their inner digest if the row was erased.
    fn without(self, is_erased: &dyn Fn(u64) -> bool) -> Self {
        match self {
            Self::OfRow { row, salt, writes } if is_erased(row) => {
                Self::Erased { row, inner: Self::inner(&salt, &writes) }
            }
            other => other,
        }
    }
}

/// The seal of a record, being computed.
struct Sealing(Sha256);

impl Sealing {
    fn new(before: &Seal, numbers: &[u8]) -> Self {
        Self(Sha256::new().chain_update(before).chain_update(numbers))
    }

    fn group(&mut self, group: &Group) {
        self.0.update(group.digest());
    }

    fn finish(self) -> Seal {
        self.0.finalize().into()
    }
}

/// Reads a payload part by part.
struct Parts {
    payload: Bytes,
    at: usize,
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.at >= self.payload.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let chunk = *self.payload.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(chunk)
    }

    fn row(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_be_bytes)
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let len = usize::try_from(take_number(&self.payload, &mut self.at)?).ok()?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.payload.len())?;
        let taken = self.payload.slice(self.at..end);
        self.at = end;
        Some(taken)
    }
}

/// The decoded payload.
#[derive(Default)]
struct PayloadContents {
    writes: Vec<(Bytes, Option<Bytes>)>,
    erased: Vec<u64>,
}

impl PayloadContents {
    /// Adds a sequence of writes.
    fn writes(&mut self, payload: Bytes) -> Option<()> {
        let mut parts = Parts { payload, at: 0 };
        while !parts.is_empty() {
            match parts.byte()? {
                0 => self.writes.push((parts.bytes()?, None)),
                1 => self.writes.push((parts.bytes()?, Some(parts.bytes()?))),
                _ => return None,
            }
        }
        Some(())
    }
}

fn groups(payload: Bytes) -> Option<Vec<Group>> {
    let mut parts = Parts { payload, at: 0 };
    let mut found = Vec::new();
    while !parts.is_empty() {
        found.push(Group::take(&mut parts)?);
    }
    Some(found)
}

/// A parsed record header.
struct RecordHeader {
    payload: usize,
    committed: Committed,
    rows: u64,
    group: Sequence,
}

impl RecordHeader {
    /// Parses the header at the start of these bytes, if the record is complete and its checksum is right.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let payload = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let number =
            |at: usize| rest.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        let crc = rest.get(40..44)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
        let record = bytes.get(..HEADER.checked_add(payload)?)?;
        bytes.get(record.len()..record.len() + SEAL)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(record.get(..HEADER - 4)?);
        hasher.update(&[0; 4]);
        hasher.update(record.get(HEADER..)?);
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

/// Reads the records of a file one after the other and verifies their seals.
pub(super) struct Reader<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
    pub(super) next: Sequence,
    pub(super) seal: Seal,
}

impl Reader<'_> {
    /// The next record; `None` at the end, or where the last commit was not written completely.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the file, the byte and the commit.
    pub(super) fn next(&mut self, path: &Path) -> Result<Option<Replayed>, StoreError> {
        let commit = self.next.0;
        let corrupt = |what: &str, at: usize| {
            StoreError::Corrupt(format!("{}: {what} at byte {at}, commit {commit}", path.display()))
        };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some(header) = RecordHeader::parse(rest) else {
            // Commits that were synced together may reach the disk in any order, so after a crash a later one may be whole
            // while this one is torn. The first commit of the next sync was written only after this one was durable: if one
            // follows, this record is damaged. Cutting the file off here would then lose durable commits.
            let follows = (1..rest.len()).any(|at| {
                let tail = rest.get(at..).unwrap_or_default();
                tail.starts_with(MAGIC)
                    && RecordHeader::parse(tail).is_some_and(|header| header.group > self.next)
            });
            return if follows { Err(corrupt("damaged record", self.at)) } else { Ok(None) };
        };
        // In a restored store the first sequence is that of the backup.
        let is_start = self.next == Sequence(1) && header.committed.sequence > self.next;
        if header.committed.sequence != self.next && !is_start {
            return Err(corrupt("record out of order", self.at));
        }
        let end = HEADER + header.payload;
        let record = rest.get(..end).unwrap_or_default();
        let seal = rest.get(end..).and_then(|rest| rest.first_chunk::<SEAL>()).copied().unwrap_or_default();
        let (said, computed) = self.read(record).ok_or_else(|| corrupt("unreadable record", self.at))?;
        if computed != seal {
            return Err(corrupt("broken seal", self.at));
        }
        self.at += end + SEAL;
        self.next = Sequence(header.committed.sequence.0 + 1);
        self.seal = seal;
        Ok(Some(Replayed {
            committed: header.committed,
            rows: header.rows,
            writes: said.writes,
            erased: said.erased,
        }))
    }

    /// The contents of a record, and the seal that it must have.
    fn read(&self, record: &[u8]) -> Option<(PayloadContents, Seal)> {
        let mut said = PayloadContents::default();
        let payload = Bytes::copy_from_slice(record.get(HEADER..)?);
        let mut sealing = Sealing::new(&self.seal, record.get(NUMBERS)?);
        for group in groups(payload)? {
            sealing.group(&group);
            match group {
                Group::Plain(writes) | Group::OfRow { writes, .. } => said.writes(writes)?,
                Group::Erased { row, .. } => said.erased.push(row),
            }
        }
        Some((said, sealing.finish()))
    }
}

/// Removes the writes of erased rows from the record (without its seal) at the start of these bytes. The record must have
/// been read before, so that it is known to be whole.
pub(super) fn without(record: &[u8], is_erased: &dyn Fn(u64) -> bool) -> Result<Vec<u8>, StoreError> {
    let unreadable = || StoreError::Corrupt("an unreadable record of the journal".to_owned());
    let mut out = Vec::with_capacity(record.len());
    begin(&mut out, record.get(NUMBERS).ok_or_else(unreadable)?);
    let payload = Bytes::copy_from_slice(record.get(HEADER..).ok_or_else(unreadable)?);
    for group in groups(payload).ok_or_else(unreadable)? {
        group.without(is_erased).put(&mut out);
    }
    end(&mut out, 0)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::store::batch::Batch;
    use crate::store::batch::Committed;
    use crate::store::batch::Sequence;
    use crate::store::batch::Write;
    use std::path::Path;

    use super::{Encoder, HEADER, Reader, Replayed, SEAL, Seal, without};
    use crate::store::key::{Key, Space};
    use crate::store::kv::StoreError;

    fn batch() -> Batch {
        let write = |key: Key, value: Option<&[u8]>| Write {
            key: key.into_bytes(),
            value: value.map(<[u8]>::to_vec),
            ..Write::default()
        };
        let record = |row: u64| Key::new(Space::Record).number(row).number(1);
        let writes = vec![
            write(record(5), Some(b"secret")),
            write(Key::new(Space::Audit).number(1).word(0), Some(b"seen")),
            write(record(6), Some(b"other")),
            write(Key::new(Space::Posting).short(1).word(2).text(b"secret").number(5), None),
        ];
        Batch { writes, ..Batch::default() }
    }

    /// Two commits with the same writes.
    fn encoded() -> Vec<u8> {
        let mut encoder = Encoder { seal: [0; SEAL], bytes: Vec::new(), group: Sequence(1) };
        for sequence in 1..=2 {
            let committed = Committed { sequence: Sequence(sequence), time: 7, first_row: 1 };
            encoder.push(committed, &batch()).unwrap();
        }
        encoder.bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Replayed>, Vec<usize>), StoreError> {
        let mut reader = Reader { bytes, at: 0, next: Sequence(1), seal: Seal::default() };
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        while let Some(record) = reader.next(Path::new("test"))? {
            records.push(record);
            ends.push(reader.at);
        }
        Ok((records, ends))
    }

    fn holds(bytes: &[u8], needle: &[u8]) -> bool {
        bytes.windows(needle.len()).any(|window| window == needle)
    }

    #[test]
    fn what_is_erased_leaves_the_chain_whole() {
        let bytes = encoded();
        let (records, ends) = read(&bytes).unwrap();
        assert!(records.iter().all(|record| record.writes.len() == 4 && record.erased.is_empty()));
        let (first, rest) = bytes.split_at(ends[0]);
        let mut erased = without(&first[..first.len() - SEAL], &|row| row == 5).unwrap();
        erased.extend_from_slice(&first[first.len() - SEAL..]);
        assert!(holds(first, b"secret") && !holds(&erased, b"secret"));
        assert!(holds(&erased, b"seen") && holds(&erased, b"other"));
        let whole = [&erased, rest].concat();
        let (records, _) = read(&whole).unwrap();
        let counts: Vec<_> =
            records.iter().map(|record| (record.writes.len(), record.erased.clone())).collect();
        assert_eq!(counts, [(2, vec![5]), (4, vec![])]);
        // Erasing twice gives the same record.
        let again = without(&erased[..erased.len() - SEAL], &|row| row == 5).unwrap();
        assert_eq!(again, erased[..erased.len() - SEAL]);
        // The seal covers what replaces the erased writes, including the row.
        for at in HEADER..erased.len() - SEAL {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            changed[HEADER - 4..HEADER].fill(0);
            let crc = crc32fast::hash(&changed[..erased.len() - SEAL]);
            changed[HEADER - 4..HEADER].copy_from_slice(&crc.to_be_bytes());
            assert!(read(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_same_is_never_sealed_as_the_same() {
        let seal = |bytes: &[u8]| bytes[bytes.len() - SEAL..].to_vec();
        assert_ne!(seal(&encoded()), seal(&encoded()));
    }
}

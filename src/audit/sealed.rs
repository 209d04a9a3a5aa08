//! The stored Merkle tree over the access records, which only grows: the hashes of its leaves in segments, the roots of segments,
//! and signed roots of the whole tree. A leaf hashes the place of a record (12 bytes) and its text.
//!
//! | key in `meta` | value |
//! |---|---|
//! | `audit-segment`, number (8) | first and last place (12 each), root (32) |
//! | `audit-leaves`, number (8) | the hashes of its leaves (32 each) |
//! | `audit-root`, number of records (8) | a [`SignedRoot`] in JSON |
use crate::model::Millis;
use crate::store::{
    At, Batch, CommitError, Direction, Expectation, Flow, Key, KeyRange, Kv, Sequence, Snapshot, Space,
    StoreError, Write,
};

use super::merkle::{Hash, Leaves, leaf_hash, root};
use super::place::{RecordPlace, place_of, record_key};
use super::signer::{SignedRoot, Signer};

/// The number of records in a segment: a power of two, so that the root of a segment is a node of the tree.
pub const SEGMENT_LEN: u64 = 256;
/// The maximum number of records that one commit seals.
const RECORDS_SEALED: usize = 16 * 256;
/// How often sealing is tried again after a conflict with another writer.
const TRIES_MAX: usize = 8;

fn meta(name: &[u8], number: u64) -> Vec<u8> {
    Key::new(Space::Meta).text(name).number(number).into_bytes()
}

fn range(name: &[u8]) -> KeyRange {
    KeyRange::prefix(Key::new(Space::Meta).text(name).into_bytes())
}

/// A part of the stored tree, as its key and value describe it.
#[derive(Clone, Debug)]
pub enum Sealed {
    Segment(u64, Segment),
    Leaves(u64, Vec<Hash>),
    Root(SignedRoot),
}

/// A segment of the tree: the places of its first and last record, and the root over its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub first: RecordPlace,
    pub last: RecordPlace,
    pub root: Hash,
}

impl Segment {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(56);
        for (Sequence(sequence), number) in [self.first, self.last] {
            bytes.extend_from_slice(&sequence.to_be_bytes());
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.root);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<12>()?;
        let (last, rest) = rest.split_first_chunk::<12>()?;
        Some(Self { first: place_of(first)?, last: place_of(last)?, root: *rest.first_chunk::<32>()? })
    }
}

impl Sealed {
    /// Reads a key with its value; `None` if it is no part of the tree or cannot be read.
    #[must_use]
    pub fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let number = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))?;
        let is = |name: &[u8]| key == meta(name, number);
        if is(b"audit-segment") {
            Segment::read(value).map(|segment| Self::Segment(number, segment))
        } else if is(b"audit-leaves") {
            Some(Self::Leaves(number, hashes(value)))
        } else if is(b"audit-root") {
            serde_json::from_slice(value).ok().map(Self::Root)
        } else {
            None
        }
    }
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks_exact(32).filter_map(|chunk| chunk.first_chunk::<32>().copied()).collect()
}

/// The hash of a record's leaf.
#[must_use]
pub fn record_hash(key: &[u8], value: &[u8]) -> Hash {
    // The leaf excludes the first byte of the key, which is the space.
    leaf_hash(&[key.get(1..).unwrap_or_default(), value].concat())
}

/// The tree over the records of a snapshot.
pub struct LogTree {
    pub segments: Vec<Segment>,
    /// The places and hashes of the records after the last whole segment.
    tail: Vec<(RecordPlace, Hash)>,
    /// The leaves of the segments that were loaded, by the number of the segment.
    leaves: std::collections::BTreeMap<u64, Vec<Hash>>,
}

impl LogTree {
    /// Reads the roots of the segments and hashes the records after them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn read(snapshot: &dyn Snapshot) -> Result<Self, StoreError> {
        Self::up_to(snapshot, usize::MAX)
    }

    /// Like [`LogTree::read`], with at most `tail_max` records after the last whole segment.
    fn up_to(snapshot: &dyn Snapshot, tail_max: usize) -> Result<Self, StoreError> {
        let mut segments = Vec::new();
        snapshot.scan(&range(b"audit-segment"), Direction::Forward, &mut |_, value| {
            segments.extend(Segment::read(value));
            Flow::Next
        })?;
        let mut tail = Vec::new();
        let mut after = KeyRange::prefix(vec![Space::Audit.byte()]);
        if let Some(last) = segments.last() {
            after.start = record_key(last.last);
            after.start.push(0);
        }
        snapshot.scan(&after, Direction::Forward, &mut |key, value| {
            tail.extend(place_of(key).map(|place| (place, record_hash(key, value))));
            if tail.len() < tail_max { Flow::Next } else { Flow::Stop }
        })?;
        Ok(Self { segments, tail, leaves: std::collections::BTreeMap::new() })
    }

    fn sealed(&self) -> u64 {
        u64::try_from(self.segments.len()).unwrap_or(u64::MAX).saturating_mul(SEGMENT_LEN)
    }

    /// The number of records.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.sealed() + u64::try_from(self.tail.len()).unwrap_or(0)
    }

    /// Loads the leaves of the segment that contains the record with this index.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or the leaves are missing.
    pub fn open_at(&mut self, snapshot: &dyn Snapshot, index: u64) -> Result<(), StoreError> {
        let number = index / SEGMENT_LEN;
        if index < self.sealed() && !self.leaves.contains_key(&number) {
            let missing = || StoreError::Corrupt(format!("the leaves of audit segment {number}"));
            let (value, _) = snapshot.get(&meta(b"audit-leaves", number))?.ok_or_else(missing)?;
            self.leaves.insert(number, hashes(&value));
        }
        Ok(())
    }

    /// The index of a record's leaf.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn index_of(&self, snapshot: &dyn Snapshot, place: RecordPlace) -> Result<Option<u64>, StoreError> {
        if let Some(at) = self.tail.iter().position(|(tail, _)| *tail == place) {
            return Ok(Some(self.sealed() + u64::try_from(at).unwrap_or(0)));
        }
        let at = self.segments.partition_point(|segment| segment.last < place);
        let Some(segment) = self.segments.get(at).filter(|segment| segment.first <= place) else {
            return Ok(None);
        };
        let mut number = u64::try_from(at).unwrap_or(0).saturating_mul(SEGMENT_LEN);
        let mut found = None;
        let all = KeyRange { start: record_key(segment.first), end: vec![Space::Audit.byte() + 1] };
        snapshot.scan(&all, Direction::Forward, &mut |key, _| {
            if place_of(key) == Some(place) {
                found = Some(number);
                return Flow::Stop;
            }
            number += 1;
            if place_of(key).is_some_and(|at| at > place) { Flow::Stop } else { Flow::Next }
        })?;
        Ok(found)
    }
}

impl Leaves for LogTree {
    type Error = StoreError;

    fn leaf(&self, index: u64) -> Result<Hash, StoreError> {
        let missing = || StoreError::Corrupt(format!("the hash of access record number {index}"));
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(after) = index.checked_sub(self.sealed()) {
            return self.tail.get(at(after)).map(|(_, hash)| *hash).ok_or_else(missing);
        }
        let leaves = self.leaves.get(&(index / SEGMENT_LEN)).ok_or_else(missing)?;
        leaves.get(at(index % SEGMENT_LEN)).copied().ok_or_else(missing)
    }

    fn known(&self, start: u64, end: u64) -> Option<Hash> {
        let is_segment = start.is_multiple_of(SEGMENT_LEN) && end - start == SEGMENT_LEN;
        let number = usize::try_from(start / SEGMENT_LEN).ok().filter(|_| is_segment)?;
        self.segments.get(number).map(|segment| segment.root)
    }
}

/// Brings the tree up to date and signs its root, unless it is signed already. `None` if there are no records.
///
/// # Errors
/// [`StoreError`] if the store cannot be read or written.
pub fn seal(kv: &dyn Kv, signer: &Signer, now: Millis) -> Result<Option<SignedRoot>, StoreError> {
    let mut tries = 0;
    while tries < TRIES_MAX {
        let snapshot = kv.snapshot(At::Latest)?;
        let tree = LogTree::up_to(&*snapshot, RECORDS_SEALED)?;
        let full: Vec<&[(RecordPlace, Hash)]> =
            tree.tail.chunks_exact(usize::try_from(SEGMENT_LEN).unwrap_or(usize::MAX)).collect();
        let batch = if full.is_empty() {
            let size = tree.size();
            let key = meta(b"audit-root", size);
            if size == 0 {
                return Ok(None);
            }
            if let Some((value, _)) = snapshot.get(&key)? {
                let corrupt = |_| StoreError::Corrupt(format!("the signed root of {size} access records"));
                return serde_json::from_slice(&value).map(Some).map_err(corrupt);
            }
            let signed = signer
                .sign(size, &root(&tree, 0, size)?, now)
                .map_err(|error| StoreError::Io(error.to_string()))?;
            put(vec![(key, serde_json::to_vec(&signed).unwrap_or_default())])
        } else {
            let first = u64::try_from(tree.segments.len()).unwrap_or(u64::MAX);
            put((first..).zip(full).flat_map(segment).collect())
        };
        match kv.commit(batch).wait() {
            // The next turn of the loop reads what was written, and returns it.
            Ok(_) => {}
            Err(CommitError::Conflict { .. } | CommitError::Busy) => tries += 1,
            Err(error) => return Err(StoreError::Io(error.to_string())),
        }
    }
    newest(&*kv.snapshot(At::Latest)?)
}

/// A batch that expects none of its keys to exist: segments and roots are written only once.
fn put(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in pairs {
        batch.expectations.push(Expectation::Key { key: key.clone(), sequence: None });
        batch.writes.push(Write { key, value: Some(value), ..Write::default() });
    }
    batch
}

/// The keys and values of a segment.
fn segment((number, records): (u64, &[(RecordPlace, Hash)])) -> Vec<(Vec<u8>, Vec<u8>)> {
    let hashes: Vec<Hash> = records.iter().map(|(_, hash)| *hash).collect();
    let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) else { return Vec::new() };
    let segment = Segment { first: *first, last: *last, root: root_of(&hashes) };
    vec![(meta(b"audit-segment", number), segment.bytes()), (meta(b"audit-leaves", number), hashes.concat())]
}

/// The root over these leaves.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    struct List<'h>(&'h [Hash]);
    impl Leaves for List<'_> {
        type Error = std::convert::Infallible;

        fn leaf(&self, index: u64) -> Result<Hash, Self::Error> {
            // INVARIANT: no index is beyond the end, because the end is the length.
            Ok(usize::try_from(index).ok().and_then(|index| self.0.get(index)).copied().unwrap_or_default())
        }

        fn known(&self, _: u64, _: u64) -> Option<Hash> {
            None
        }
    }
    let Ok(root) = root(&List(hashes), 0, u64::try_from(hashes.len()).unwrap_or(0));
    root
}

/// The signed root over this number of records.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn signed_root(snapshot: &dyn Snapshot, size: u64) -> Result<Option<SignedRoot>, StoreError> {
    let found = snapshot.get(&meta(b"audit-root", size))?;
    Ok(found.and_then(|(value, _)| serde_json::from_slice(&value).ok()))
}

/// The signed root over the most records.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn newest(snapshot: &dyn Snapshot) -> Result<Option<SignedRoot>, StoreError> {
    let mut found = None;
    snapshot.scan(&range(b"audit-root"), Direction::Reverse, &mut |_, value| {
        found = serde_json::from_slice(value).ok();
        Flow::Stop
    })?;
    Ok(found)
}

//! Batches: writes that are committed together, the expectations that must hold for that, and the result of a commit.

use smallvec::SmallVec;

use crate::model::Millis;

/// The number of a commit; the first commit is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The keys from `start` (included) to `end` (excluded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with this prefix.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start: Vec<u8> = prefix.into();
        let mut end = start.clone();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                break;
            }
        }
        if end.is_empty() {
            // The prefix is empty or all 0xff. This end is above every key, since the first byte of a key is a small number.
            end = vec![0xff; start.len() + 16];
        }
        Self { start, end }
    }

    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

/// Whether a stamp is in the key or in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampPlace {
    Key,
    Value,
}

/// A number that only the writer knows, at commit: 8 bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamped {
    /// The row number of the n-th new row of the batch.
    Row(u64),
    Sequence,
    /// The time of the commit in milliseconds since 1970.
    Time,
}

/// A place in a key or value where the writer fills in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub place: StampPlace,
    pub offset: usize,
    pub what: Stamped,
}

/// Most writes have one stamp, which needs no memory of its own.
pub type Stamps = SmallVec<[Stamp; 1]>;

/// One key to put (with a value) or to remove (without one).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub stamps: Stamps,
}

/// A condition for applying a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This commit was the last to write the key, or (`None`) the key does not exist.
    Key { key: Vec<u8>, sequence: Option<Sequence> },
    /// No key of the range was written after this commit.
    Unchanged { range: KeyRange, since: Sequence },
}

/// Writes that are applied all or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub expectations: Vec<Expectation>,
    pub writes: Vec<Write>,
    /// How many new rows the batch needs; its stamps refer to them.
    pub rows: u64,
    /// With which numbers the store begins. Only the first commit of a restored, still empty store sets it.
    pub start: Option<Start>,
}

/// The sequence and the first free row with which a restored store begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub sequence: Sequence,
    pub row: u64,
}

impl Batch {
    /// The size of all keys and values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// Fills in the stamps. INVARIANT: stamps lie inside their key or value; a stamp that does not is skipped.
    pub(super) fn stamp(&mut self, committed: Committed) {
        for write in &mut self.writes {
            for stamp in &write.stamps {
                let number = match stamp.what {
                    Stamped::Row(number) => committed.first_row + number,
                    Stamped::Sequence => committed.sequence.0,
                    Stamped::Time => u64::try_from(committed.time).unwrap_or(0),
                };
                let target = match stamp.place {
                    StampPlace::Key => Some(&mut write.key),
                    StampPlace::Value => write.value.as_mut(),
                };
                let bytes = target.and_then(|target| target.get_mut(stamp.offset..stamp.offset + 8));
                debug_assert!(bytes.is_some(), "a stamp lies outside of its write");
                if let Some(bytes) = bytes {
                    bytes.copy_from_slice(&number.to_be_bytes());
                }
            }
        }
    }
}

/// The numbers that the writer assigned to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub sequence: Sequence,
    /// Never earlier than the time of the commit before.
    pub time: Millis,
    /// The first of the batch's new rows; the others follow consecutively.
    pub first_row: u64,
}

impl Committed {
    /// The numbers of the batch that is committed after this one.
    pub(super) fn next(self, batch: &Batch, now: Millis) -> Self {
        let mut next = Self {
            sequence: Sequence(self.sequence.0 + 1),
            time: now.max(self.time),
            first_row: self.first_row,
        };
        if let Some(start) = batch.start
            && self.sequence == Sequence(0)
        {
            next.sequence = start.sequence.max(next.sequence);
            next.first_row = start.row.max(next.first_row);
        }
        next
    }
}

/// Why a batch was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold. The caller may try again once a snapshot includes this sequence.
    #[error("what the write was based on has changed")]
    Conflict { readable_at: Sequence },
    /// The store cannot keep up; the caller may try again later.
    #[error("the store is busy")]
    Busy,
    /// The disk has no room; reads still work.
    #[error("the disk is full")]
    Full,
    /// A write to the disk failed, or the store is closed. The store accepts no writes until it is opened again.
    #[error("the store accepts no more writes since one failed")]
    Stopped,
}

//! Batches: the writes that are committed together, the expectations without which they are not, and the result of a commit.
use std::fmt;

use crate::model::Millis;

/// The number of a commit; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Keys from `start` up to, not including, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with these bytes.
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
            // Every key is below: no key is longer than its limit, and none is all ones.
            end = vec![0xff; start.len() + 16];
        }
        Self { start, end }
    }

    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

/// Where a stamp goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampPlace {
    Key,
    Value,
}

/// What only the writer knows: 8 bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamped {
    /// The number of the n-th new row of the batch.
    Row(u64),
    Sequence,
    /// Milliseconds since 1970 of the commit.
    Time,
}

/// Eight bytes of a key or value that the writer fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub place: StampPlace,
    pub offset: usize,
    pub what: Stamped,
}

/// One key to put (with a value) or to remove (without).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub stamps: Vec<Stamp>,
}

/// What must be so for a batch to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The key was last written by this commit, or (`None`) does not exist.
    Key { key: Vec<u8>, sequence: Option<Sequence> },
    /// No key of the range was written after this commit.
    Unchanged { range: KeyRange, since: Sequence },
}

/// All of it is applied, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub expectations: Vec<Expectation>,
    pub writes: Vec<Write>,
    /// How many new rows the stamps name.
    pub rows: u64,
    /// Where the counting begins, for the first commit of an empty store that is being restored.
    pub start: Option<Start>,
}

/// The sequence and the first free row with which a restored store begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub sequence: Sequence,
    pub row: u64,
}

impl Batch {
    /// The size of its keys and values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// Fills in what the writer knows. INVARIANT: stamps lie inside their key or value; one that does not is left out.
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

/// What the writer gave a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub sequence: Sequence,
    /// Never before the time of an earlier commit.
    pub time: Millis,
    /// The first of the batch's new rows; the others follow.
    pub first_row: u64,
}

impl Committed {
    /// What the writer gives the next batch after this one.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// An expectation did not hold. Worth a try again once the sequence can be read.
    Conflict { readable_at: Sequence },
    /// The store cannot keep up; try again later.
    Busy,
    /// There is no room on the disk; reads go on.
    Full,
    /// A write to the disk failed; nothing more is accepted until the store is opened again.
    Stopped,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict { .. } => "what the write was based on has changed",
            Self::Busy => "the store is busy",
            Self::Full => "the disk is full",
            Self::Stopped => "the store accepts no more writes since one failed",
        })
    }
}

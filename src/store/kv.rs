//! The seam: an ordered map of bytes whose keys are versioned by the sequence of the commit that wrote them. A backend
//! implements [`Kv`] and nothing else; everything it is told is plain data.
use std::fmt;

use bytes::Bytes;

use crate::model::Millis;

use super::ticket::Ticket;

/// The number of a commit; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Which state a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Latest,
    Sequence(Sequence),
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Reverse,
}

/// What a visitor wants after an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    Next,
    /// Go on at the first key that is not before this one (in the direction of the scan). Keys before the current one
    /// mean `Next`.
    Seek(Vec<u8>),
    Stop,
}

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
pub enum Place {
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
    pub place: Place,
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
                    Place::Key => Some(&mut write.key),
                    Place::Value => write.value.as_mut(),
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

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The state asked for is older than what is kept.
    Expired,
    /// Bytes on the disk are not what was written.
    Corrupt(String),
    /// The operating system refused.
    Io(String),
    /// Another process has the directory open.
    InUse,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the state asked for is no longer kept"),
            Self::Corrupt(what) => write!(f, "corrupt: {what}"),
            Self::Io(what) => f.write_str(what),
            Self::InUse => f.write_str("another process has the directory open"),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// The state of the store after one commit.
pub trait Snapshot: Send + Sync {
    /// The commit whose state this is.
    fn sequence(&self) -> Sequence;

    /// The value of a key, and the commit that wrote it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn get(&self, key: &[u8]) -> Result<Option<(Bytes, Sequence)>, StoreError>;

    /// Visits the keys of a range in order.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
    ) -> Result<(), StoreError>;

    /// About how many keys a range has, found out quickly; for choosing a way to read, never for an answer.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        /// What is more is counted as [`MANY`].
        const COUNTED_MAX: u64 = 2_000;
        const MANY: u64 = 1_000_000;
        let mut count = 0;
        self.scan(range, Direction::Forward, &mut |_, _| {
            count += 1;
            if count < COUNTED_MAX { Flow::Next } else { Flow::Stop }
        })?;
        Ok(if count < COUNTED_MAX { count } else { MANY })
    }
}

/// A figure of a store or a process at a moment, for who watches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Small letters and underscores, with the unit at its end.
    pub name: &'static str,
    pub help: &'static str,
    pub value: f64,
}

/// A backend.
pub trait Kv: Send + Sync {
    /// A state to read from.
    ///
    /// # Errors
    /// [`StoreError::Expired`] for a state that is no longer kept.
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Whether writes are accepted; if not, why.
    ///
    /// # Errors
    /// The reason, for the log.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether a read is a matter of microseconds: of memory and a disk, and not of a database somewhere else.
    fn is_local(&self) -> bool {
        true
    }

    /// While what it gives lives nothing is dropped that a snapshot begun since shows, by whatever process: for who reads for
    /// longer than a request may.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be had.
    fn keep(&self) -> Result<Box<dyn Send>, StoreError> {
        Ok(Box::new(()))
    }

    /// What there is to watch.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }

    /// Hands a batch to the writer. The ticket resolves when the batch is durable, or refused. Once a batch has put a key
    /// that says that a row was erased, no older state can be asked for, and as soon as none is read any more the backend
    /// forgets what it had under the keys that the batch removed.
    fn commit(&self, batch: Batch) -> Ticket;

    /// Hands over a batch without expectations for whose result nobody waits. It is durable within 50 ms unless the disk
    /// holds the store up, and before all that is committed after it.
    fn commit_soon(&self, batch: Batch) {
        drop(self.commit(batch));
    }

    /// Waits until everything that this process has handed over can be read, whether somebody waits for it or not.
    fn settle(&self) {
        if self.is_behind() {
            // What came before it is readable with it; if nothing is written any more, nothing more becomes readable.
            let _ = self.commit(Batch::default()).wait();
        }
    }

    /// Whether anything that this process has handed over cannot be read yet.
    fn is_behind(&self) -> bool {
        false
    }
}

//! The seam: an ordered map of bytes whose keys are versioned by the sequence of the commit that wrote them. A backend
//! implements [`Kv`] and nothing else; everything it is told is plain data.
use std::fmt;

use bytes::Bytes;

use super::batch::{Batch, KeyRange, Sequence};
use super::ticket::Ticket;

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

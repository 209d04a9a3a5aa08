//! The interface of a storage backend: an ordered map of bytes whose keys are versioned by the sequence of the commit that
//! wrote them. A backend implements [`Kv`] and nothing else; it receives only plain data.
use bytes::Bytes;

use crate::model::message_error;

use super::batch::{Batch, KeyRange, Sequence};
use super::ticket::Ticket;

message_error! {
    /// Why a store accepts no writes: a message for the log.
    pub NotWritable
}

/// Which state of the store a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Latest,
    Sequence(Sequence),
}

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Reverse,
}

/// What a scan does after the visitor has seen an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    Next,
    /// Continue at the first key that is not before this one in the direction of the scan. If this key does not lie ahead of
    /// the current one, the scan goes on as with `Next`.
    Seek(Vec<u8>),
    Stop,
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The requested state is older than the oldest one that the store keeps.
    #[error("the state asked for is no longer kept")]
    Expired,
    /// The bytes read differ from the bytes written.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// The operating system reported an error, or the backend could not serve the request.
    #[error("{0}")]
    Io(String),
    /// Another process has the directory open.
    #[error("another process has the directory open")]
    InUse,
    /// The directory is in a format that this release does not read. The text names the commands that convert it.
    #[error("{0}")]
    Format(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// The state of the store after one commit.
pub trait Snapshot: Send + Sync {
    /// The sequence of the last commit that this snapshot includes.
    fn sequence(&self) -> Sequence;

    /// The value of a key, and the sequence of the commit that wrote it.
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

    /// The values of several keys, in the order of the keys, and the sequences of the commits that wrote them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn get_each(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<(Bytes, Sequence)>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// What a single read costs beyond its work, in microseconds, for the choice of a plan: the round trip to a database.
    fn round_trip_us(&self) -> f64 {
        0.0
    }

    /// Announces that these keys will be read, so that a store for which each read is a round trip can read them together.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn announce(&self, _keys: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Visits the first `most` keys of each of these ranges in the given direction, with the place of the range.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn first_of_each(
        &self,
        ranges: &[KeyRange],
        direction: Direction,
        most: usize,
        visit: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), StoreError> {
        for (place, range) in ranges.iter().enumerate() {
            self.first_of(range, direction, most, &mut |key| visit(place, key))?;
        }
        Ok(())
    }

    /// Visits the first `most` keys of a range in the given direction.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn first_of(
        &self,
        range: &KeyRange,
        direction: Direction,
        most: usize,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        let mut left = most;
        self.scan(range, direction, &mut |key, _| {
            visit(key);
            left = left.saturating_sub(1);
            if left == 0 { Flow::Stop } else { Flow::Next }
        })
    }

    /// A quick estimate of the number of keys in a range. It may choose an access path, never decide an answer.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        /// A range with this many keys or more is reported as [`MANY`].
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

/// A metric of the store or the process, read at one moment, for monitoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// In lower case with underscores; the unit comes last.
    pub name: &'static str,
    pub help: &'static str,
    pub value: f64,
}

/// A storage backend.
pub trait Kv: Send + Sync {
    /// Opens a snapshot of the latest state or of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Expired`] if the store no longer keeps that state.
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Whether the store accepts writes.
    ///
    /// # Errors
    /// The reason why it does not, for the log.
    fn health(&self) -> Result<(), NotWritable> {
        Ok(())
    }

    /// Whether a read takes microseconds, because the data are in memory or on a local disk and not in a remote database.
    fn is_local(&self) -> bool {
        true
    }

    /// While the returned guard lives, no process drops data that a snapshot opened since then shows. For readers, such as a
    /// backup, that take longer than a request may.
    ///
    /// # Errors
    /// [`StoreError`] if the guard cannot be acquired.
    fn keep(&self) -> Result<Box<dyn Send>, StoreError> {
        Ok(Box::new(()))
    }

    /// The metrics of the store.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }

    /// Hands a batch to the writer. The ticket resolves when the batch is durable or refused. If a batch puts a key that marks
    /// a row as erased, states before this commit can no longer be opened; once no snapshot of them is left, the backend
    /// discards every version of the keys that the batch removed.
    fn commit(&self, batch: Batch) -> Ticket;

    /// Commits a batch without expectations whose result nobody waits for. It becomes durable within 50 ms, unless the disk is
    /// slow or full, and before every later commit.
    fn commit_soon(&self, batch: Batch) {
        drop(self.commit(batch));
    }

    /// Waits until everything that this process has committed can be read, including batches of `commit_soon`.
    fn settle(&self) {
        if self.is_behind() {
            // A read of this commit also sees all earlier ones. If the commit fails, waiting longer would not help either.
            let _ = self.commit(Batch::default()).wait();
        }
    }

    /// Whether this process has handed over a batch that cannot be read yet.
    fn is_behind(&self) -> bool {
        false
    }
}

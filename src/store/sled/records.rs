//! A cursor over the records in sled, so that a scan merges them with those in the memory tables.
use bytes::Bytes;

use crate::store::key::number_at;
use crate::store::kv::{Direction, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::cursor::{Cursor, narrow};
use super::disk::Disk;

pub(super) struct RecordsCursor<'d> {
    disk: &'d Disk,
    range: KeyRange,
    direction: Direction,
    iter: sled::Iter,
    at: Option<(Vec<u8>, Bytes)>,
}

impl<'d> RecordsCursor<'d> {
    pub(super) fn new(disk: &'d Disk, range: &KeyRange, direction: Direction) -> Result<Self, StoreError> {
        let iter = disk.records(range)?;
        let mut cursor = Self { disk, range: range.clone(), direction, iter, at: None };
        cursor.advance()?;
        Ok(cursor)
    }
}

impl Cursor for RecordsCursor<'_> {
    fn current(&self) -> Option<(&[u8], Sequence)> {
        // The key of a record contains the sequence of its commit.
        self.at.as_ref().map(|(key, _)| (key.as_slice(), Sequence(number_at(key, 9).unwrap_or(0))))
    }

    fn value(&self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.at.as_ref().map(|(_, value)| value.clone()))
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        loop {
            let next = match self.direction {
                Direction::Forward => self.iter.next(),
                Direction::Reverse => self.iter.next_back(),
            };
            let Some(next) = next else {
                self.at = None;
                return Ok(());
            };
            let (key, first) = next.map_err(|error| StoreError::Io(error.to_string()))?;
            if let Some(record) = self.disk.record_of(&key, &first)? {
                self.at = Some(record);
                return Ok(());
            }
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        narrow(&mut self.range, self.direction, key);
        self.iter = self.disk.records(&self.range)?;
        self.advance()
    }
}

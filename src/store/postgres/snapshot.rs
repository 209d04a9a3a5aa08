//! A snapshot: the state of the database after one commit. Rows of `entries` never change, so a snapshot needs no open
//! transaction, only the sequence of that commit.
use std::sync::Arc;

use bytes::Bytes;
use postgres::types::{ToSql, Type};

use crate::store::kv::{At, Direction, Flow, Snapshot, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::numbers::{number, sequence};
use super::shared::Shared;

/// The first page of a scan has this many rows; later pages have more, up to the maximum.
const ROWS_MIN: i64 = 32;
const ROWS_MAX: i64 = 4_096;

/// A state that this process has registered as in use, so that its writer does not drop what it shows.
pub(super) struct PostgresSnapshot {
    shared: Arc<Shared>,
    at: Sequence,
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        let mut used = self.shared.used();
        if let Some(count) = used.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.at);
            }
        }
    }
}

impl PostgresSnapshot {
    /// Opens a snapshot.
    ///
    /// # Errors
    /// [`StoreError::Expired`] if the store no longer keeps that state.
    pub(super) fn begin(shared: &Arc<Shared>, at: At) -> Result<Self, StoreError> {
        let mut connection = shared.pool.get()?;
        let rows = connection.query("SELECT sequence, horizon FROM head", &[])?;
        drop(connection);
        let row = rows.first().ok_or_else(|| StoreError::Corrupt("the table head is empty".to_owned()))?;
        let (latest, horizon) = (sequence(row.get(0)), sequence(row.get(1)));
        let at = match at {
            At::Latest => latest,
            At::Sequence(wanted) => wanted.min(latest),
        };
        if at < horizon {
            return Err(StoreError::Expired);
        }
        *shared.used().entry(at).or_insert(0) += 1;
        Ok(Self { shared: shared.clone(), at })
    }

    /// Rows of a range in scan order. The newest version of each key is its first row going forward, its last going back.
    fn rows(&self, range: &KeyRange, direction: Direction, limit: i64) -> Result<Vec<Row>, StoreError> {
        const FORWARD: &str = "SELECT key, sequence, value FROM entries WHERE key >= $1 AND key < $2 AND sequence <= $3 \
             ORDER BY key ASC, sequence DESC LIMIT $4";
        const REVERSE: &str = "SELECT key, sequence, value FROM entries WHERE key >= $1 AND key < $2 AND sequence <= $3 \
             ORDER BY key DESC, sequence ASC LIMIT $4";
        let statement = match direction {
            Direction::Forward => FORWARD,
            Direction::Reverse => REVERSE,
        };
        let at = number(self.at);
        let params: [(&(dyn ToSql + Sync), Type); 4] =
            [(&range.start, Type::BYTEA), (&range.end, Type::BYTEA), (&at, Type::INT8), (&limit, Type::INT8)];
        let rows = self.shared.pool.get()?.query(statement, &params)?;
        let row = |row: &postgres::Row| Row { key: row.get(0), value: row.get(2) };
        Ok(rows.iter().map(row).collect())
    }
}

/// One version of a key; no value means that the key was removed.
struct Row {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Keeps the newest version of each key. `is_all`: the range has no rows after these.
fn newest(mut rows: Vec<Row>, direction: Direction, is_all: bool) -> Vec<Row> {
    match direction {
        // The first row of a key is its newest version.
        Direction::Forward => rows.dedup_by(|older, newer| older.key == newer.key),
        Direction::Reverse => {
            // The last row of a key is its newest version. Newer versions of the last key may be on the next page, so it is left
            // for that page.
            rows.reverse();
            rows.dedup_by(|older, newer| older.key == newer.key);
            rows.reverse();
            if !is_all {
                rows.pop();
            }
        }
    }
    rows
}

impl Snapshot for PostgresSnapshot {
    fn sequence(&self) -> Sequence {
        self.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<(Bytes, Sequence)>, StoreError> {
        const STATEMENT: &str = "SELECT sequence, value FROM entries WHERE key = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1";
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&key, Type::BYTEA), (&number(self.at), Type::INT8)];
        let rows = self.shared.pool.get()?.query(STATEMENT, &params)?;
        let value = |row: &postgres::Row| {
            let value: Option<Vec<u8>> = row.get(1);
            value.map(|value| (Bytes::from(value), sequence(row.get(0))))
        };
        Ok(rows.first().and_then(value))
    }

    fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        /// A range with this many rows or more is reported as `MANY`.
        const COUNTED_MAX: i64 = 256;
        const MANY: u64 = 100_000;
        const STATEMENT: &str =
            "SELECT count(*) FROM (SELECT 1 FROM entries WHERE key >= $1 AND key < $2 LIMIT $3) AS counted";
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&range.start, Type::BYTEA), (&range.end, Type::BYTEA), (&COUNTED_MAX, Type::INT8)];
        let rows = self.shared.pool.get()?.query(STATEMENT, &params)?;
        let count: i64 = rows.first().map_or(0, |row| row.get(0));
        Ok(if count < COUNTED_MAX { u64::try_from(count).unwrap_or(0) } else { MANY })
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Flow,
    ) -> Result<(), StoreError> {
        let mut left = range.clone();
        let mut limit = ROWS_MIN;
        'pages: while left.start < left.end {
            let rows = self.rows(&left, direction, limit)?;
            let is_all = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let page = newest(rows, direction, is_all);
            let Some(last) = page.last().map(|row| row.key.clone()) else {
                if is_all {
                    return Ok(());
                }
                // One key has more versions than this page has rows.
                limit = limit.saturating_mul(4);
                continue;
            };
            let mut place = 0;
            while let Some(row) = page.get(place) {
                place += 1;
                let Some(value) = &row.value else { continue };
                match visit(&row.key, value) {
                    Flow::Next => {}
                    Flow::Stop => return Ok(()),
                    Flow::Seek(key) => {
                        let is_ahead = match direction {
                            Direction::Forward => key > row.key,
                            Direction::Reverse => key < row.key,
                        };
                        if !is_ahead {
                            continue;
                        }
                        let is_before = |row: &Row| match direction {
                            Direction::Forward => row.key < key,
                            Direction::Reverse => row.key > key,
                        };
                        while page.get(place).is_some_and(is_before) {
                            place += 1;
                        }
                        if place >= page.len() {
                            narrow(&mut left, direction, (&key, true));
                            if is_all {
                                return Ok(());
                            }
                            continue 'pages;
                        }
                    }
                }
            }
            if is_all {
                return Ok(());
            }
            narrow(&mut left, direction, (&last, false));
            limit = (limit * 4).min(ROWS_MAX);
        }
        Ok(())
    }
}

/// Cuts a range down to what remains from a key on, with or without that key.
fn narrow(range: &mut KeyRange, direction: Direction, (key, included): (&[u8], bool)) {
    let after = || [key, &[0]].concat();
    match (direction, included) {
        (Direction::Forward, true) => range.start = range.start.clone().max(key.to_vec()),
        (Direction::Forward, false) => range.start = range.start.clone().max(after()),
        (Direction::Reverse, true) => range.end = range.end.clone().min(after()),
        (Direction::Reverse, false) => range.end = range.end.clone().min(key.to_vec()),
    }
}

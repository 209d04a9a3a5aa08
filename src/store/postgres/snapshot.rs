//! A snapshot: the state of the database after one commit. Rows of `entries` never change, so a snapshot needs no open
//! transaction, only the sequence of that commit.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postgres::types::{ToSql, Type};

use crate::store::kv::{At, Direction, Flow, Snapshot, StoreError};

use super::super::batch::{KeyRange, Sequence};
use super::kept::{Answer, Asked, Look, Row};
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
        // A request opens the state that it reads already again for its pages. It has looked at its start, so that look tells
        // whether an erasure has closed the state.
        if let At::Sequence(wanted) = at
            && shared.kept.horizon().is_some_and(|horizon| wanted >= horizon)
            && let Some(count) = shared.used().get_mut(&wanted)
        {
            *count += 1;
            return Ok(Self { shared: shared.clone(), at: wanted });
        }
        let Look { latest, horizon } = shared.kept.look(&shared.pool)?;
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

    /// The kept answer, or the one that `read` fetches.
    fn answer(
        &self,
        asked: Asked,
        read: impl FnOnce() -> Result<Answer, StoreError>,
    ) -> Result<Answer, StoreError> {
        if let Some(answer) = self.shared.kept.get(&asked, self.at) {
            return Ok(answer);
        }
        let answer = read()?;
        self.shared.kept.keep(asked, &answer, self.at);
        Ok(answer)
    }

    /// Rows of a range in scan order. The newest version of each key is its first row going forward, its last going back.
    fn rows(&self, range: &KeyRange, direction: Direction, limit: i64) -> Result<Arc<Vec<Row>>, StoreError> {
        const FORWARD: &str = "SELECT key, sequence, value FROM entries WHERE key >= $1 AND key < $2 AND sequence <= $3 \
             ORDER BY key ASC, sequence DESC LIMIT $4";
        const REVERSE: &str = "SELECT key, sequence, value FROM entries WHERE key >= $1 AND key < $2 AND sequence <= $3 \
             ORDER BY key DESC, sequence ASC LIMIT $4";
        let statement = match direction {
            Direction::Forward => FORWARD,
            Direction::Reverse => REVERSE,
        };
        let read = || {
            let at = number(self.at);
            let params: [(&(dyn ToSql + Sync), Type); 4] = [
                (&range.start, Type::BYTEA),
                (&range.end, Type::BYTEA),
                (&at, Type::INT8),
                (&limit, Type::INT8),
            ];
            let rows = self.shared.pool.get()?.query(statement, &params)?;
            let row = |row: &postgres::Row| Row { key: row.get(0), value: value(row, 2) };
            Ok(Answer::Rows(Arc::new(rows.iter().map(row).collect())))
        };
        match self.answer(Asked::page(range, direction, limit), read)? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Value(_) | Answer::Count(..) => Ok(Arc::default()),
        }
    }

    /// Fetches the values of these keys together and keeps them.
    fn fetch(&self, keys: &[&Vec<u8>]) -> Result<BTreeMap<Vec<u8>, (Bytes, Sequence)>, StoreError> {
        const STATEMENT: &str = "SELECT DISTINCT ON (key) key, sequence, value FROM entries WHERE key = ANY($1) AND sequence <= $2 \
             ORDER BY key ASC, sequence DESC";
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&keys, Type::BYTEA_ARRAY), (&number(self.at), Type::INT8)];
        let rows = self.shared.pool.get()?.query(STATEMENT, &params)?;
        let mut found = BTreeMap::new();
        for row in &rows {
            if let Some(value) = value(row, 2) {
                found.insert(row.get::<_, Vec<u8>>(0), (value, sequence(row.get(1))));
            }
        }
        for key in keys {
            let answer = Answer::Value(found.get(*key).cloned());
            self.shared.kept.keep(Asked::Value((*key).clone()), &answer, self.at);
        }
        Ok(found)
    }
}

/// A value of the database; `None` stands for a removal.
fn value(row: &postgres::Row, column: usize) -> Option<Bytes> {
    row.get::<_, Option<Vec<u8>>>(column).map(Bytes::from)
}

/// Keeps the newest version of each key. `is_all`: the range has no rows after these.
fn newest(rows: &[Row], direction: Direction, is_all: bool) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
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
        let read = || {
            let params: [(&(dyn ToSql + Sync), Type); 2] =
                [(&key, Type::BYTEA), (&number(self.at), Type::INT8)];
            let rows = self.shared.pool.get()?.query(STATEMENT, &params)?;
            let found = rows.first().and_then(|row| Some((value(row, 1)?, sequence(row.get(0)))));
            Ok(Answer::Value(found))
        };
        match self.answer(Asked::Value(key.to_vec()), read)? {
            Answer::Value(value) => Ok(value),
            Answer::Rows(_) | Answer::Count(..) => Ok(None),
        }
    }

    fn round_trip_us(&self) -> f64 {
        200.0
    }

    fn get_each(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<(Bytes, Sequence)>>, StoreError> {
        let known: Vec<Option<Answer>> =
            keys.iter().map(|key| self.shared.kept.get(&Asked::Value(key.clone()), self.at)).collect();
        let missing = keys.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(key, _)| key);
        let fetched = self.fetch(&missing.collect::<Vec<_>>())?;
        let value = |(key, known): (&Vec<u8>, Option<Answer>)| match known {
            Some(Answer::Value(value)) => value,
            Some(Answer::Rows(_) | Answer::Count(..)) | None => fetched.get(key).cloned(),
        };
        Ok(keys.iter().zip(known).map(value).collect())
    }

    fn announce(&self, keys: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = keys.collect();
        let is_missing =
            |key: &&Vec<u8>| self.shared.kept.get(&Asked::Value((*key).clone()), self.at).is_none();
        let missing: Vec<&Vec<u8>> = keys.iter().filter(is_missing).collect();
        // A single key is read when it is needed.
        if missing.len() > 1 { self.fetch(&missing).map(drop) } else { Ok(()) }
    }

    fn first_of_each(
        &self,
        ranges: &[KeyRange],
        direction: Direction,
        most: usize,
        visit: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), StoreError> {
        const STATEMENT: &str = "SELECT wanted.place, first.key, first.value FROM unnest($1, $2) WITH ORDINALITY AS wanted (start, stop, place), \
             LATERAL (SELECT DISTINCT ON (key) key, value FROM entries WHERE key >= wanted.start AND key < wanted.stop \
             AND sequence <= $3 ORDER BY key ASC, sequence DESC LIMIT $4) AS first ORDER BY wanted.place, first.key";
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut found: Vec<Option<Arc<Vec<Row>>>> = vec![None; ranges.len()];
        if direction == Direction::Forward {
            for (range, found) in ranges.iter().zip(&mut found) {
                if let Some(Answer::Rows(rows)) = self.shared.kept.get(&Asked::first(range, limit), self.at) {
                    *found = Some(rows);
                }
            }
            let missing: Vec<usize> =
                (0..).zip(&found).filter(|(_, rows)| rows.is_none()).map(|(at, _)| at).collect();
            let bounds = |bound: fn(&KeyRange) -> &Vec<u8>| -> Vec<&Vec<u8>> {
                missing.iter().filter_map(|place| ranges.get(*place)).map(bound).collect()
            };
            let (starts, ends) = (bounds(|range| &range.start), bounds(|range| &range.end));
            let mut read: Vec<Vec<Row>> = vec![Vec::new(); missing.len()];
            if !missing.is_empty() {
                let params: [(&(dyn ToSql + Sync), Type); 4] = [
                    (&starts, Type::BYTEA_ARRAY),
                    (&ends, Type::BYTEA_ARRAY),
                    (&number(self.at), Type::INT8),
                    (&limit, Type::INT8),
                ];
                for row in self.shared.pool.get()?.query(STATEMENT, &params)? {
                    let place =
                        usize::try_from(row.get::<_, i64>(0)).ok().and_then(|place| place.checked_sub(1));
                    if let Some(rows) = place.and_then(|place| read.get_mut(place)) {
                        rows.push(Row { key: row.get(1), value: value(&row, 2) });
                    }
                }
            }
            for (place, rows) in missing.into_iter().zip(read) {
                let rows = Arc::new(rows);
                if let (Some(range), Some(found)) = (ranges.get(place), found.get_mut(place)) {
                    self.shared.kept.keep(Asked::first(range, limit), &Answer::Rows(rows.clone()), self.at);
                    *found = Some(rows);
                }
            }
        }
        for ((place, range), rows) in (0..).zip(ranges).zip(found) {
            // Removed keys count to the limit, so behind them there may be more.
            let is_cut =
                |rows: &Arc<Vec<Row>>| rows.len() >= most && rows.iter().any(|row| row.value.is_none());
            match rows.filter(|rows| !is_cut(rows)) {
                Some(rows) => {
                    let there = rows.iter().filter(|row| row.value.is_some());
                    there.for_each(|row| visit(place, &row.key));
                }
                None => self.first_of(range, direction, most, &mut |key| visit(place, key))?,
            }
        }
        Ok(())
    }

    fn estimate(&self, range: &KeyRange) -> Result<u64, StoreError> {
        /// A range with this many rows or more is reported as `MANY`.
        const COUNTED_MAX: i64 = 4_096;
        const MANY: u64 = 100_000;
        const STATEMENT: &str =
            "SELECT count(*) FROM (SELECT 1 FROM entries WHERE key >= $1 AND key < $2 LIMIT $3) AS counted";
        // The first page of a scan, which mostly follows, tells the size of a small range.
        let first = self.rows(range, Direction::Forward, ROWS_MIN)?;
        if i64::try_from(first.len()).is_ok_and(|len| len < ROWS_MIN) {
            return Ok(u64::try_from(first.len()).unwrap_or(0));
        }
        let read = || {
            let params: [(&(dyn ToSql + Sync), Type); 3] =
                [(&range.start, Type::BYTEA), (&range.end, Type::BYTEA), (&COUNTED_MAX, Type::INT8)];
            let rows = self.shared.pool.get()?.query(STATEMENT, &params)?;
            let count: i64 = rows.first().map_or(0, |row| row.get(0));
            let count = if count < COUNTED_MAX { u64::try_from(count).unwrap_or(0) } else { MANY };
            Ok(Answer::Count(count, Instant::now()))
        };
        match self.answer(Asked::Estimate(range.start.clone(), range.end.clone()), read)? {
            Answer::Count(count, _) => Ok(count),
            Answer::Value(_) | Answer::Rows(_) => Ok(0),
        }
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
            let page = newest(&rows, direction, is_all);
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
                        let is_before = |row: &&Row| match direction {
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
                            // Who seeks reads little at a time.
                            limit = ROWS_MIN;
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

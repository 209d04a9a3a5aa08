//! Rows in order: of one or several index values, read in pieces, or of a set.
use std::collections::{BinaryHeap, VecDeque};

use roaring::RoaringTreemap;

use crate::store::key::row_of;
use crate::store::kv::{Direction, Flow, Snapshot, StoreError};

use super::super::super::batch::KeyRange;

/// The first piece is small, since most pages need no more. Of many values each contributes only few rows to a page.
const PIECE_ROWS_MIN: usize = 32;
const PIECE_ROWS_OF_MANY: usize = 4;
const VALUES_MANY: usize = 32;
const PIECE_ROWS_MAX: usize = 2_048;

/// The rows of one index value, read ahead piece by piece.
pub(super) struct ValueRows {
    prefix: Vec<u8>,
    rows: VecDeque<u64>,
    piece: usize,
    /// The row at which the next piece begins; `None` at the end.
    next: Option<u64>,
}

impl ValueRows {
    fn fill(&mut self, snapshot: &dyn Snapshot, direction: Direction) -> Result<u64, StoreError> {
        let Some(next) = self.next else { return Ok(0) };
        let at = |row: u64| [self.prefix.as_slice(), &row.to_be_bytes()].concat();
        let range = match direction {
            Direction::Forward => KeyRange { start: at(next), end: [&at(u64::MAX), [0].as_slice()].concat() },
            Direction::Reverse => KeyRange { start: at(0), end: [&at(next), [0].as_slice()].concat() },
        };
        let (rows, piece) = (&mut self.rows, self.piece);
        let mut read = 0;
        snapshot.scan(&range, direction, &mut |key, _| {
            rows.extend(row_of(key));
            read += 1;
            if rows.len() < piece { Flow::Next } else { Flow::Stop }
        })?;
        let last = self.rows.back().copied();
        self.next = last.filter(|_| self.rows.len() >= self.piece).and_then(|last| match direction {
            Direction::Forward => last.checked_add(1),
            Direction::Reverse => last.checked_sub(1),
        });
        self.piece = (self.piece * 4).min(PIECE_ROWS_MAX);
        Ok(read)
    }
}

/// The merged rows of several index values.
pub(super) struct Values {
    values: Vec<ValueRows>,
    /// The next row of each value, as the heap orders it, with the value's place; `None` before the first row.
    fronts: Option<BinaryHeap<(u64, usize)>>,
    direction: Direction,
    last: Option<u64>,
}

impl Values {
    /// A heap pops its greatest item first, so going forward row numbers are inverted.
    fn ordered(&self, row: u64) -> u64 {
        if self.direction == Direction::Forward { !row } else { row }
    }

    fn next(&mut self, snapshot: &dyn Snapshot, scanned: &mut u64) -> Result<Option<u64>, StoreError> {
        if self.fronts.is_none() {
            self.fronts = Some(BinaryHeap::with_capacity(self.values.len()));
            for place in 0..self.values.len() {
                self.advance(place, snapshot, scanned)?;
            }
        }
        while let Some((ordered, place)) = self.fronts.as_mut().and_then(BinaryHeap::pop) {
            self.advance(place, snapshot, scanned)?;
            let row = self.ordered(ordered);
            if self.last != Some(row) {
                self.last = Some(row);
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Puts the next row of a value on the heap.
    fn advance(
        &mut self,
        place: usize,
        snapshot: &dyn Snapshot,
        scanned: &mut u64,
    ) -> Result<(), StoreError> {
        let direction = self.direction;
        let Some(value) = self.values.get_mut(place) else { return Ok(()) };
        if value.rows.is_empty() {
            *scanned += value.fill(snapshot, direction)?;
        }
        if let Some(row) = value.rows.pop_front() {
            let ordered = self.ordered(row);
            self.fronts.get_or_insert_default().push((ordered, place));
        }
        Ok(())
    }
}

/// Rows in the given direction, each once.
pub(super) enum Rows {
    Values(Values),
    Set { set: RoaringTreemap, rows: VecDeque<u64>, next: Option<u64>, direction: Direction },
}

impl Rows {
    /// The rows of index values, given as prefixes of postings, from a row on (included).
    pub(super) fn of_values(prefixes: Vec<Vec<u8>>, from: Option<u64>, direction: Direction) -> Self {
        let next = Some(from.unwrap_or(first_of(direction)));
        let piece = if prefixes.len() > VALUES_MANY { PIECE_ROWS_OF_MANY } else { PIECE_ROWS_MIN };
        let value = |prefix| ValueRows { prefix, rows: VecDeque::new(), piece, next };
        let values = prefixes.into_iter().map(value).collect();
        Self::Values(Values { values, fronts: None, direction, last: None })
    }

    /// The rows of a set, from a row on (included).
    pub(super) fn of_set(set: RoaringTreemap, from: Option<u64>, direction: Direction) -> Self {
        let next = Some(from.unwrap_or(first_of(direction)));
        Self::Set { set, rows: VecDeque::new(), next, direction }
    }

    /// The next row. Adds to `scanned` how many keys or rows were read.
    pub(super) fn next(
        &mut self,
        snapshot: &dyn Snapshot,
        scanned: &mut u64,
    ) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Values(values) => values.next(snapshot, scanned),
            Self::Set { set, rows, next, direction } => {
                if let (true, Some(from)) = (rows.is_empty(), *next) {
                    *next = fill_from_set(set, rows, from, *direction);
                }
                *scanned += 1;
                Ok(rows.pop_front())
            }
        }
    }
}

/// Reads the next piece of a set, and returns the row at which the piece after it begins.
fn fill_from_set(
    set: &RoaringTreemap,
    rows: &mut VecDeque<u64>,
    from: u64,
    direction: Direction,
) -> Option<u64> {
    let mut all = set.iter();
    match direction {
        Direction::Forward => {
            all.advance_to(from);
            rows.extend(all.take(PIECE_ROWS_MAX));
            rows.back().and_then(|last| last.checked_add(1))
        }
        Direction::Reverse => {
            all.advance_back_to(from);
            rows.extend(all.rev().take(PIECE_ROWS_MAX));
            rows.back().and_then(|last| last.checked_sub(1))
        }
    }
}

fn first_of(direction: Direction) -> u64 {
    match direction {
        Direction::Forward => 0,
        Direction::Reverse => u64::MAX - 1,
    }
}

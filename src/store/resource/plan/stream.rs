//! Rows in order: of one or several index values, read in pieces, or of a set.
use std::collections::{BinaryHeap, VecDeque};

use roaring::RoaringTreemap;

use crate::store::key::{Key, Space, row_of};
use crate::store::kv::{Direction, Flow, Snapshot, StoreError};

use super::super::super::batch::KeyRange;

/// The first piece is small, since most pages need no more. Of many values each contributes only few rows to a page.
const PIECE_ROWS_MIN: usize = 32;
const PIECE_ROWS_OF_MANY: usize = 4;
const VALUES_MANY: usize = 32;
const PIECE_ROWS_MAX: usize = 2_048;

/// If the rows of at most so many values are merged, most rows of their first pieces are soon asked for.
const VALUES_FEW: usize = 4;
/// What is read of rows.
const STATES: [Space; 1] = [Space::Current];
const STATES_AND_ENTRIES: [Space; 2] = [Space::Current, Space::Entries];
/// How many rows of a set are announced at once.
const ANNOUNCED_MAX: usize = 64;

/// Announces that the states of these rows will be read, and their entries if `spaces` names them.
fn announce(
    snapshot: &dyn Snapshot,
    spaces: &[Space],
    rows: impl Iterator<Item = u64>,
) -> Result<(), StoreError> {
    let keys = |row: u64| spaces.iter().map(move |space| Key::new(*space).number(row).into_bytes());
    snapshot.announce(&mut rows.flat_map(keys))
}

/// The rows of one index value, read ahead piece by piece.
pub(super) struct ValueRows {
    prefix: Vec<u8>,
    rows: VecDeque<u64>,
    piece: usize,
    /// The row at which the next piece begins; `None` at the end.
    next: Option<u64>,
}

impl ValueRows {
    /// The postings of the next piece and what follows it.
    fn range(&self, direction: Direction) -> Option<KeyRange> {
        let next = self.next?;
        let at = |row: u64| [self.prefix.as_slice(), &row.to_be_bytes()].concat();
        Some(match direction {
            Direction::Forward => KeyRange { start: at(next), end: [&at(u64::MAX), [0].as_slice()].concat() },
            Direction::Reverse => KeyRange { start: at(0), end: [&at(next), [0].as_slice()].concat() },
        })
    }

    fn fill(
        &mut self,
        snapshot: &dyn Snapshot,
        direction: Direction,
        spaces: &[Space],
    ) -> Result<u64, StoreError> {
        let Some(range) = self.range(direction) else { return Ok(0) };
        let (rows, piece) = (&mut self.rows, self.piece);
        let mut read = 0;
        snapshot.scan(&range, direction, &mut |key, _| {
            rows.extend(row_of(key));
            read += 1;
            if rows.len() < piece { Flow::Next } else { Flow::Stop }
        })?;
        announce(snapshot, spaces, self.rows.iter().copied())?;
        self.filled(direction);
        Ok(read)
    }

    /// Notes where the next piece begins.
    fn filled(&mut self, direction: Direction) {
        let last = self.rows.back().copied();
        self.next = last.filter(|_| self.rows.len() >= self.piece).and_then(|last| match direction {
            Direction::Forward => last.checked_add(1),
            Direction::Reverse => last.checked_sub(1),
        });
        self.piece = (self.piece * 4).min(PIECE_ROWS_MAX);
    }
}

/// Whether the party sees the resource of a row.
pub(super) type Shows<'s> = dyn Fn(u64) -> Result<bool, StoreError> + 's;

/// The resource that all rows of a value refer to. Whether the party sees it is asked when the first of them is met.
struct Referred {
    row: u64,
    is_shown: Option<bool>,
}

/// The merged rows of several index values.
pub(super) struct Values {
    values: Vec<ValueRows>,
    /// By the place of the value; empty if the rows are wanted whatever they refer to.
    referred: Vec<Referred>,
    /// The next row of each value, as the heap orders it, with the value's place; `None` before the first row.
    fronts: Option<BinaryHeap<(u64, usize)>>,
    direction: Direction,
    last: Option<u64>,
    /// What is announced of the rows.
    spaces: &'static [Space],
}

impl Values {
    /// A heap pops its greatest item first, so going forward row numbers are inverted.
    fn ordered(&self, row: u64) -> u64 {
        if self.direction == Direction::Forward { !row } else { row }
    }

    fn next(
        &mut self,
        snapshot: &dyn Snapshot,
        scanned: &mut u64,
        shows: &Shows<'_>,
    ) -> Result<Option<u64>, StoreError> {
        if self.fronts.is_none() {
            self.fronts = Some(BinaryHeap::with_capacity(self.values.len()));
            self.fill_all(snapshot, scanned)?;
            for place in 0..self.values.len() {
                self.advance(place, snapshot, scanned)?;
            }
        }
        while let Some((ordered, place)) = self.fronts.as_mut().and_then(BinaryHeap::pop) {
            if let Some(referred) = self.referred.get_mut(place) {
                let is_shown = match referred.is_shown {
                    Some(is_shown) => is_shown,
                    None => *referred.is_shown.insert(shows(referred.row)?),
                };
                if !is_shown {
                    continue;
                }
            }
            self.advance(place, snapshot, scanned)?;
            let row = self.ordered(ordered);
            if self.last != Some(row) {
                self.last = Some(row);
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Reads the first piece of every value.
    fn fill_all(&mut self, snapshot: &dyn Snapshot, scanned: &mut u64) -> Result<(), StoreError> {
        let (direction, piece) = (self.direction, self.values.first().map_or(0, |value| value.piece));
        let ranges: Vec<KeyRange> = self.values.iter().filter_map(|value| value.range(direction)).collect();
        let values = &mut self.values;
        snapshot.first_of_each(&ranges, direction, piece, &mut |place, key| {
            *scanned += 1;
            if let Some(value) = values.get_mut(place) {
                value.rows.extend(row_of(key));
            }
        })?;
        if self.values.len() <= VALUES_FEW {
            let rows = self.values.iter().flat_map(|value| value.rows.iter().copied());
            announce(snapshot, self.spaces, rows)?;
        }
        self.values.iter_mut().for_each(|value| value.filled(direction));
        Ok(())
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
            *scanned += value.fill(snapshot, direction, self.spaces)?;
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
    Set {
        set: RoaringTreemap,
        rows: VecDeque<u64>,
        next: Option<u64>,
        direction: Direction,
        spaces: &'static [Space],
    },
}

impl Rows {
    /// The rows of index values, given as prefixes of postings, from a row on (included).
    pub(super) fn of_values(prefixes: Vec<Vec<u8>>, from: Option<u64>, direction: Direction) -> Self {
        Self::merged(prefixes, Vec::new(), from, direction)
    }

    /// Like [`Self::of_values`], without the rows of those values whose resource, given by its row, is hidden from the party.
    pub(super) fn of_referrers(values: Vec<(Vec<u8>, u64)>, from: Option<u64>, direction: Direction) -> Self {
        let (prefixes, referred): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let referred = referred.into_iter().map(|row| Referred { row, is_shown: None }).collect();
        Self::merged(prefixes, referred, from, direction)
    }

    fn merged(
        prefixes: Vec<Vec<u8>>,
        referred: Vec<Referred>,
        from: Option<u64>,
        direction: Direction,
    ) -> Self {
        let next = Some(from.unwrap_or(first_of(direction)));
        let piece = if prefixes.len() > VALUES_MANY { PIECE_ROWS_OF_MANY } else { PIECE_ROWS_MIN };
        let value = |prefix| ValueRows { prefix, rows: VecDeque::new(), piece, next };
        let values = prefixes.into_iter().map(value).collect();
        Self::Values(Values { values, referred, fronts: None, direction, last: None, spaces: &STATES })
    }

    /// The rows of a set, from a row on (included).
    pub(super) fn of_set(set: RoaringTreemap, from: Option<u64>, direction: Direction) -> Self {
        let next = Some(from.unwrap_or(first_of(direction)));
        Self::Set { set, rows: VecDeque::new(), next, direction, spaces: &STATES }
    }

    /// The entries of the rows will be read too.
    pub(super) fn with_entries(&mut self) {
        match self {
            Self::Values(values) => values.spaces = &STATES_AND_ENTRIES,
            Self::Set { spaces, .. } => *spaces = &STATES_AND_ENTRIES,
        }
    }

    /// The next row. Adds to `scanned` how many keys or rows were read; asks `shows` about the resources that rows refer to.
    pub(super) fn next(
        &mut self,
        snapshot: &dyn Snapshot,
        scanned: &mut u64,
        shows: &Shows<'_>,
    ) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Values(values) => values.next(snapshot, scanned, shows),
            Self::Set { set, rows, next, direction, spaces } => {
                if let (true, Some(from)) = (rows.is_empty(), *next) {
                    *next = fill_from_set(set, rows, from, *direction);
                    announce(snapshot, spaces, rows.iter().copied().take(ANNOUNCED_MAX))?;
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

//! Sorted pages (R4 search.html#sort). With many matches the index of the sort key is followed; with few, the matches are
//! gathered and sorted. Rows without a value come last; rows with equal values are in the order of their creation.
use std::cmp::Ordering;
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::definitions::ParamType;
use crate::search::{Form, Sort, SortKey, sort_value};
use crate::store::key::{number_at, row_of};
use crate::store::kv::{Direction, Flow, StoreError};

use super::super::super::batch::KeyRange;
use super::probe::RowView;
use super::ranges::{every_prefix, history_range, number, param_prefix, value_of};
use super::report::{ReportStep, range_text};
use super::search::{Search, Way, sorting_us};
use super::step::{ENTRIES_US, KEY_US, past, size};
use super::stream::Rows;

/// The rows of one value are collected and sorted. If there are more than this, they are read in their order instead, only as far
/// as the page needs.
const EQUALS_COLLECTED_MAX: usize = 256;
/// If the rows of one value are spread over more values of the index than this (dates that begin at the same time and end at
/// different ones), the page is made by sorting.
const SPREAD_MAX: usize = 4_096;
/// If at most this share of a type has a value to sort by, rows without one are looked for row by row.
const WITH_VALUE_MAX: f64 = 0.9;
/// The maximum number of postings that are read at once along the index.
const PIECE_MAX: usize = 1_024;

/// The sort values of a row; `None` for a key of which the row has no value.
type Values = Vec<Option<Vec<u8>>>;

/// A row with its sort values.
pub(super) struct SortedRow {
    pub(super) values: Values,
    row: u64,
}

fn compare(sort: &[Sort], a: &SortedRow, b: &SortedRow) -> Ordering {
    compare_values(sort, &a.values, &b.values).then(a.row.cmp(&b.row))
}

/// Compares two rows by their sort values alone.
#[must_use]
pub fn compare_values(sort: &[Sort], a: &[Option<Vec<u8>>], b: &[Option<Vec<u8>>]) -> Ordering {
    for ((left, right), key) in a.iter().zip(b).zip(sort) {
        let order = match (left, right) {
            (Some(left), Some(right)) if key.descending => right.cmp(left),
            (Some(left), Some(right)) => left.cmp(right),
            (left, right) => right.is_some().cmp(&left.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl Search<'_> {
    /// A page in the direction of `way`: going back, the row nearest to `from` comes first.
    pub(super) fn sorted_page(
        &self,
        from: Option<u64>,
        way: Way,
        len: usize,
    ) -> Result<Vec<u64>, StoreError> {
        if self.is_walked(len)?
            && let Some(rows) = self.along_index(from, way, len)?
        {
            return Ok(rows);
        }
        self.by_sorting(from, way, len)
    }

    /// Whether following the index is expected to be cheaper than sorting.
    fn is_walked(&self, len: usize) -> Result<bool, StoreError> {
        let [first] = self.sort else { return Ok(false) };
        let has_order = match &first.key {
            SortKey::Id => false,
            SortKey::LastUpdated => true,
            // The index keeps ranges of numbers apart from single numbers, so it is not in sort order.
            SortKey::Param(param) => !matches!(param.kind, ParamType::Number | ParamType::Quantity),
        };
        let len = f64::from(u32::try_from(len).unwrap_or(u32::MAX));
        let rows = self.whole.rows.clamp(1.0, self.size);
        let walked = (len * self.size / rows).min(self.size) * (ENTRIES_US + KEY_US + self.whole.probe_us);
        Ok(has_order && walked < sorting_us(rows) + self.whole.gather_us)
    }

    fn by_sorting(&self, from: Option<u64>, way: Way, len: usize) -> Result<Vec<u64>, StoreError> {
        let begun = Instant::now();
        let order = |a: &SortedRow, b: &SortedRow| match way {
            Way::Onward => compare(self.sort, a, b),
            Way::Back => compare(self.sort, b, a),
        };
        let start = match from {
            Some(row) => Some(self.placed(&RowView::new(self.view, row))?),
            None => None,
        };
        // The best rows so far. Whenever there are twice as many as needed (at least 64), they are sorted and cut to `len`.
        let mut best: Vec<SortedRow> = Vec::new();
        let mut sorted = 0;
        self.walk(self.steps(), None, Direction::Forward, None, &mut |row| {
            sorted += 1;
            let placed = self.placed(row)?;
            if start.as_ref().is_none_or(|start| order(&placed, start).is_gt()) {
                best.push(placed);
                if best.len() >= len.saturating_mul(2).max(64) {
                    best.sort_by(order);
                    best.truncate(len);
                }
            }
            Ok(true)
        })?;
        best.sort_by(order);
        best.truncate(len);
        let what = "sorted by the values of each match".to_owned();
        let returned = u64::try_from(best.len()).unwrap_or(0);
        self.report.add(ReportStep {
            what,
            scanned: sorted,
            returned,
            time: begun.elapsed(),
            ..ReportStep::default()
        });
        Ok(best.into_iter().map(|placed| placed.row).collect())
    }

    pub(super) fn placed(&self, row: &RowView<'_>) -> Result<SortedRow, StoreError> {
        let mut values = Vec::with_capacity(self.sort.len());
        for sort in self.sort {
            values.push(value(row, sort)?);
        }
        Ok(SortedRow { values, row: row.row })
    }

    /// Follows the index of the only sort key; `None` if the page must be made by sorting.
    fn along_index(&self, from: Option<u64>, way: Way, len: usize) -> Result<Option<Vec<u64>>, StoreError> {
        let [sort] = self.sort else { return Ok(None) };
        let mut rows = Vec::new();
        let (mut after, mut without) = (None, None);
        if let Some(row) = from {
            match value(&RowView::new(self.view, row), sort)? {
                Some(value) => after = Some((row, value)),
                None => without = Some(row),
            }
        }
        // Rows without a value come after all others. Every row has a time of last update.
        let may_lack = matches!(sort.key, SortKey::Param(_));
        if way == Way::Back && may_lack && after.is_none() {
            self.without_value(sort, without, way, len, &mut rows)?;
        }
        if rows.len() < len
            && (way == Way::Back || without.is_none())
            && !self.with_value(sort, after.as_ref(), way, len, &mut rows)?
        {
            return Ok(None);
        }
        if way == Way::Onward && may_lack && rows.len() < len {
            self.without_value(sort, without, way, len, &mut rows)?;
        }
        Ok(Some(rows))
    }

    /// Adds rows that have no value of the sort key, in the order of their creation.
    fn without_value(
        &self,
        sort: &Sort,
        from: Option<u64>,
        way: Way,
        len: usize,
        rows: &mut Vec<u64>,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut report =
            ReportStep { what: "rows without a value to sort by".to_owned(), ..ReportStep::default() };
        let with_value = size(self.view.repository.snapshot().estimate(&self.index_range(sort))?);
        let is_common = with_value <= self.size * WITH_VALUE_MAX;
        let from = from.map(|row| way.beyond(row));
        let mut stream = if is_common {
            Rows::of_values(vec![every_prefix(number(self.def))], from, way.direction())
        } else {
            Rows::of_set(self.rows_without_value(sort, &mut report.scanned)?, from, way.direction())
        };
        while rows.len() < len
            && let Some(row) =
                stream.next(self.view.repository.snapshot(), &mut report.scanned, &|_| Ok(true))?
        {
            let row = RowView::new(self.view, row);
            let lacks = !is_common || value(&row, sort)?.is_none();
            if lacks && row.fulfils(&self.whole)? && row.is_shown()? {
                report.returned += 1;
                rows.push(row.row);
            }
        }
        report.time = begun.elapsed();
        self.report.add(report);
        Ok(())
    }

    fn rows_without_value(&self, sort: &Sort, scanned: &mut u64) -> Result<RoaringTreemap, StoreError> {
        let mut missing = self.view.gather_every(self.def, scanned)?;
        self.view.repository.snapshot().scan(
            &self.index_range(sort),
            Direction::Forward,
            &mut |key, _| {
                *scanned += 1;
                if let Some(row) = row_of(key) {
                    missing.remove(row);
                }
                Flow::Next
            },
        )?;
        Ok(missing)
    }

    /// Adds rows along the index, after the row `start`. `false` if the rows of one value are spread over too many index values.
    fn with_value(
        &self,
        sort: &Sort,
        start: Option<&(u64, Vec<u8>)>,
        way: Way,
        len: usize,
        rows: &mut Vec<u64>,
    ) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let is_up = sort.descending == (way == Way::Back);
        let mut range = self.index_range(sort);
        if let Some((_, value)) = start {
            // Rows with the same value are read again: some of them may come after the start row.
            let same = KeyRange::prefix(self.index_prefix(sort, value));
            if is_up { range.start = same.start } else { range.end = same.end }
        }
        let mut report = ReportStep {
            what: "along the index of the sort key".to_owned(),
            ranges: vec![range_text(&range)],
            ..ReportStep::default()
        };
        let mut group = Group { sort, start, way, value: Vec::new(), rows: Vec::new() };
        let piece_len = len.saturating_mul(4).clamp(16, PIECE_MAX);
        let mut ended = false;
        'pieces: while !ended && rows.len() < len {
            let piece = self.index_piece(sort, &mut range, is_up, piece_len)?;
            ended = piece.len() < piece_len;
            report.scanned += u64::try_from(piece.len()).unwrap_or(0);
            for (value, row) in piece {
                if group.value != value {
                    self.settle(&mut group, len, rows)?;
                    group.value = value;
                }
                group.rows.push(row);
                if group.rows.len() > EQUALS_COLLECTED_MAX {
                    let Some(spread) = self.spread_of(&group)? else { return Ok(false) };
                    // The index goes on behind the values of this group.
                    match (spread.first(), spread.last()) {
                        (Some(_), Some(last)) if is_up => range.start = past(last),
                        (Some(first), Some(_)) => range.end.clone_from(first),
                        _ => return Ok(false),
                    }
                    self.settle_in_order(&mut group, spread, len, (rows, &mut report.scanned))?;
                    ended = false;
                    continue 'pieces;
                }
            }
        }
        self.settle(&mut group, len, rows)?;
        report.returned = u64::try_from(rows.len()).unwrap_or(0);
        report.time = begun.elapsed();
        self.report.add(report);
        Ok(true)
    }

    /// Reads the next values and rows along the index, and cuts the range down to what follows them.
    fn index_piece(
        &self,
        sort: &Sort,
        range: &mut KeyRange,
        is_up: bool,
        len: usize,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
        let direction = if is_up { Direction::Forward } else { Direction::Reverse };
        let mut piece = Vec::new();
        let mut last = Vec::new();
        self.view.repository.snapshot().scan(range, direction, &mut |key, _| {
            piece.extend(place_of(sort, key));
            last.clear();
            last.extend_from_slice(key);
            if piece.len() < len { Flow::Next } else { Flow::Stop }
        })?;
        if is_up {
            last.push(0);
            range.start = last;
        } else {
            range.end = last;
        }
        Ok(piece)
    }

    /// Adds those rows of one value that come after the start, sort by this value, match and are visible.
    fn settle(&self, group: &mut Group<'_>, len: usize, rows: &mut Vec<u64>) -> Result<(), StoreError> {
        let mut equals = std::mem::take(&mut group.rows);
        equals.sort_unstable();
        equals.dedup();
        if group.way == Way::Back {
            equals.reverse();
        }
        for row in equals {
            let is_past = group.start.is_some_and(|(last, value)| {
                *value == group.value && if group.way == Way::Back { row >= *last } else { row <= *last }
            });
            if is_past || rows.len() >= len {
                continue;
            }
            self.add_of_group(group, row, rows)?;
        }
        Ok(())
    }

    /// The values of the index, as prefixes of its keys in their order, that sort like the group; `None` if they are too many.
    fn spread_of(&self, group: &Group<'_>) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let mut spread: Vec<Vec<u8>> = Vec::new();
        let range = KeyRange::prefix(self.index_prefix(group.sort, &group.value));
        self.view.repository.snapshot().scan(&range, Direction::Forward, &mut |key, _| {
            if place_of(group.sort, key).is_none_or(|(value, _)| value != group.value) {
                return Flow::Next;
            }
            let prefix = key.get(..key.len().saturating_sub(8)).unwrap_or_default().to_vec();
            let next = past(&prefix);
            spread.push(prefix);
            if spread.len() > SPREAD_MAX { Flow::Stop } else { Flow::Seek(next) }
        })?;
        Ok((spread.len() <= SPREAD_MAX).then_some(spread))
    }

    /// Like `settle`, for a value with many rows: they are read in their order until the page is full.
    fn settle_in_order(
        &self,
        group: &mut Group<'_>,
        spread: Vec<Vec<u8>>,
        len: usize,
        (rows, scanned): (&mut Vec<u64>, &mut u64),
    ) -> Result<(), StoreError> {
        group.rows.clear();
        let start = group.start.filter(|(_, value)| *value == group.value);
        let from = start.map(|(last, _)| group.way.beyond(*last));
        let mut stream = Rows::of_values(spread, from, group.way.direction());
        while rows.len() < len
            && let Some(row) = stream.next(self.view.repository.snapshot(), scanned, &|_| Ok(true))?
        {
            self.add_of_group(group, row, rows)?;
        }
        Ok(())
    }

    /// Adds a row if it sorts by the value of the group, matches and is visible.
    fn add_of_group(&self, group: &Group<'_>, row: u64, rows: &mut Vec<u64>) -> Result<(), StoreError> {
        let row = RowView::new(self.view, row);
        // A row with several values counts only at the one that it sorts by.
        if value(&row, group.sort)?.as_ref() == Some(&group.value)
            && row.fulfils(&self.whole)?
            && row.is_shown()?
        {
            rows.push(row.row);
        }
        Ok(())
    }

    fn index_range(&self, sort: &Sort) -> KeyRange {
        match &sort.key {
            SortKey::Param(param) => {
                let mut prefix = param_prefix(number(self.def), param.id);
                prefix.push(Form::Value.byte());
                KeyRange::prefix(prefix)
            }
            SortKey::LastUpdated | SortKey::Id => history_range(self.def),
        }
    }

    /// The prefix of the index keys of a value.
    fn index_prefix(&self, sort: &Sort, value: &[u8]) -> Vec<u8> {
        let before = match &sort.key {
            SortKey::Param(param) => param_prefix(number(self.def), param.id),
            SortKey::LastUpdated | SortKey::Id => history_range(self.def).start,
        };
        [before.as_slice(), value].concat()
    }
}

/// The rows of one value, as the index yields them.
struct Group<'g> {
    sort: &'g Sort,
    start: Option<&'g (u64, Vec<u8>)>,
    way: Way,
    value: Vec<u8>,
    rows: Vec<u64>,
}

/// The value and row of an index key.
fn place_of(sort: &Sort, key: &[u8]) -> Option<(Vec<u8>, u64)> {
    match &sort.key {
        SortKey::Param(param) => Some((sort_value(param.kind, value_of(key))?, row_of(key)?)),
        SortKey::LastUpdated | SortKey::Id => Some((number_at(key, 3)?.to_be_bytes().to_vec(), row_of(key)?)),
    }
}

/// R4 search.html#sort: of several values the lowest counts in ascending order, the highest in descending order.
fn value(row: &RowView<'_>, sort: &Sort) -> Result<Option<Vec<u8>>, StoreError> {
    let current = || row.current();
    Ok(match &sort.key {
        SortKey::Id => current()?.map(|current| current.id.as_str().as_bytes().to_vec()),
        SortKey::LastUpdated => current()?.map(|current| current.sequence.0.to_be_bytes().to_vec()),
        SortKey::Param(param) => {
            let mut best: Option<Vec<u8>> = None;
            row.each_entry(&mut |id, value| {
                let Some(value) = (id == param.id).then(|| sort_value(param.kind, value)).flatten() else {
                    return;
                };
                let is_better = best
                    .as_ref()
                    .is_none_or(|best| if sort.descending { value > *best } else { value < *best });
                if is_better {
                    best = Some(value);
                }
            })?;
            best
        }
    })
}

//! The search of one type: pages of rows in the requested order.
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::definitions::TypeDef;
use crate::search::{Filter, Matcher, Scope, Sort};
use crate::store::kv::{Direction, StoreError};

use super::super::super::batch::KeyRange;
use super::gather::Streamed;
use super::probe::RowView;
use super::ranges::{every_prefix, matcher_range, number};
use super::report::{Report, ReportStep, range_text};
use super::step::{ENTRIES_US, KEY_US, Kind, POSTING_US, PlanStep};
use super::stream::Rows;
use super::view::View;

/// The direction of paging: the page after a row, or the page before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Onward,
    Back,
}

impl Way {
    /// The next row in this direction.
    pub(super) fn beyond(self, row: u64) -> u64 {
        match self {
            Self::Onward => row.saturating_add(1),
            Self::Back => row.saturating_sub(1),
        }
    }

    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Onward => Direction::Forward,
            Self::Back => Direction::Reverse,
        }
    }
}

/// A planned search.
pub struct Search<'f> {
    pub(super) view: &'f View<'f>,
    pub(super) def: &'static TypeDef,
    pub(super) whole: PlanStep<'f>,
    pub(super) sort: &'f [Sort],
    pub(super) report: &'f Report,
    /// About how many resources the type has.
    pub(super) size: f64,
}

/// The cost of a visibility check, in microseconds.
const VISIBLE_US: f64 = KEY_US + 1.0;

/// A walk that has visited this many times the expected rows, plus `PATIENCE_ROWS`, gives up, and another plan continues.
const PATIENCE: f64 = 4.0;
const PATIENCE_ROWS: f64 = 1_000.0;

impl<'f> Search<'f> {
    /// Plans a search for the resources of a type that fulfil a condition.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn new(
        view: &'f View<'f>,
        def: &'static TypeDef,
        filter: &'f Filter,
        sort: &'f [Sort],
        report: &'f Report,
    ) -> Result<Self, StoreError> {
        let whole = view.step(def, filter)?;
        let size = view.size_of(def)?.max(1.0);
        Ok(Self { view, def, whole, sort, report, size })
    }

    /// Up to `len` rows after the row `from` or, going back, before it; without `from`, the first (or last) rows. The rows are
    /// in the order of the search for both directions.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn page(&self, from: Option<u64>, way: Way, len: usize) -> Result<Vec<u64>, StoreError> {
        if self.view.scope(self.def) == Scope::Nothing || len == 0 {
            return Ok(Vec::new());
        }
        let mut rows = if self.sort.is_empty() {
            let from = from.map(|row| way.beyond(row));
            let mut rows = Vec::new();
            self.walk(self.steps(), from, way.direction(), Some(len), &mut |row| {
                rows.push(row.row);
                Ok(rows.len() < len)
            })?;
            rows
        } else {
            self.sorted_page(from, way, len)?
        };
        if way == Way::Back {
            rows.reverse();
        }
        Ok(rows)
    }

    /// The sort values of a row, for merging the results of several searches.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn sort_values(&self, row: u64) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(self.placed(&RowView::new(self.view, row))?.values)
    }

    /// Whether a row matches and is visible.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn finds(&self, row: u64) -> Result<bool, StoreError> {
        let row = RowView::new(self.view, row);
        Ok(row.fulfils(&self.whole)? && row.is_shown()?)
    }

    /// The type that is searched.
    #[must_use]
    pub fn def(&self) -> &'static TypeDef {
        self.def
    }

    /// The conditions, all of which must hold.
    pub(super) fn steps(&self) -> &[PlanStep<'f>] {
        match &self.whole.kind {
            Kind::All(steps) => steps,
            _ => std::slice::from_ref(&self.whole),
        }
    }

    /// Visits the visible rows that fulfil the steps, in row order, until the visitor returns `false`.
    pub(super) fn walk(
        &self,
        steps: &[PlanStep<'f>],
        mut from: Option<u64>,
        direction: Direction,
        need: Option<usize>,
        visit: &mut dyn FnMut(&RowView<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut need = need.map(|need| f64::from(u32::try_from(need).unwrap_or(u32::MAX)));
        loop {
            match self.walk_once(steps, from, direction, need, visit)? {
                Walked::ToTheEnd => return Ok(()),
                // Matches are much rarer than estimated: from here on, plan as if all of them were needed.
                Walked::Until(row) => {
                    from = match direction {
                        Direction::Forward => row.checked_add(1),
                        Direction::Reverse => row.checked_sub(1),
                    };
                    if from.is_none() {
                        return Ok(());
                    }
                    need = None;
                }
            }
        }
    }

    fn walk_once(
        &self,
        steps: &[PlanStep<'f>],
        from: Option<u64>,
        direction: Direction,
        need: Option<f64>,
        visit: &mut dyn FnMut(&RowView<'_>) -> Result<bool, StoreError>,
    ) -> Result<Walked, StoreError> {
        let begun = Instant::now();
        let mut choice = choose(steps, self.size, need);
        let mut report = ReportStep::default();
        let base = choice.base.and_then(|place| steps.get(place));
        let mut rows = match base {
            Some(step) => match self.view.values_of(self.def, step, need, &mut report.scanned)? {
                Some(Streamed::Values(prefixes)) => Rows::of_values(prefixes, from, direction),
                Some(Streamed::Referrers(values)) => Rows::of_referrers(values, from, direction),
                None => {
                    let set = self.view.gather(self.def, step, &mut report.scanned)?;
                    choice.candidates =
                        choice.candidates.min(f64::from(u32::try_from(set.len()).unwrap_or(u32::MAX)));
                    Rows::of_set(set, from, direction)
                }
            },
            None => Rows::of_values(vec![every_prefix(number(self.def))], from, direction),
        };
        report.what = choice.name(steps);
        report.ranges = base.map(|step| self.ranges(step)).unwrap_or_default();
        let mut sets: Vec<RoaringTreemap> = Vec::new();
        let mut asked: Vec<&PlanStep<'_>> = Vec::new();
        for (place, step) in (0..).zip(steps) {
            if choice.base == Some(place) {
                continue;
            }
            if step.gather_us < choice.candidates * step.probe_us {
                sets.push(self.view.gather(self.def, step, &mut report.scanned)?);
            } else {
                asked.push(step);
            }
        }
        if !asked.is_empty() {
            rows.with_entries();
        }
        asked.sort_by(|a, b| a.probe_us.total_cmp(&b.probe_us));
        let patience = need.map(|_| (choice.candidates * PATIENCE + PATIENCE_ROWS).min(u32::MAX.into()));
        let (mut candidates, mut ended) = (0.0, Walked::ToTheEnd);
        let shows = |row: u64| RowView::new(self.view, row).is_shown();
        let snapshot = self.view.repository.snapshot();
        'rows: while let Some(row) = rows.next(snapshot, &mut report.scanned, &shows)? {
            candidates += 1.0;
            if patience.is_some_and(|patience| candidates > patience) && !asked.is_empty() {
                // This row has not been checked, so the next walk begins with it.
                let before = match direction {
                    Direction::Forward => row.checked_sub(1),
                    Direction::Reverse => row.checked_add(1),
                };
                if let Some(before) = before {
                    ended = Walked::Until(before);
                    break;
                }
            }
            if !sets.iter().all(|set| set.contains(row)) {
                continue;
            }
            let row = RowView::new(self.view, row);
            for step in &asked {
                if !row.fulfils(step)? {
                    continue 'rows;
                }
            }
            if row.is_shown()? {
                report.returned += 1;
                if !visit(&row)? {
                    break;
                }
            }
        }
        report.time = begun.elapsed();
        self.report.add(report);
        Ok(ended)
    }

    fn ranges(&self, step: &PlanStep<'_>) -> Vec<(String, String)> {
        let matchers = |matchers: &[Matcher]| {
            matchers.iter().map(|matcher| range_text(&matcher_range(number(self.def), matcher))).collect()
        };
        match &step.kind {
            Kind::Values(prefixes, _) => {
                prefixes.iter().map(|prefix| range_text(&KeyRange::prefix(prefix.clone()))).collect()
            }
            Kind::Ranges(found) => matchers(found),
            _ => Vec::new(),
        }
    }
}

/// How a walk ended.
enum Walked {
    ToTheEnd,
    /// It gave up after this row.
    Until(u64),
}

/// Which step supplies the rows for which the others are checked; `None`: all rows of the type.
struct Choice {
    base: Option<usize>,
    /// About how many rows will be visited.
    candidates: f64,
}

impl Choice {
    fn name(&self, steps: &[PlanStep<'_>]) -> String {
        let base = match self.base.and_then(|place| steps.get(place)) {
            Some(step) => step.name(),
            None => "all rows of the type".to_owned(),
        };
        let others: Vec<String> = (0..)
            .zip(steps)
            .filter(|(place, _)| self.base != Some(*place))
            .map(|(_, step)| {
                let how = if step.gather_us < self.candidates * step.probe_us { "gathered" } else { "asked" };
                format!("{how}: {}", step.name())
            })
            .collect();
        if others.is_empty() { base } else { format!("{base}; {}", others.join("; ")) }
    }
}

/// Chooses the cheapest plan to find `need` rows, or all.
fn choose(steps: &[PlanStep<'_>], size: f64, need: Option<f64>) -> Choice {
    // The share of the type's rows that fulfils a step.
    let part = |step: &PlanStep<'_>| (step.rows / size).clamp(1.0 / size, 1.0);
    let cost = |base: Option<usize>| {
        let others = || (0..).zip(steps).filter(move |(place, _)| base != Some(*place)).map(|(_, step)| step);
        let (rows, start_us, row_us) = match base.and_then(|place| steps.get(place)) {
            Some(step) => (step.rows, step.stream_us().unwrap_or(step.gather_us), POSTING_US),
            None => (size, KEY_US, POSTING_US),
        };
        let passing: f64 = others().map(part).product();
        let candidates = need.map_or(rows, |need| rows.min(need / passing));
        let asked: f64 = others().map(|step| (candidates * step.probe_us).min(step.gather_us)).sum();
        (start_us + candidates * (row_us + VISIBLE_US * passing.max(1.0 / size)) + asked, candidates)
    };
    let mut best = (None, cost(None));
    for (place, _) in (0..).zip(steps) {
        let found = cost(Some(place));
        if found.0 < best.1.0 {
            best = (Some(place), found);
        }
    }
    Choice { base: best.0, candidates: best.1.1 }
}

/// The cost of sorting this many rows, in microseconds: the entries of each are read.
pub(super) fn sorting_us(rows: f64) -> f64 {
    rows * (ENTRIES_US + VISIBLE_US)
}

//! Gathers all rows that fulfil a condition in a compressed set.
use roaring::RoaringTreemap;

use crate::definitions::TypeDef;
use crate::search::{Check, Filter, Matcher, Param};
use crate::store::key::{Key, Space, number_at, row_of};
use crate::store::kv::{Direction, Flow, StoreError};

use super::super::super::batch::{KeyRange, Sequence};
use super::probe::{Read, RowView};
use super::ranges::{every_prefix, matcher_range, number, param_prefix, value_of};
use super::step::{Kind, PlanStep, TARGETS_STREAMED_MAX, Target};
use super::view::View;

/// So many rows are announced, and their referrers looked up, at once.
const PIECE_LEN: usize = 512;

/// Prefixes of postings, each with the row of the resource that its rows refer to.
type Referrers = Vec<(Vec<u8>, u64)>;

/// Rows that are read in their order while the page is made.
pub(super) enum Streamed {
    /// Those of these values, given as prefixes of postings.
    Values(Vec<Vec<u8>>),
    /// Those of values that each stand for a resource, given by its row, as far as the party sees that resource.
    Referrers(Referrers),
}

impl View<'_> {
    /// The rows of a type that fulfil a condition. Adds to `scanned` how many keys or rows were read.
    pub(super) fn gather(
        &self,
        def: &'static TypeDef,
        step: &PlanStep<'_>,
        scanned: &mut u64,
    ) -> Result<RoaringTreemap, StoreError> {
        let mut set = RoaringTreemap::new();
        match &step.kind {
            Kind::Values(prefixes, _) => {
                for prefix in prefixes {
                    *scanned += self.gather_range(&KeyRange::prefix(prefix.clone()), None, &mut set)?;
                }
            }
            Kind::Ranges(matchers) => {
                for matcher in *matchers {
                    let range = matcher_range(number(def), matcher);
                    *scanned += self.gather_range(&range, Some(matcher), &mut set)?;
                }
            }
            Kind::Rows(rows) => set.extend(rows.iter().copied()),
            Kind::Updated(from, to) => self.gather_updated(def, (*from, *to), &mut set, scanned)?,
            Kind::Text(..) => self.gather_probed(def, step, &mut set, scanned)?,
            // Few resources are checked one by one sooner than many targets are followed.
            Kind::Chain(..) | Kind::Has(..) if self.size_of(def)? * step.probe_us < step.gather_us => {
                self.gather_probed(def, step, &mut set, scanned)?;
            }
            Kind::Chain(param, targets) => {
                for target in targets {
                    self.gather_chain(def, param, target, &mut set, scanned)?;
                }
            }
            Kind::Has(param, target) => self.gather_has(def, param, target, &mut set, scanned)?,
            Kind::Within(_, rows, _) => {
                for row in rows {
                    *scanned += 1;
                    if RowView::new(self, row).fulfils(step)? {
                        set.insert(row);
                    }
                }
            }
            Kind::FromWithin(param, rows, link) => {
                for row in rows {
                    *scanned += 1;
                    set.extend(RowView::new(self, row).referred_from_within(param, link, def)?);
                }
            }
            Kind::All(steps) => return self.gather_all(def, steps, scanned),
            Kind::Any(steps) => {
                for step in steps {
                    set |= self.gather(def, step, scanned)?;
                }
            }
            Kind::Not(step) => {
                set = self.gather_every(def, scanned)?;
                set -= self.gather(def, step, scanned)?;
            }
        }
        Ok(set)
    }

    /// The rows of all resources of a type.
    pub(super) fn gather_every(
        &self,
        def: &TypeDef,
        scanned: &mut u64,
    ) -> Result<RoaringTreemap, StoreError> {
        let mut set = RoaringTreemap::new();
        *scanned += self.gather_range(&KeyRange::prefix(every_prefix(number(def))), None, &mut set)?;
        Ok(set)
    }

    pub(super) fn gather_range(
        &self,
        range: &KeyRange,
        matcher: Option<&Matcher>,
        set: &mut RoaringTreemap,
    ) -> Result<u64, StoreError> {
        let mut scanned = 0;
        // Postings of one value are adjacent, so the check is evaluated once per value.
        let mut last: (Vec<u8>, bool) = (Vec::new(), false);
        self.repository.snapshot().scan(range, Direction::Forward, &mut |key, _| {
            scanned += 1;
            if let Some(matcher) = matcher {
                let value = value_of(key);
                if last.0 != value || scanned == 1 {
                    last.0.clear();
                    last.0.extend_from_slice(value);
                    last.1 = matcher.check.accepts(value);
                }
                if !last.1 {
                    return Flow::Next;
                }
            }
            if let Some(row) = row_of(key) {
                set.insert(row);
            }
            Flow::Next
        })?;
        Ok(scanned)
    }

    fn gather_updated(
        &self,
        def: &TypeDef,
        (from, to): (Sequence, Sequence),
        set: &mut RoaringTreemap,
        scanned: &mut u64,
    ) -> Result<(), StoreError> {
        let at =
            |sequence: Sequence| Key::new(Space::History).short(number(def)).number(sequence.0).into_bytes();
        let mut places = Vec::new();
        let range = KeyRange { start: at(from), end: at(to) };
        self.repository.snapshot().scan(&range, Direction::Forward, &mut |key, _| {
            places.extend(number_at(key, 3).zip(number_at(key, 11)));
            Flow::Next
        })?;
        for (sequence, row) in places {
            *scanned += 1;
            let current = self.repository.current_of_row(row)?;
            if current.is_some_and(|current| current.sequence.0 == sequence && !current.deleted) {
                set.insert(row);
            }
        }
        Ok(())
    }

    fn gather_probed(
        &self,
        def: &'static TypeDef,
        step: &PlanStep<'_>,
        set: &mut RoaringTreemap,
        scanned: &mut u64,
    ) -> Result<(), StoreError> {
        let rows: Vec<u64> = self.gather_every(def, scanned)?.into_iter().collect();
        for piece in rows.chunks(PIECE_LEN) {
            self.announce_rows(piece, Read::StatesAndEntries)?;
            for row in piece {
                if RowView::new(self, *row).fulfils(step)? {
                    set.insert(*row);
                }
            }
        }
        Ok(())
    }

    /// The index values, as prefixes of postings, whose rows together are those of the step. `None` if it has none or too many;
    /// for a chain also if all its rows are needed.
    pub(super) fn values_of(
        &self,
        def: &'static TypeDef,
        step: &PlanStep<'_>,
        need: Option<f64>,
        scanned: &mut u64,
    ) -> Result<Option<Streamed>, StoreError> {
        match &step.kind {
            _ if step.stream_us().is_none() => Ok(None),
            Kind::Values(prefixes, _) => Ok(Some(Streamed::Values(prefixes.clone()))),
            Kind::Chain(param, targets) if need.is_some() => {
                Ok(self.values_of_chain(def, param, targets, scanned)?.map(Streamed::Referrers))
            }
            _ => Ok(None),
        }
    }

    /// The index values that refer to the targets of a chain, each with the row of its target, which may be hidden. `None` if
    /// they are too many, or if they are canonical URLs, which stand for several versions.
    fn values_of_chain(
        &self,
        def: &TypeDef,
        param: &Param,
        targets: &[Target<'_>],
        scanned: &mut u64,
    ) -> Result<Option<Referrers>, StoreError> {
        let prefix = param_prefix(number(def), param.id);
        let mut values = Vec::new();
        for target in targets {
            let rows = self.gather(target.def, &target.step, scanned)?;
            let rows: Vec<u64> = rows.into_iter().collect();
            for current in self.repository.current_of_rows(&rows)? {
                if current.deleted {
                    continue;
                }
                let other = RowView::new(self, current.row);
                for filter in self.referring_filters(&other, &current, param)? {
                    let Filter::Entries(matchers) = filter else { return Ok(None) };
                    for matcher in matchers {
                        if !matcher.is_whole_key
                            || matcher.check != Check::None
                            || values.len() >= TARGETS_STREAMED_MAX
                        {
                            return Ok(None);
                        }
                        values.push(([prefix.as_slice(), &matcher.start].concat(), current.row));
                    }
                }
            }
        }
        Ok(Some(values))
    }

    /// Adds the rows that refer by `param` to visible rows that the target's step finds.
    fn gather_chain(
        &self,
        def: &'static TypeDef,
        param: &Param,
        target: &Target<'_>,
        set: &mut RoaringTreemap,
        scanned: &mut u64,
    ) -> Result<(), StoreError> {
        let rows: Vec<u64> = self.gather(target.def, &target.step, scanned)?.into_iter().collect();
        for piece in rows.chunks(PIECE_LEN) {
            self.announce_rows(piece, Read::States)?;
            let mut ranges = Vec::new();
            let mut checked = Vec::new();
            for row in piece {
                let other = RowView::new(self, *row);
                let Some(current) = other.current()?.filter(|current| current.def.id == target.def.id) else {
                    continue;
                };
                if !self.shows(current)? {
                    continue;
                }
                for filter in self.referring_filters(&other, current, param)? {
                    *scanned += 1;
                    match filter {
                        Filter::Entries(matchers) => {
                            ranges.extend(matchers.iter().map(|matcher| matcher_range(number(def), matcher)))
                        }
                        filter => checked.push(filter),
                    }
                }
            }
            self.repository.rows_within(&ranges, set)?;
            for filter in checked {
                set.extend(self.rows_of(def, &filter)?);
            }
        }
        Ok(())
    }

    /// Adds the rows to which visible rows that the target's step finds refer by `param`.
    fn gather_has(
        &self,
        def: &'static TypeDef,
        param: &Param,
        target: &Target<'_>,
        set: &mut RoaringTreemap,
        scanned: &mut u64,
    ) -> Result<(), StoreError> {
        let mut rows = self.gather(target.def, &target.step, scanned)?;
        if self.size_of_param(target.def, param.id)? < target.step.rows {
            // Only rows with a value of the parameter refer to anything.
            let mut referring = RoaringTreemap::new();
            let range = KeyRange::prefix(param_prefix(number(target.def), param.id));
            *scanned += self.gather_range(&range, None, &mut referring)?;
            rows &= referring;
        }
        let rows: Vec<u64> = rows.into_iter().collect();
        for piece in rows.chunks(PIECE_LEN) {
            self.announce_rows(piece, Read::StatesAndEntries)?;
            let mut referring = Vec::new();
            for row in piece {
                let other = RowView::new(self, *row);
                if other.is_shown()? {
                    referring.extend(other.entries()?.into_iter().filter(|entry| entry.param == param.id));
                }
            }
            self.announce_targets(&referring, def)?;
            for entry in referring {
                *scanned += 1;
                set.extend(self.targets(&entry, def)?);
            }
        }
        Ok(())
    }

    /// Gathers the cheapest condition first. Each of the others is gathered too, or checked row by row if that is cheaper.
    fn gather_all(
        &self,
        def: &'static TypeDef,
        steps: &[PlanStep<'_>],
        scanned: &mut u64,
    ) -> Result<RoaringTreemap, StoreError> {
        let mut order: Vec<&PlanStep<'_>> = steps.iter().collect();
        order.sort_by(|a, b| (a.gather_us + a.rows).total_cmp(&(b.gather_us + b.rows)));
        let Some((first, others)) = order.split_first() else { return self.gather_every(def, scanned) };
        let mut set = self.gather(def, first, scanned)?;
        for step in others {
            let left = f64::from(u32::try_from(set.len()).unwrap_or(u32::MAX));
            if step.gather_us < left * step.probe_us {
                set &= self.gather(def, step, scanned)?;
                continue;
            }
            let mut kept = RoaringTreemap::new();
            for row in &set {
                *scanned += 1;
                if RowView::new(self, row).fulfils(step)? {
                    kept.insert(row);
                }
            }
            set = kept;
        }
        Ok(set)
    }
}

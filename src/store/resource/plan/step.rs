//! Conditions as steps: how many rows a condition matches, and what it costs to gather them all or to check one row. Costs
//! are estimates in microseconds; they choose the plan and never influence the result.
use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::definitions::TypeDef;
use crate::search::{Check, Filter, Form, Link, Matcher, Param, TextCheck};
use crate::store::kv::{Direction, Flow, StoreError};

use super::super::super::batch::{KeyRange, Sequence};
use super::ranges::{every_prefix, matcher_range, number, param_prefix, value_of};
use super::updated::sequences;
use super::view::View;

/// The costs of reading the next posting, a key, the entries of a row, and a resource.
pub(super) const POSTING_US: f64 = 0.15;
pub(super) const KEY_US: f64 = 2.0;
pub(super) const ENTRIES_US: f64 = 3.0;
const RESOURCE_US: f64 = 30.0;
/// The cost of reading the first rows that refer to a resource.
const REFERRERS_US: f64 = 8.0;
/// The referrers of at most this many resources are merged in row order while they are read, without gathering them first.
pub(super) const TARGETS_STREAMED_MAX: usize = 4_096;
/// The cost of following a reference: reading the target, checking its visibility, and finding its referrers.
const LINK_US: f64 = 60.0;

/// The rows of at most this many index values are merged in row order while they are read.
const VALUES_STREAMED_MAX: usize = 64;
/// How many distinct values of a range are examined to find out whether it has only few.
const VALUES_LOOKED_AT_MAX: usize = 96;
/// This many values are examined first. If they cover less than 1 in `TRIED_SHARE` of the range, it has many values.
const VALUES_TRIED: usize = 8;
const TRIED_SHARE: f64 = 48.0;
/// Up to about this many rows, a range is gathered without looking for its distinct values.
const ROWS_FEW: f64 = 4_000.0;

/// How the index evaluates a condition.
pub(super) enum Kind<'f> {
    /// The rows of these values, given as prefixes of postings.
    Values(Vec<Vec<u8>>, &'f [Matcher]),
    Ranges(&'f [Matcher]),
    Rows(Vec<u64>),
    /// Rows whose newest version was written by a commit from the first sequence (included) to the second (excluded).
    Updated(Sequence, Sequence),
    Text(&'f Arc<Param>, &'f TextCheck),
    Chain(&'f Param, Vec<Target<'f>>),
    Has(&'f Param, Box<Target<'f>>),
    /// Those of these rows that refer to a resource which they contain.
    Within(&'f Param, RoaringTreemap, &'f [Link]),
    /// Rows that a resource refers to which one of these rows contains.
    FromWithin(&'f Param, RoaringTreemap, &'f Link),
    All(Vec<PlanStep<'f>>),
    Any(Vec<PlanStep<'f>>),
    Not(Box<PlanStep<'f>>),
}

/// The other end of a link.
pub(super) struct Target<'f> {
    pub(super) def: &'static TypeDef,
    pub(super) step: PlanStep<'f>,
}

/// A condition with its costs.
pub(super) struct PlanStep<'f> {
    pub(super) kind: Kind<'f>,
    /// About how many rows match.
    pub(super) rows: f64,
    pub(super) gather_us: f64,
    pub(super) probe_us: f64,
}

impl PlanStep<'_> {
    /// The cost until rows can be read in order without gathering them first; `None` if that is impossible.
    pub(super) fn stream_us(&self) -> Option<f64> {
        match &self.kind {
            Kind::Values(prefixes, _) => (prefixes.len() <= VALUES_STREAMED_MAX).then_some(KEY_US),
            Kind::Chain(_, targets) => {
                let rows: f64 = targets.iter().map(|target| target.step.rows).sum();
                let found_us: f64 = targets.iter().map(|target| target.step.gather_us).sum();
                let limit = f64::from(u32::try_from(TARGETS_STREAMED_MAX).unwrap_or(u32::MAX));
                (rows <= limit).then_some(found_us + rows * REFERRERS_US)
            }
            _ => None,
        }
    }

    /// Whether the step certainly finds nothing.
    fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Values(prefixes, _) => prefixes.is_empty(),
            Kind::Within(_, rows, _) | Kind::FromWithin(_, rows, _) => rows.is_empty(),
            Kind::All(steps) => steps.iter().any(Self::is_empty),
            _ => false,
        }
    }

    /// A description for reports.
    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Values(prefixes, _) => format!("rows of {} values", prefixes.len()),
            Kind::Ranges(matchers) => format!("rows of {} ranges", matchers.len()),
            Kind::Rows(rows) => format!("{} ids", rows.len()),
            Kind::Updated(..) => "rows by their last commit".to_owned(),
            Kind::Text(..) => "what the texts hold".to_owned(),
            Kind::Chain(param, targets) => {
                let of: Vec<String> = targets
                    .iter()
                    .map(|target| format!("{}: {}", target.def.name, target.step.name()))
                    .collect();
                format!("rows that refer by {} to ({})", param.code, of.join(" or "))
            }
            Kind::Has(param, target) => {
                format!("rows that {} refers to by {} ({})", target.def.name, param.code, target.step.name())
            }
            Kind::Within(param, rows, _) => {
                format!("of {} rows those that refer by {} to what they contain", rows.len(), param.code)
            }
            Kind::FromWithin(param, rows, _) => {
                format!("what is referred to by {} within {} rows", param.code, rows.len())
            }
            Kind::All(steps) => names(steps, " and "),
            Kind::Any(steps) => names(steps, " or "),
            Kind::Not(step) => format!("not ({})", step.name()),
        }
    }
}

fn names(steps: &[PlanStep<'_>], between: &str) -> String {
    let all: Vec<String> = steps.iter().map(PlanStep::name).collect();
    format!("({})", all.join(between))
}

/// Converts a number of postings or rows for the computation of costs.
pub(super) fn size(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl View<'_> {
    /// About how many resources a type has.
    pub(super) fn size_of(&self, def: &TypeDef) -> Result<f64, StoreError> {
        let range = KeyRange::prefix(every_prefix(number(def)));
        Ok(size(self.repository.snapshot().estimate(&range)?))
    }

    pub(super) fn size_of_param(&self, def: &TypeDef, param: u32) -> Result<f64, StoreError> {
        let mut prefix = param_prefix(number(def), param);
        prefix.push(Form::Value.byte());
        Ok(size(self.repository.snapshot().estimate(&KeyRange::prefix(prefix))?))
    }

    /// The step for a condition on a type.
    pub(super) fn step<'f>(
        &self,
        def: &'static TypeDef,
        filter: &'f Filter,
    ) -> Result<PlanStep<'f>, StoreError> {
        match filter {
            Filter::Entries(matchers) => self.entries_step(def, matchers),
            Filter::Text(param, check) => {
                let rows = self.size_of(def)?;
                let gather_us = rows * RESOURCE_US;
                Ok(PlanStep { kind: Kind::Text(param, check), rows, gather_us, probe_us: RESOURCE_US })
            }
            Filter::Id(ids) => {
                let mut rows = Vec::new();
                for id in ids {
                    rows.extend(self.repository.row_of(def, id)?);
                }
                rows.sort_unstable();
                rows.dedup();
                Ok(PlanStep {
                    rows: size(rows.iter().map(|_| 1).sum()),
                    gather_us: 0.0,
                    probe_us: 0.01,
                    kind: Kind::Rows(rows),
                })
            }
            Filter::LastUpdated(prefix, asked) => {
                let ranges = sequences(self.repository, def, *prefix, *asked)?;
                let all = self.size_of(def)?;
                let steps = ranges.into_iter().map(|(from, to)| PlanStep {
                    kind: Kind::Updated(from, to),
                    rows: size(to.0.saturating_sub(from.0)).min(all),
                    gather_us: size(to.0.saturating_sub(from.0)).min(all) * KEY_US,
                    probe_us: KEY_US,
                });
                Ok(any(steps.collect()))
            }
            Filter::Chain(param, links) => {
                Ok(any(vec![self.chain_step(def, param, links)?, self.within_step(def, param, links)?]))
            }
            Filter::Has(param, link) => {
                Ok(any(vec![self.has_step(def, param, link)?, self.referred_within_step(param, link)?]))
            }
            Filter::All(filters) => {
                let steps: Result<Vec<PlanStep<'f>>, StoreError> =
                    filters.iter().map(|filter| self.step(def, filter)).collect();
                let all = self.size_of(def)?;
                Ok(conjunction(steps?, all))
            }
            Filter::Any(filters) => {
                let steps: Result<Vec<PlanStep<'f>>, StoreError> =
                    filters.iter().map(|filter| self.step(def, filter)).collect();
                Ok(any(steps?))
            }
            Filter::Not(filter) => {
                let step = self.step(def, filter)?;
                let all = self.size_of(def)?;
                let rows = (all - step.rows).max(0.0);
                let gather_us = all * POSTING_US + step.gather_us;
                Ok(PlanStep { rows, gather_us, probe_us: step.probe_us, kind: Kind::Not(Box::new(step)) })
            }
            // INVARIANT: lookups have been replaced before planning. One that was not finds nothing.
            Filter::Lookup(_) => Ok(any(Vec::new())),
        }
    }

    fn entries_step<'f>(&self, def: &TypeDef, matchers: &'f [Matcher]) -> Result<PlanStep<'f>, StoreError> {
        let number = number(def);
        let mut postings = 0;
        for matcher in matchers {
            postings += self.repository.snapshot().estimate(&matcher_range(number, matcher))?;
        }
        let rows = size(postings);
        let is_searched = |matcher: &Matcher| matches!(matcher.check, Check::Holds(_) | Check::Ends(_));
        let values = if rows > ROWS_FEW || matchers.iter().any(is_searched) {
            self.values(number, matchers)?
        } else {
            None
        };
        if let Some(prefixes) = values {
            let mut postings = 0;
            for prefix in &prefixes {
                postings += self.repository.snapshot().estimate(&KeyRange::prefix(prefix.clone()))?;
            }
            let rows = size(postings);
            let kind = Kind::Values(prefixes, matchers);
            return Ok(PlanStep { kind, rows, gather_us: rows * POSTING_US, probe_us: ENTRIES_US });
        }
        let gather_us = 3.0 + rows * POSTING_US;
        Ok(PlanStep { kind: Kind::Ranges(matchers), rows, gather_us, probe_us: ENTRIES_US })
    }

    /// The distinct values that the matchers accept, as prefixes of postings; `None` if there are many. A matcher for text within
    /// or at the end of a value compares every value of its range, however many there are.
    fn values(&self, number: u16, matchers: &[Matcher]) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for matcher in matchers {
            let is_searched = matches!(matcher.check, Check::Holds(_) | Check::Ends(_));
            let mut looked_at = 0;
            let mut last: Option<(Vec<u8>, u32)> = None;
            let range = matcher_range(number, matcher);
            if !is_searched && !self.may_be_few(&range)? {
                return Ok(None);
            }
            self.repository.snapshot().scan(&range, Direction::Forward, &mut |key, _| {
                let prefix = key.get(..key.len().saturating_sub(8)).unwrap_or_default();
                match &mut last {
                    Some((value, times)) if value == prefix => {
                        *times += 1;
                        return if *times < 16 { Flow::Next } else { Flow::Seek(past(prefix)) };
                    }
                    _ => {}
                }
                looked_at += 1;
                if !is_searched && looked_at > VALUES_LOOKED_AT_MAX {
                    return Flow::Stop;
                }
                if matcher.check.accepts(value_of(key)) {
                    found.push(prefix.to_vec());
                }
                last = Some((prefix.to_vec(), 0));
                Flow::Next
            })?;
            if !is_searched && looked_at > VALUES_LOOKED_AT_MAX {
                return Ok(None);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(Some(found))
    }

    /// Whether the first values of a range cover so much of it that it may have only few values.
    fn may_be_few(&self, range: &KeyRange) -> Result<bool, StoreError> {
        let snapshot = self.repository.snapshot();
        let (mut looked_at, mut last) = (0, Vec::new());
        snapshot.scan(range, Direction::Forward, &mut |key, _| {
            last.clear();
            last.extend_from_slice(key.get(..key.len().saturating_sub(8)).unwrap_or_default());
            looked_at += 1;
            if looked_at < VALUES_TRIED { Flow::Seek(past(&last)) } else { Flow::Stop }
        })?;
        if looked_at < VALUES_TRIED {
            return Ok(true);
        }
        let tried = snapshot.estimate(&KeyRange { start: range.start.clone(), end: past(&last) })?;
        Ok(size(tried) * TRIED_SHARE >= size(snapshot.estimate(range)?))
    }

    fn chain_step<'f>(
        &self,
        def: &'static TypeDef,
        param: &'f Arc<Param>,
        links: &'f [Link],
    ) -> Result<PlanStep<'f>, StoreError> {
        let referring = self.size_of_param(def, param.id)?;
        // The targets of a single row are not announced, so each check waits for the store.
        let waits_us = self.repository.snapshot().round_trip_us();
        let (mut rows, mut gather_us) = (0.0, 0.0);
        let mut probe_us = KEY_US * 2.0 + ENTRIES_US * 2.0 + waits_us;
        let mut targets = Vec::new();
        for link in links {
            let step = self.step(link.def, &link.filter)?;
            let each = referring / self.size_of(link.def)?.max(1.0);
            rows += step.rows * each;
            gather_us += step.gather_us + step.rows * (LINK_US + each * POSTING_US);
            probe_us += step.probe_us;
            targets.push(Target { def: link.def, step });
        }
        Ok(PlanStep { kind: Kind::Chain(param, targets), rows: rows.min(referring), gather_us, probe_us })
    }

    fn has_step<'f>(
        &self,
        def: &'static TypeDef,
        param: &'f Arc<Param>,
        link: &'f Link,
    ) -> Result<PlanStep<'f>, StoreError> {
        let step = self.step(link.def, &link.filter)?;
        let all = self.size_of(def)?;
        let each = self.size_of_param(link.def, param.id)? / all.max(1.0);
        let gather_us = step.gather_us + step.rows * LINK_US;
        let waits_us = self.repository.snapshot().round_trip_us();
        let probe_us = ENTRIES_US * 2.0 + waits_us + each * (step.probe_us + ENTRIES_US);
        Ok(PlanStep {
            rows: step.rows.min(all),
            gather_us,
            probe_us,
            kind: Kind::Has(param, Box::new(Target { def: link.def, step })),
        })
    }
}

impl View<'_> {
    /// The rows that refer to a resource which they contain and which may fulfil one of the links.
    fn within_step<'f>(
        &self,
        def: &'static TypeDef,
        param: &'f Arc<Param>,
        links: &'f [Link],
    ) -> Result<PlanStep<'f>, StoreError> {
        let mut rows = RoaringTreemap::new();
        for link in links {
            rows |= self.container_rows(link.def, conditions(&link.filter))?;
        }
        if !rows.is_empty() {
            let mut referring = RoaringTreemap::new();
            if let Filter::Entries(matchers) = Filter::refers_within(param) {
                for matcher in &matchers {
                    referring |= self.rows_in(&matcher_range(number(def), matcher), &|_| true)?;
                }
            }
            rows &= referring;
        }
        Ok(looked_into(size(rows.len()), Kind::Within(param, rows, links)))
    }

    /// The rows with a contained resource that may fulfil the link and so refer to other rows.
    fn referred_within_step<'f>(
        &self,
        param: &'f Arc<Param>,
        link: &'f Link,
    ) -> Result<PlanStep<'f>, StoreError> {
        let rows = self.container_rows(link.def, conditions(&link.filter))?;
        Ok(looked_into(size(rows.len()), Kind::FromWithin(param, rows, link)))
    }
}

/// The conditions of a filter, all of which must hold.
fn conditions(filter: &Filter) -> &[Filter] {
    match filter {
        Filter::All(filters) => filters.as_slice(),
        other => std::slice::from_ref(other),
    }
}

/// A step that has to read and parse each of its rows.
fn looked_into(rows: f64, kind: Kind<'_>) -> PlanStep<'_> {
    PlanStep { rows, gather_us: rows * RESOURCE_US, probe_us: KEY_US + RESOURCE_US, kind }
}

fn any(mut steps: Vec<PlanStep<'_>>) -> PlanStep<'_> {
    steps.retain(|step| !step.is_empty());
    if steps.len() == 1
        && let Some(only) = steps.pop()
    {
        return only;
    }
    let sum = |part: fn(&PlanStep<'_>) -> f64| steps.iter().map(part).sum();
    PlanStep {
        rows: sum(|step| step.rows),
        gather_us: sum(|step| step.gather_us),
        probe_us: sum(|step| step.probe_us),
        kind: Kind::Any(steps),
    }
}

fn conjunction(steps: Vec<PlanStep<'_>>, all: f64) -> PlanStep<'_> {
    let rows = steps.iter().map(|step| step.rows).fold(all, f64::min);
    let probe_us = steps.iter().map(|step| step.probe_us).sum();
    let cheapest =
        steps.iter().map(|step| step.gather_us + step.rows * probe_us).fold(f64::INFINITY, f64::min);
    let gather_us = if steps.is_empty() { all * POSTING_US } else { cheapest };
    PlanStep { rows, gather_us, probe_us, kind: Kind::All(steps) }
}

/// The first key after all postings of a value.
pub(super) fn past(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff; 9]].concat()
}

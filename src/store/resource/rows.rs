//! The rows that a query finds, as far as a mask lets them be seen: filters as sets of rows, cut against each other, then
//! masked, then sorted.
use std::collections::HashMap;

use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, ResourceId, parse};
use crate::search::{
    Condition, Filter, Form, Keep, Mask, Matcher, Query, Scope, Sort, SortKey, Term, conditions,
};
use crate::store::key::{Key, Space, row_of};
use crate::store::kv::{Direction, Flow, KeyRange, StoreError};

use super::change::every;
use super::current::Current;
use super::history::HistoryScope;
use super::repository::Repository;

impl Repository<'_> {
    /// The rows of a type that match a query and that the mask lets be seen, in the order asked for (else as they were
    /// created).
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn rows(
        &self,
        def: &'static TypeDef,
        query: &Query,
        mask: &dyn Mask,
    ) -> Result<Vec<u64>, StoreError> {
        if mask.scope(def) == Scope::Nothing {
            return Ok(Vec::new());
        }
        let mut rows: Option<Vec<u64>> = None;
        let mut excluded: Vec<Vec<u64>> = Vec::new();
        for filter in &query.filters {
            let (set, negated) = self.filter_rows(def, filter)?;
            if negated {
                excluded.push(set);
                continue;
            }
            rows = Some(match rows {
                Some(rows) => intersection(&rows, &set),
                None => set,
            });
        }
        let mut rows = match rows {
            Some(rows) => rows,
            None => self.all_rows(def)?,
        };
        for set in excluded {
            rows.retain(|row| set.binary_search(row).is_err());
        }
        if mask.scope(def) == Scope::Unknown {
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                if self.is_visible(def, row, mask)? {
                    kept.push(row);
                }
            }
            rows = kept;
        }
        if !query.sort.is_empty() {
            rows = self.sorted(rows, &query.sort)?;
        }
        Ok(rows)
    }

    /// The ranges of the index that a term reads, for who expects them unchanged.
    #[must_use]
    pub fn term_ranges(&self, def: &TypeDef, term: &Term) -> Vec<KeyRange> {
        let condition = conditions(term).unwrap_or(Condition { negated: false, any_of: Vec::new() });
        if condition.negated {
            return vec![self.type_range(def)];
        }
        condition.any_of.iter().map(|matcher| matcher_range(def, matcher)).collect()
    }

    /// The keys of all resources of a type.
    #[must_use]
    pub fn type_range(&self, def: &TypeDef) -> KeyRange {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        KeyRange::prefix(Key::new(Space::History).short(number).into_bytes())
    }

    /// The key of an id.
    #[must_use]
    pub fn id_range(&self, def: &TypeDef, id: &ResourceId) -> KeyRange {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        KeyRange::prefix(Key::new(Space::Id).short(number).text(id.as_str().as_bytes()).into_bytes())
    }

    /// Whether the mask lets the newest version of a row be seen.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_visible(&self, def: &TypeDef, row: u64, mask: &dyn Mask) -> Result<bool, StoreError> {
        let Some(current) = self.current_of_row(row)? else { return Ok(false) };
        Ok(match mask.keep(def, &current.facts) {
            Keep::Keep => true,
            Keep::Drop => false,
            Keep::NeedResource => self.decide_by_resource(def, &current, mask)?,
        })
    }

    fn decide_by_resource(
        &self,
        def: &TypeDef,
        current: &Current,
        mask: &dyn Mask,
    ) -> Result<bool, StoreError> {
        let mut stored = self.newest(current)?;
        if current.deleted {
            // A deletion has no text: what it deleted decides.
            let before = self.versions(current.row)?.into_iter().nth(1);
            let before = before.map(|sequence| self.version(current.row, sequence)).transpose()?.flatten();
            let Some(before) = before else { return Ok(false) };
            stored = before;
        }
        let tree = parse(stored.text.into_bytes())
            .map_err(|_| StoreError::Corrupt(format!("the text of row {}", current.row)))?;
        Ok(mask.keep_resource(def, tree.root()))
    }

    fn all_rows(&self, def: &TypeDef) -> Result<Vec<u64>, StoreError> {
        let entry = every();
        let mut end = entry.value.clone();
        end.push(0xff);
        end.extend_from_slice(&[0xff; 8]);
        let matcher =
            Matcher { param: entry.param, start: entry.value, end, check: crate::search::Check::None };
        self.matcher_rows(def, &matcher)
    }

    fn filter_rows(&self, def: &'static TypeDef, filter: &Filter) -> Result<(Vec<u64>, bool), StoreError> {
        match filter {
            Filter::Term(term) => {
                // INVARIANT: a query was refused if a term had no conditions.
                let Condition { negated, any_of } =
                    conditions(term).unwrap_or(Condition { negated: false, any_of: Vec::new() });
                let mut rows = Vec::new();
                for matcher in &any_of {
                    rows.extend(self.matcher_rows(def, matcher)?);
                }
                rows.sort_unstable();
                rows.dedup();
                Ok((rows, negated))
            }
            Filter::Id(ids) => {
                let mut rows = Vec::new();
                for id in ids {
                    let current = self.current(def, id)?.filter(|current| !current.deleted);
                    rows.extend(current.map(|current| current.row));
                }
                rows.sort_unstable();
                rows.dedup();
                Ok((rows, false))
            }
            Filter::LastUpdated(intervals) => {
                let mut rows = Vec::new();
                for entry in self.history(HistoryScope::Type(def), None)? {
                    let asked = intervals.iter().any(|(prefix, asked)| is_at(prefix, *asked, entry.time));
                    if !asked {
                        continue;
                    }
                    let current = self.current_of_row(entry.row)?;
                    let is_newest =
                        current.is_some_and(|current| current.sequence == entry.sequence && !current.deleted);
                    if is_newest {
                        rows.push(entry.row);
                    }
                }
                rows.sort_unstable();
                rows.dedup();
                Ok((rows, false))
            }
        }
    }

    fn matcher_rows(&self, def: &TypeDef, matcher: &Matcher) -> Result<Vec<u64>, StoreError> {
        /// Space, type and parameter come before the value.
        const BEFORE_VALUE: usize = 1 + 2 + 4;
        let mut rows = Vec::new();
        self.snapshot.scan(&matcher_range(def, matcher), Direction::Forward, &mut |key, _| {
            let value = key.get(BEFORE_VALUE..key.len().saturating_sub(8)).unwrap_or_default();
            if matcher.accepts(value) {
                rows.extend(row_of(key));
            }
            Flow::Next
        })?;
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// Sorts rows; those without a value come last, and equals stay in the order of their creation.
    fn sorted(&self, mut rows: Vec<u64>, sort: &[Sort]) -> Result<Vec<u64>, StoreError> {
        let mut keys: HashMap<u64, Vec<Option<Vec<u8>>>> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let mut of_row = Vec::with_capacity(sort.len());
            for key in sort {
                of_row.push(self.sort_value(*row, key)?);
            }
            keys.insert(*row, of_row);
        }
        rows.sort_by(|a, b| {
            let (Some(left), Some(right)) = (keys.get(a), keys.get(b)) else { return a.cmp(b) };
            for ((left, right), key) in left.iter().zip(right).zip(sort) {
                let order = match (left, right) {
                    (Some(left), Some(right)) if key.descending => right.cmp(left),
                    (Some(left), Some(right)) => left.cmp(right),
                    (left, right) => right.is_some().cmp(&left.is_some()),
                };
                if order.is_ne() {
                    return order;
                }
            }
            a.cmp(b)
        });
        Ok(rows)
    }

    /// R4 search.html#sort: of several values the lowest counts going up, the highest going down.
    fn sort_value(&self, row: u64, sort: &Sort) -> Result<Option<Vec<u8>>, StoreError> {
        let param = match sort.key {
            SortKey::Param(param) => param,
            SortKey::Id => {
                return Ok(self.current_of_row(row)?.map(|current| current.id.as_str().as_bytes().to_vec()));
            }
            SortKey::LastUpdated => {
                return Ok(self
                    .current_of_row(row)?
                    .map(|current| current.sequence.0.to_be_bytes().to_vec()));
            }
        };
        let entries = self.entries(row)?;
        let values = entries
            .into_iter()
            .filter(|entry| entry.param == param.id && entry.value.first() == Some(&Form::Value.byte()))
            .map(|entry| entry.value);
        Ok(if sort.descending { values.max() } else { values.min() })
    }
}

fn matcher_range(def: &TypeDef, matcher: &Matcher) -> KeyRange {
    let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
    let prefix = Key::new(Space::Posting).short(number).word(matcher.param).into_bytes();
    let with = |value: &[u8]| [prefix.as_slice(), value].concat();
    KeyRange { start: with(&matcher.start), end: with(&matcher.end) }
}

fn is_at(prefix: &str, asked: crate::model::Interval, time: Millis) -> bool {
    match prefix {
        "gt" | "sa" => time >= asked.end,
        "ge" => time >= asked.start,
        "lt" | "eb" => time < asked.start,
        "le" => time < asked.end,
        "ne" => time < asked.start || time >= asked.end,
        _ => asked.start <= time && time < asked.end,
    }
}

fn intersection(left: &[u64], right: &[u64]) -> Vec<u64> {
    let (small, large) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    small.iter().copied().filter(|row| large.binary_search(row).is_ok()).collect()
}

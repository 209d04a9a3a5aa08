//! Counts the matches of a search without reading their texts, unless visibility depends on them.
use std::collections::HashMap;
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::definitions::TypeDef;
use crate::search::Scope;
use crate::store::key::{Key, Space, row_of};
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::current::{self, Current};

use super::super::super::batch::{KeyRange, Sequence};
use super::ranges::{apart_prefix, number};
use super::report::ReportStep;
use super::search::Search;
use super::view::View;

impl Search<'_> {
    /// The number of visible matches.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn count(&self) -> Result<usize, StoreError> {
        let scope = self.view.scope(self.def);
        if scope == Scope::Nothing {
            return Ok(0);
        }
        let begun = Instant::now();
        let mut scanned = 0;
        let set = self.view.gather(self.def, &self.whole, &mut scanned)?;
        let mut count = set.len();
        if scope == Scope::Unknown {
            count = self.view.count_shown(self.def, set, &mut scanned)?;
        }
        self.report.add(ReportStep {
            what: format!("count of {}", self.whole.name()),
            scanned,
            returned: count,
            time: begun.elapsed(),
            ..ReportStep::default()
        });
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// If the next wanted row is further ahead than this, the scan seeks to it; otherwise it reads up to it.
const GAP_MAX: u64 = 32;
/// If a set has fewer rows than one in so many of those between its first and its last, they are read one by one.
const DENSE_SHARE: u64 = 8;

fn is_dense(rows: &RoaringTreemap) -> bool {
    let between = rows.max().unwrap_or(0).saturating_sub(rows.min().unwrap_or(0));
    rows.len().saturating_mul(DENSE_SHARE) > between
}

/// How many row states are held in memory at once.
const STATES_MAX: usize = 1_024;
/// For how many patients the decision on their resources is remembered while rows are counted.
const PATIENTS_MAX: usize = 200_000;

/// The decision on the resources of one type by patient (`None`: of nobody); the inner `None` if each must be looked at.
type ByPatient = HashMap<Option<Box<str>>, Option<bool>>;

impl View<'_> {
    /// How many of these rows of a type are visible.
    fn count_shown(
        &self,
        def: &'static TypeDef,
        mut rows: RoaringTreemap,
        scanned: &mut u64,
    ) -> Result<u64, StoreError> {
        let Some(all) = self.decisions().and_then(|decisions| decisions.keeps_all(def)) else {
            return self.count_one_by_one(&rows);
        };
        let mut apart = RoaringTreemap::new();
        *scanned += self.gather_range(&KeyRange::prefix(apart_prefix(number(def))), None, &mut apart)?;
        apart &= &rows;
        rows -= &apart;
        Ok(if all { rows.len() } else { 0 } + self.count_one_by_one(&apart)?)
    }

    /// How many of these rows are visible. Their states are read in row order, in large pieces.
    fn count_one_by_one(&self, rows: &RoaringTreemap) -> Result<u64, StoreError> {
        let (mut count, mut by_patient) = (0, ByPatient::new());
        let mut from = rows.min();
        while let Some(first) = from {
            let (states, goes_on_at) = if is_dense(rows) {
                self.states(rows, first, (&by_patient, &mut count))?
            } else {
                self.states_of_few(rows, first)?
            };
            from = goes_on_at;
            for state in &states {
                if state.deleted {
                    continue;
                }
                count += u64::from(self.shows_unremembered(state)?);
                let patient = match state.facts.patients.as_slice() {
                    _ if state.facts.sets_apart() => continue,
                    [] => None,
                    [patient] => Some(&**patient),
                    _ => continue,
                };
                if let Some(decisions) = self.decisions()
                    && by_patient.len() < PATIENTS_MAX
                    && !by_patient.contains_key(&patient.map(Box::from))
                {
                    let decision = decisions.keeps_all_of(state.def, patient);
                    by_patient.insert(patient.map(Box::from), decision);
                }
            }
        }
        Ok(count)
    }

    /// The states of the next rows of a set with large gaps.
    fn states_of_few(
        &self,
        rows: &RoaringTreemap,
        first: u64,
    ) -> Result<(Vec<Current>, Option<u64>), StoreError> {
        let mut wanted = rows.iter();
        wanted.advance_to(first);
        let piece: Vec<u64> = wanted.by_ref().take(STATES_MAX).collect();
        Ok((self.repository.current_of_rows(&piece)?, wanted.next()))
    }

    /// The states of the next rows of the set, from `first` on, and the row at which to go on. Rows that `by_patient` decides are
    /// only counted.
    fn states(
        &self,
        rows: &RoaringTreemap,
        first: u64,
        (by_patient, count): (&ByPatient, &mut u64),
    ) -> Result<(Vec<Current>, Option<u64>), StoreError> {
        let at = |row: u64| Key::new(Space::Current).number(row).into_bytes();
        let range = KeyRange { start: at(first), end: vec![Space::Current.byte() + 1] };
        let mut wanted = rows.iter();
        wanted.advance_to(first);
        let mut wanted = wanted.peekable();
        let mut states = Vec::new();
        let (mut failed, mut goes_on_at) = (None, None);
        // Neighbours are mostly about the same patient, so the last decision is compared first.
        let mut last: Option<(&Option<Box<str>>, Option<bool>)> = None;
        self.repository.snapshot().scan(&range, Direction::Forward, &mut |key, value| {
            let Some(row) = row_of(key) else { return Flow::Next };
            while wanted.next_if(|next| *next < row).is_some() {}
            if wanted.next_if_eq(&row).is_some() {
                let known = current::patient_alone(value).and_then(|patient| {
                    if let Some((whose, decision)) = last
                        && whose.as_deref() == patient
                    {
                        return decision;
                    }
                    let (whose, decision) = by_patient.get_key_value(&patient.map(Box::from))?;
                    last = Some((whose, *decision));
                    *decision
                });
                match known {
                    Some(shown) => *count += u64::from(shown),
                    // Only writers need the commit that wrote the state, so it is left out.
                    None => match current::decode(row, value, Sequence(0)) {
                        Ok(state) => states.push(state),
                        Err(error) => failed = Some(error),
                    },
                }
            }
            match wanted.peek() {
                None => Flow::Stop,
                Some(_) if failed.is_some() => Flow::Stop,
                Some(next) if states.len() >= STATES_MAX => {
                    goes_on_at = Some(*next);
                    Flow::Stop
                }
                Some(next) if *next > row.saturating_add(GAP_MAX) => Flow::Seek(at(*next)),
                Some(_) => Flow::Next,
            }
        })?;
        failed.map_or(Ok((states, goes_on_at)), Err)
    }
}

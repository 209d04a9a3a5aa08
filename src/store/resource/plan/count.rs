//! Counts the matches of a search without reading their texts, unless visibility depends on them.
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::search::Scope;
use crate::store::key::{Key, Space, row_of};
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::current::{self, Current};

use super::super::super::batch::{KeyRange, Sequence};
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
            count = self.view.count_shown(&set)?;
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
/// How many row states are held in memory at once.
const STATES_MAX: usize = 1_024;

impl View<'_> {
    /// How many of these rows are visible. Their states are read in row order, in large pieces.
    fn count_shown(&self, rows: &RoaringTreemap) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut from = rows.min();
        while let Some(first) = from {
            let states = self.states(rows, first)?;
            from =
                states.last().and_then(|last| last.row.checked_add(1)).filter(|_| states.len() == STATES_MAX);
            for state in &states {
                count += u64::from(!state.deleted && self.shows_unremembered(state)?);
            }
        }
        Ok(count)
    }

    /// The states of the next rows of the set, from `first` on.
    fn states(&self, rows: &RoaringTreemap, first: u64) -> Result<Vec<Current>, StoreError> {
        let at = |row: u64| Key::new(Space::Current).number(row).into_bytes();
        let range = KeyRange { start: at(first), end: vec![Space::Current.byte() + 1] };
        let mut wanted = rows.iter();
        wanted.advance_to(first);
        let mut wanted = wanted.peekable();
        let mut states = Vec::new();
        let mut failed = None;
        self.repository.snapshot().scan(&range, Direction::Forward, &mut |key, value| {
            let Some(row) = row_of(key) else { return Flow::Next };
            while wanted.next_if(|next| *next < row).is_some() {}
            if wanted.next_if_eq(&row).is_some() {
                // Only writers need the commit that wrote the state, so it is left out.
                match current::decode(row, value, Sequence(0)) {
                    Ok(state) => states.push(state),
                    Err(error) => failed = Some(error),
                }
            }
            match wanted.peek() {
                None => Flow::Stop,
                Some(_) if failed.is_some() || states.len() >= STATES_MAX => Flow::Stop,
                Some(next) if *next > row.saturating_add(GAP_MAX) => Flow::Seek(at(*next)),
                Some(_) => Flow::Next,
            }
        })?;
        failed.map_or(Ok(states), Err)
    }
}

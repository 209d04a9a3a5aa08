//! Translates `_lastUpdated` to commits: the history of a type is ordered by sequence, and so by time too.
use crate::definitions::TypeDef;
use crate::model::{Interval, Millis};
use crate::search::Prefix;
use crate::store::key::{Key, Space, number_at};
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::repository::Repository;

use super::super::super::batch::{KeyRange, Sequence};
use super::ranges::{history_range, number};

/// The ranges of commits (first included, second excluded) that wrote their versions at the requested times.
pub(super) fn sequences(
    repository: &Repository<'_>,
    def: &TypeDef,
    prefix: Prefix,
    asked: Interval,
) -> Result<Vec<(Sequence, Sequence)>, StoreError> {
    let first = Sequence(0);
    let last = Sequence(repository.snapshot().sequence().0 + 1);
    let at = |time: Millis| first_at(repository, def, time);
    // `lastUpdated` of a version is one millisecond, so it lies entirely before, within or after the requested interval.
    Ok(match prefix {
        // The query parser has already widened an approximate interval.
        Prefix::Eq | Prefix::Ap => vec![(at(asked.start)?, at(asked.end)?)],
        Prefix::Ne => vec![(first, at(asked.start)?), (at(asked.end)?, last)],
        Prefix::Gt | Prefix::Sa => vec![(at(asked.end)?, last)],
        Prefix::Ge => vec![(at(asked.start)?, last)],
        Prefix::Lt | Prefix::Eb => vec![(first, at(asked.start)?)],
        Prefix::Le => vec![(first, at(asked.end)?)],
    })
}

impl Repository<'_> {
    /// The last commit that wrote a resource of a type; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn last_commit(&self, def: &TypeDef) -> Result<Option<Sequence>, StoreError> {
        let mut found = None;
        self.snapshot().scan(&history_range(def), Direction::Reverse, &mut |key, _| {
            found = number_at(key, 3).map(Sequence);
            Flow::Stop
        })?;
        Ok(found)
    }
}

/// The first commit in the type's history at or after a time; the one after the snapshot's last if there is none.
fn first_at(repository: &Repository<'_>, def: &TypeDef, time: Millis) -> Result<Sequence, StoreError> {
    let end = repository.snapshot().sequence().0 + 1;
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        // The first version at or after the middle tells in which half the commit lies.
        match version_after(repository, def, middle)? {
            Some((sequence, written)) if written < time => low = sequence + 1,
            _ => high = middle,
        }
    }
    Ok(Sequence(low))
}

fn version_after(
    repository: &Repository<'_>,
    def: &TypeDef,
    sequence: u64,
) -> Result<Option<(u64, Millis)>, StoreError> {
    let start = Key::new(Space::History).short(number(def)).number(sequence).into_bytes();
    let range = KeyRange { start, end: history_range(def).end };
    let mut found = None;
    repository.snapshot().scan(&range, Direction::Forward, &mut |key, value| {
        let time = number_at(value, 0).map(|time| Millis::try_from(time).unwrap_or(Millis::MAX));
        found = number_at(key, 3).zip(time);
        Flow::Stop
    })?;
    Ok(found)
}

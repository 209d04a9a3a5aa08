//! What a search may see: rows that are visible by their facts in the snapshot and, on later pages, also by their current
//! facts.
use std::cell::RefCell;
use std::collections::HashMap;

use crate::definitions::TypeDef;
use crate::model::parse;
use crate::search::{Entry, Keep, Scope, Visibility};
use crate::store::key::{Space, row_of};
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::current::Current;
use crate::store::resource::repository::Repository;

use super::super::super::batch::KeyRange;
use super::ranges::{every_prefix, number, param_prefix, value_of};

/// For how many rows a request remembers the visibility decision.
const REMEMBERED_MAX: usize = 16_384;

/// A snapshot, reduced to what a party may see.
pub struct View<'v> {
    pub(super) repository: &'v Repository<'v>,
    /// The current state, if the snapshot is older.
    now: Option<&'v Repository<'v>>,
    visibility: &'v dyn Visibility,
    decided: RefCell<HashMap<u64, bool>>,
}

impl<'v> View<'v> {
    /// The visible part of a snapshot. With `now`, a row must be visible in both states.
    #[must_use]
    pub fn new(
        repository: &'v Repository<'v>,
        now: Option<&'v Repository<'v>>,
        visibility: &'v dyn Visibility,
    ) -> Self {
        let now = now.filter(|now| now.snapshot().sequence() > repository.snapshot().sequence());
        Self { repository, now, visibility, decided: RefCell::default() }
    }

    /// The snapshot's resources, without the visibility check.
    #[must_use]
    pub fn repository(&self) -> &'v Repository<'v> {
        self.repository
    }

    /// The state of a row that is visible and not deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn current(&self, row: u64) -> Result<Option<Current>, StoreError> {
        match self.repository.current_of_row(row)?.filter(|current| !current.deleted) {
            Some(current) if self.shows(&current)? => Ok(Some(current)),
            _ => Ok(None),
        }
    }

    pub(super) fn scope(&self, def: &TypeDef) -> Scope {
        self.visibility.scope(def)
    }

    /// By which decisions rows are shown that are alike. `None` on later pages, where a row must be visible in two states.
    pub(super) fn decisions(&self) -> Option<&'v dyn Visibility> {
        self.now.is_none().then_some(self.visibility)
    }

    /// Whether a row is visible; does not remember the decision, for callers that ask once for each row.
    pub(super) fn shows_unremembered(&self, current: &Current) -> Result<bool, StoreError> {
        if !permits(self.repository, current, self.visibility)? {
            return Ok(false);
        }
        match self.now {
            Some(now) => match now.current_of_row(current.row)? {
                Some(current) => permits(now, &current, self.visibility),
                None => Ok(false),
            },
            None => Ok(true),
        }
    }

    /// Whether a row is visible. Does not check whether it is deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn shows(&self, current: &Current) -> Result<bool, StoreError> {
        match self.visibility.scope(current.def) {
            Scope::All => return Ok(true),
            Scope::Nothing => return Ok(false),
            Scope::Unknown => {}
        }
        if let Some(decided) = self.decided.borrow().get(&current.row) {
            return Ok(*decided);
        }
        let shown = self.shows_unremembered(current)?;
        let mut decided = self.decided.borrow_mut();
        if decided.len() < REMEMBERED_MAX {
            decided.insert(current.row, shown);
        }
        Ok(shown)
    }
}

impl View<'_> {
    /// The first `values_max` values of a parameter, in index order, that visible resources of a type have.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn values_in_use(
        &self,
        def: &TypeDef,
        param: u32,
        values_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let prefix = param_prefix(number(def), param);
        let mut found = Vec::new();
        let mut failure = None;
        self.repository.snapshot.scan(&KeyRange::prefix(prefix), Direction::Forward, &mut |key, _| {
            if found.len() >= values_max {
                return Flow::Stop;
            }
            let shown = row_of(key).map(|row| self.current(row));
            match shown.transpose() {
                Ok(Some(Some(_))) => {
                    found.push(Entry { param, value: value_of(key).to_vec(), contained: None });
                    let value = key.get(..key.len().saturating_sub(8)).unwrap_or_default();
                    Flow::Seek([value, &[0xff; 9]].concat())
                }
                Ok(_) => Flow::Next,
                Err(error) => {
                    failure = Some(error);
                    Flow::Stop
                }
            }
        })?;
        match failure {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}

impl Repository<'_> {
    /// Up to `len` rows of a type that are not deleted, starting at `from` (included).
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn rows_of_type(&self, def: &TypeDef, from: Option<u64>, len: usize) -> Result<Vec<u64>, StoreError> {
        let mut rows = Vec::new();
        let prefix = every_prefix(number(def));
        let mut range = KeyRange::prefix(prefix.clone());
        if let Some(from) = from {
            range.start = [prefix.as_slice(), &from.to_be_bytes()].concat();
        }
        self.snapshot.scan(&range, Direction::Forward, &mut |key, _| {
            rows.extend(row_of(key));
            if rows.len() < len { Flow::Next } else { Flow::Stop }
        })?;
        Ok(rows)
    }

    /// About how many resources a type has.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn estimate_of_type(&self, def: &TypeDef) -> Result<u64, StoreError> {
        self.snapshot.estimate(&KeyRange::prefix(every_prefix(number(def))))
    }

    /// Whether the store has any resource, even a deleted one.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn has_resources(&self) -> Result<bool, StoreError> {
        let mut found = false;
        let range = KeyRange::prefix(vec![Space::Current.byte()]);
        self.snapshot.scan(&range, Direction::Forward, &mut |_, _| {
            found = true;
            Flow::Stop
        })?;
        Ok(found)
    }

    /// Whether the newest version of a row is visible.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_visible(&self, row: u64, visibility: &dyn Visibility) -> Result<bool, StoreError> {
        let Some(current) = self.current_of_row(row)? else { return Ok(false) };
        permits(self, &current, visibility)
    }
}

fn permits(
    repository: &Repository<'_>,
    current: &Current,
    visibility: &dyn Visibility,
) -> Result<bool, StoreError> {
    Ok(match visibility.keep(current.def, &current.facts) {
        Keep::Keep => true,
        Keep::Drop => false,
        Keep::NeedResource => by_resource(repository, current, visibility)?,
    })
}

fn by_resource(
    repository: &Repository<'_>,
    current: &Current,
    visibility: &dyn Visibility,
) -> Result<bool, StoreError> {
    let mut stored = repository.newest(current)?;
    if current.deleted {
        // A deletion has no text, so the version before it decides.
        let before = repository.versions(current.row)?.into_iter().nth(1);
        let before = before.map(|sequence| repository.version(current.row, sequence)).transpose()?.flatten();
        let Some(before) = before else { return Ok(false) };
        stored = before;
    }
    let tree = parse(stored.text.into_bytes())
        .map_err(|_| StoreError::Corrupt(format!("the text of row {}", current.row)))?;
    Ok(visibility.keep_resource(current.def, tree.root()))
}

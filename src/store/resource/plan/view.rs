//! What a search may see: rows that the mask permits, by their facts at the snapshot and, on later pages, by their facts
//! as they are now.
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

/// Decisions about so many rows are remembered within a request.
const REMEMBERED_MAX: usize = 16_384;

/// A snapshot as a mask lets it be seen.
pub struct View<'v> {
    pub(super) repository: &'v Repository<'v>,
    /// The state of now, where the snapshot is an older one.
    now: Option<&'v Repository<'v>>,
    visibility: &'v dyn Visibility,
    decided: RefCell<HashMap<u64, bool>>,
}

impl<'v> View<'v> {
    /// What the mask shows of a snapshot. With `now`, a row must be permitted by both states.
    #[must_use]
    pub fn new(
        repository: &'v Repository<'v>,
        now: Option<&'v Repository<'v>>,
        visibility: &'v dyn Visibility,
    ) -> Self {
        let now = now.filter(|now| now.snapshot().sequence() > repository.snapshot().sequence());
        Self { repository, now, visibility, decided: RefCell::default() }
    }

    /// The snapshot that is looked at.
    #[must_use]
    pub fn repository(&self) -> &'v Repository<'v> {
        self.repository
    }

    /// What is true of a row that is there and may be seen.
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

    /// Whether a row may be seen, for who asks once of each.
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

    /// Whether a row may be seen. Deletions are for who asks to know.
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
    /// The first values, in their order, of a parameter that some resource of a type has which may be seen.
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
    /// Some rows of a type that are not deleted, from one on (it included).
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

    /// Whether there is or was any resource.
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

    /// Whether the mask lets the newest version of a row be seen.
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
        // A deletion has no text: what it deleted decides.
        let before = repository.versions(current.row)?.into_iter().nth(1);
        let before = before.map(|sequence| repository.version(current.row, sequence)).transpose()?.flatten();
        let Some(before) = before else { return Ok(false) };
        stored = before;
    }
    let tree = parse(stored.text.into_bytes())
        .map_err(|_| StoreError::Corrupt(format!("the text of row {}", current.row)))?;
    Ok(visibility.keep_resource(current.def, tree.root()))
}

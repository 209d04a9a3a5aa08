//! Checks whether one row fulfils a condition: by its entries, by what it refers to, by what refers to it.
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringTreemap;

use crate::definitions::TypeDef;
use crate::model::{ResourceId, Tree, parse};
use crate::search::{Entry, Filter, Matcher, Param, TextCheck, search_params};
use crate::store::key::{Key, Space, number_at, row_of};
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::current::Current;
use crate::store::resource::repository::Repository;

use super::super::super::batch::KeyRange;
use super::super::entries::{decode_entries, entries_value, raw_entries};
use super::ranges::{matcher_range, number};
use super::step::{Kind, PlanStep, Target};
use super::view::View;

/// What is read of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    States,
    StatesAndEntries,
}

/// A row with a cache of what was read of it.
pub(super) struct RowView<'v> {
    pub(super) row: u64,
    view: &'v View<'v>,
    entries: OnceCell<Bytes>,
    current: OnceCell<Option<Current>>,
}

impl<'v> RowView<'v> {
    pub(super) fn new(view: &'v View<'v>, row: u64) -> Self {
        Self { row, view, entries: OnceCell::new(), current: OnceCell::new() }
    }

    /// The state of the row; `None` if it is deleted.
    pub(super) fn current(&self) -> Result<Option<&Current>, StoreError> {
        if self.current.get().is_none() {
            let found = self.view.repository.current_of_row(self.row)?.filter(|current| !current.deleted);
            // Cannot fail: the cell was empty.
            let _ = self.current.set(found);
        }
        Ok(self.current.get().and_then(Option::as_ref))
    }

    fn raw(&self) -> Result<&Bytes, StoreError> {
        if self.entries.get().is_none() {
            // Cannot fail: the cell was empty.
            let _ = self.entries.set(entries_value(self.view.repository.snapshot(), self.row)?);
        }
        Ok(self.entries.get_or_init(Bytes::new))
    }

    /// The entries of the resource itself, without those of contained resources.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.all_entries()?;
        entries.retain(|entry| entry.contained.is_none());
        Ok(entries)
    }

    /// The entries of the resource and of its contained resources.
    pub(super) fn all_entries(&self) -> Result<Vec<Entry>, StoreError> {
        decode_entries(self.raw()?, self.row)
    }

    /// The parsed resource; `None` if it is deleted.
    pub(super) fn tree(&self) -> Result<Option<Tree>, StoreError> {
        let Some(current) = self.current()? else { return Ok(None) };
        let stored = self.view.repository.newest(current)?;
        let corrupt = |_| StoreError::Corrupt(format!("the text of row {}", self.row));
        parse(stored.text.into_bytes()).map(Some).map_err(corrupt)
    }

    pub(super) fn view(&self) -> &'v View<'v> {
        self.view
    }

    /// Whether the row is visible and not deleted.
    pub(super) fn is_shown(&self) -> Result<bool, StoreError> {
        match self.current()? {
            Some(current) => self.view.shows(current),
            None => Ok(false),
        }
    }

    /// Visits parameter and value of the resource's own entries.
    pub(super) fn each_entry(&self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
        raw_entries(self.raw()?, visit);
        Ok(())
    }

    fn has_entry(&self, matchers: &[Matcher]) -> Result<bool, StoreError> {
        let mut found = false;
        raw_entries(self.raw()?, &mut |param, value| {
            found = found
                || matchers.iter().any(|matcher| {
                    matcher.param == param
                        && matcher.start.as_slice() <= value
                        && value < matcher.end.as_slice()
                        && matcher.check.accepts(value)
                });
        });
        Ok(found)
    }

    /// Whether the row fulfils a condition.
    pub(super) fn fulfils(&self, step: &PlanStep<'_>) -> Result<bool, StoreError> {
        match &step.kind {
            Kind::Values(_, matchers) | Kind::Ranges(matchers) => self.has_entry(matchers),
            Kind::Rows(rows) => Ok(rows.binary_search(&self.row).is_ok()),
            Kind::Updated(from, to) => {
                Ok(self.current()?.is_some_and(|current| (*from..*to).contains(&current.sequence)))
            }
            Kind::Text(param, check) => self.has_text(param, check),
            Kind::Chain(param, targets) => self.refers(param, targets),
            Kind::Has(param, target) => self.is_referred(param, target),
            Kind::Within(param, rows, links) => {
                Ok(rows.contains(self.row) && self.refers_within(param, links)?)
            }
            Kind::FromWithin(param, rows, link) => self.is_referred_from_within(param, rows, link),
            Kind::All(steps) => {
                for step in steps {
                    if !self.fulfils(step)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::Any(steps) => {
                for step in steps {
                    if self.fulfils(step)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Kind::Not(step) => Ok(!self.fulfils(step)?),
        }
    }

    fn has_text(&self, param: &Arc<Param>, check: &TextCheck) -> Result<bool, StoreError> {
        let Some(tree) = self.tree()? else { return Ok(false) };
        Ok(check.accepts(param, tree.root()))
    }

    fn refers(&self, param: &Param, targets: &[Target<'_>]) -> Result<bool, StoreError> {
        for entry in self.entries()?.iter().filter(|entry| entry.param == param.id) {
            for target in targets {
                for row in self.view.targets(entry, target.def)? {
                    let other = RowView::new(self.view, row);
                    if other.is_shown()? && other.fulfils(&target.step)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn is_referred(&self, param: &Param, target: &Target<'_>) -> Result<bool, StoreError> {
        let Some(current) = self.current()? else { return Ok(false) };
        let mut found = Vec::new();
        for filter in self.view.referring_filters(self, current, param)? {
            found.extend(self.view.rows_of(target.def, &filter)?);
        }
        for row in found {
            let other = RowView::new(self.view, row);
            // The condition is checked first, since it costs less than the visibility.
            if other.fulfils(&target.step)? && other.is_shown()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Repository<'_> {
    /// The rows of a type that refer to a resource by a parameter, whether they are visible or not.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn referrers(
        &self,
        def: &TypeDef,
        param: &Param,
        type_name: &str,
        id: &str,
    ) -> Result<Vec<u64>, StoreError> {
        self.rows_with(def, &Filter::refers(param, type_name, id))
    }

    /// Adds the rows of all postings within these ranges. Most ranges are expected to be short.
    pub(super) fn rows_within(
        &self,
        ranges: &[KeyRange],
        rows: &mut RoaringTreemap,
    ) -> Result<(), StoreError> {
        const SHORT: usize = 32;
        let mut counts = vec![0_usize; ranges.len()];
        self.snapshot.first_of_each(ranges, Direction::Forward, SHORT, &mut |place, key| {
            rows.extend(row_of(key));
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        })?;
        for (range, _) in ranges.iter().zip(counts).filter(|(_, count)| *count >= SHORT) {
            self.snapshot.scan(range, Direction::Forward, &mut |key, _| {
                rows.extend(row_of(key));
                Flow::Next
            })?;
        }
        Ok(())
    }

    /// The rows with an entry that the filter matches, in order. Ignores the checks of its matchers.
    fn rows_with(&self, def: &TypeDef, filter: &Filter) -> Result<Vec<u64>, StoreError> {
        let Filter::Entries(matchers) = filter else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for matcher in matchers {
            let range: KeyRange = matcher_range(number(def), matcher);
            self.snapshot.scan(&range, Direction::Forward, &mut |key, _| {
                rows.extend(row_of(key));
                Flow::Next
            })?;
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }
}

impl View<'_> {
    /// The rows of a type that a reference leads to: one row, or, for a canonical URL, one for each version.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn targets(&self, entry: &Entry, def: &'static TypeDef) -> Result<Vec<u64>, StoreError> {
        if let Some((type_name, id)) = entry.reference() {
            let id = ResourceId::parse(&id).filter(|_| type_name == *def.name);
            return Ok(match id {
                Some(id) => self.repository.row_of(def, &id)?.into_iter().collect(),
                None => Vec::new(),
            });
        }
        let (Some((url, version)), Some(of_url)) = (entry.canonical(), search_params().find(def, "url"))
        else {
            return Ok(Vec::new());
        };
        let rows = self.rows_of(def, &Filter::uri(of_url, &url))?;
        let Some(of_version) = search_params().find(def, "version").filter(|_| !version.is_empty()) else {
            return Ok(rows);
        };
        let versions = self.rows_of(def, &Filter::codes(of_version, &[(None, version)]))?;
        Ok(rows.into_iter().filter(|row| versions.contains(row)).collect())
    }

    /// The rows of a type that refer to a resource by a parameter, with its id or its canonical URL.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn referrers(&self, def: &TypeDef, param: &Param, current: &Current) -> Result<Vec<u64>, StoreError> {
        let row = RowView::new(self, current.row);
        let mut rows = Vec::new();
        for filter in self.referring_filters(&row, current, param)? {
            rows.extend(self.rows_of(def, &filter)?);
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// The filters for resources that refer to a row by a parameter; such a resource fulfils at least one of them.
    pub(super) fn referring_filters(
        &self,
        row: &RowView<'_>,
        current: &Current,
        param: &Param,
    ) -> Result<Vec<Filter>, StoreError> {
        let mut filters = vec![Filter::refers(param, &current.def.name, current.id.as_str())];
        let params = search_params();
        let Some(of_url) = params.find(current.def, "url") else { return Ok(filters) };
        let entries = row.entries()?;
        let Some(url) = entries.iter().find(|entry| entry.param == of_url.id).and_then(Entry::uri) else {
            return Ok(filters);
        };
        // R4 references.html#canonical: a reference that names a version refers to that version alone.
        let has_version = params
            .find(current.def, "version")
            .is_some_and(|of_version| entries.iter().any(|entry| entry.param == of_version.id));
        let version = if has_version {
            row.tree()?.and_then(|tree| tree.root().str_at("version").map(str::to_owned))
        } else {
            None
        };
        filters.push(match version {
            Some(version) => Filter::refers_to_version(param, &url, &version),
            None => Filter::refers_to_version(param, &url, ""),
        });
        Ok(filters)
    }

    /// Announces what will be read of these rows.
    pub(super) fn announce_rows(&self, rows: &[u64], read: Read) -> Result<(), StoreError> {
        let key = |space: Space, row: &u64| Key::new(space).number(*row).into_bytes();
        let states = rows.iter().map(|row| key(Space::Current, row));
        let entries = rows.iter().filter(|_| read == Read::StatesAndEntries);
        let entries = entries.map(|row| key(Space::Entries, row));
        self.repository.snapshot().announce(&mut states.chain(entries))
    }

    /// Announces that the resources to which these entries refer will be read.
    pub(super) fn announce_targets(&self, entries: &[Entry], def: &TypeDef) -> Result<(), StoreError> {
        let snapshot = self.repository.snapshot();
        let id_keys = || {
            let named = entries.iter().filter_map(Entry::reference);
            let of_type = named.filter(|(type_name, _)| *type_name == *def.name);
            of_type.map(|(_, id)| Key::new(Space::Id).short(number(def)).text(id.as_bytes()).into_bytes())
        };
        snapshot.announce(&mut id_keys())?;
        // Made only if the store asks for them.
        let mut states = id_keys().filter_map(|key| {
            let (value, _) = snapshot.get(&key).ok()??;
            Some(Key::new(Space::Current).number(number_at(&value, 0)?).into_bytes())
        });
        snapshot.announce(&mut states)
    }

    pub(super) fn rows_of(&self, def: &TypeDef, filter: &Filter) -> Result<Vec<u64>, StoreError> {
        self.repository.rows_with(def, filter)
    }
}

//! Finds resources by what they contain (R4 search.html#contained).
use roaring::RoaringTreemap;

use crate::definitions::{TypeDef, r4};
use crate::model::ResourceId;
use crate::search::{EVERY, Entry, Filter, of_binary};
use crate::store::key::row_of;
use crate::store::kv::{Direction, Flow, StoreError};
use crate::store::resource::repository::Repository;

use super::super::super::batch::KeyRange;
use super::super::entries::CONTAINED;
use super::ranges::{entry_prefix, matcher_range, number, value_of};
use super::view::View;

impl Repository<'_> {
    /// The rows of any type that refer to a Binary.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn rows_with_binary(&self, id: &ResourceId) -> Result<Vec<u64>, StoreError> {
        let Some(def) = r4().resource("Binary") else { return Ok(Vec::new()) };
        let prefix = entry_prefix(number(def) | CONTAINED, &of_binary(id.as_str()));
        let mut rows = Vec::new();
        self.snapshot().scan(&KeyRange::prefix(prefix), Direction::Forward, &mut |key, _| {
            rows.extend(row_of(key));
            Flow::Next
        })?;
        Ok(rows)
    }
}

impl View<'_> {
    /// The visible rows, of any type, that contain a resource of type `def` which may fulfil the conditions. The index cannot
    /// tell whether a single contained resource fulfils all of them, so the caller has to look into the resources.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn containers(&self, def: &TypeDef, filters: &[Filter]) -> Result<Vec<u64>, StoreError> {
        let mut shown = Vec::new();
        for row in self.container_rows(def, filters)? {
            if self.current(row)?.is_some() {
                shown.push(row);
            }
        }
        Ok(shown)
    }

    /// The same rows, whether they are visible or not.
    pub(super) fn container_rows(
        &self,
        def: &TypeDef,
        filters: &[Filter],
    ) -> Result<RoaringTreemap, StoreError> {
        let number = number(def) | CONTAINED;
        let mut rows: Option<RoaringTreemap> = None;
        for filter in filters {
            let Filter::Entries(matchers) = filter else { continue };
            let mut found = RoaringTreemap::new();
            for matcher in matchers {
                let accepts = |value: &[u8]| matcher.check.accepts(value);
                found |= self.rows_in(&matcher_range(number, matcher), &accepts)?;
            }
            rows = Some(match rows {
                Some(rows) => rows & found,
                None => found,
            });
        }
        match rows {
            Some(rows) => Ok(rows),
            None => {
                let every = KeyRange::prefix(entry_prefix(number, &Entry::present(EVERY)));
                self.rows_in(&every, &|_| true)
            }
        }
    }

    pub(super) fn rows_in(
        &self,
        range: &KeyRange,
        accepts: &dyn Fn(&[u8]) -> bool,
    ) -> Result<RoaringTreemap, StoreError> {
        let mut rows = RoaringTreemap::new();
        self.repository().snapshot().scan(range, Direction::Forward, &mut |key, _| {
            if let Some(row) = row_of(key).filter(|_| accepts(value_of(key))) {
                rows.insert(row);
            }
            Flow::Next
        })?;
        Ok(rows)
    }
}

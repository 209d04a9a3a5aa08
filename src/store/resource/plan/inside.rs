//! Chains that begin or end in a contained resource (R4 search.html#contained). A contained resource has no row of its own: it
//! is read within its container, and the visibility of the container decides.
use roaring::RoaringTreemap;

use crate::definitions::{TypeDef, r4};
use crate::model::Node;
use crate::search::{Entry, Filter, Link, Param, entries, fulfils, search_params};
use crate::store::kv::StoreError;

use super::super::entries::CONTAINED;
use super::probe::RowView;
use super::ranges::{matcher_range, number};
use super::step::PlanStep;

/// A parsed container and its row.
struct Container<'c> {
    row: &'c RowView<'c>,
    root: Node<'c>,
}

impl RowView<'_> {
    /// Whether the row refers by the parameter to a resource that it contains and that fulfils one of the links.
    pub(super) fn refers_within(&self, param: &Param, links: &[Link]) -> Result<bool, StoreError> {
        let Some(tree) = self.tree()? else { return Ok(false) };
        let container = Container { row: self, root: tree.root() };
        container.leads_to(&self.entries()?, param, links)
    }

    /// The rows of type `def` to which a resource refers that this row contains and that fulfils the link; none if this row is
    /// not visible.
    pub(super) fn referred_from_within(
        &self,
        param: &Param,
        link: &Link,
        def: &'static TypeDef,
    ) -> Result<Vec<u64>, StoreError> {
        let mut rows = Vec::new();
        if !self.is_shown()? {
            return Ok(rows);
        }
        let Some(tree) = self.tree()? else { return Ok(rows) };
        let container = Container { row: self, root: tree.root() };
        for inner in container.of_type(link.def) {
            let own = container.entries_of(inner)?;
            if !container.fulfils(inner, &own, &link.filter)? {
                continue;
            }
            for entry in own.iter().filter(|entry| entry.param == param.id) {
                rows.extend(self.view().targets(entry, def)?);
            }
        }
        Ok(rows)
    }

    /// Whether one of `rows` contains a resource that fulfils the link and refers to this row.
    pub(super) fn is_referred_from_within(
        &self,
        param: &Param,
        rows: &RoaringTreemap,
        link: &Link,
    ) -> Result<bool, StoreError> {
        let Some(current) = self.current()? else { return Ok(false) };
        for filter in self.view().referring_filters(self, current, param)? {
            let Filter::Entries(matchers) = filter else { continue };
            for matcher in &matchers {
                let range = matcher_range(number(link.def) | CONTAINED, matcher);
                let found = self.view().rows_in(&range, &|value| matcher.check.accepts(value))?;
                for row in found & rows {
                    let other = RowView::new(self.view(), row);
                    if other.referred_from_within(param, link, current.def)?.contains(&self.row) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

impl<'c> Container<'c> {
    fn of_type(&self, def: &TypeDef) -> impl Iterator<Item = Node<'c>> + use<'c> {
        let name = def.name.to_string();
        self.root.items_at("contained").filter(move |inner| inner.str_at("resourceType") == Some(&name))
    }

    /// The entries of a contained resource. Entries of parameters that SearchParameter resources define come from the index. It
    /// does not tell contained resources of one type apart, so they are included only if no other one has the same type.
    fn entries_of(&self, inner: Node<'_>) -> Result<Vec<Entry>, StoreError> {
        let mut own = entries(search_params(), inner);
        let def = inner.str_at("resourceType").and_then(|name| r4().resource(name));
        if let Some(def) = def.filter(|def| self.of_type(def).count() == 1) {
            let stored = self.row.all_entries()?.into_iter();
            let of_it = stored.filter(|entry| entry.contained == Some(number(def)));
            own.extend(of_it.map(|entry| Entry { contained: None, ..entry }));
            own.sort_unstable();
            own.dedup();
        }
        Ok(own)
    }

    /// Whether a contained resource fulfils a condition. It has no `lastUpdated`, and nothing outside its container refers to it.
    fn fulfils(&self, inner: Node<'_>, own: &[Entry], filter: &Filter) -> Result<bool, StoreError> {
        match filter {
            Filter::Entries(_) | Filter::Text(..) | Filter::Id(_) => {
                Ok(fulfils(filter, inner, own, None).unwrap_or(false))
            }
            Filter::All(filters) => {
                for filter in filters {
                    if !self.fulfils(inner, own, filter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Any(filters) => {
                for filter in filters {
                    if self.fulfils(inner, own, filter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::Not(filter) => Ok(!self.fulfils(inner, own, filter)?),
            Filter::Chain(param, links) => self.leads_to(own, param, links),
            Filter::LastUpdated(..) | Filter::Has(..) | Filter::Lookup(_) => Ok(false),
        }
    }

    /// Whether an entry of the parameter refers to a resource that fulfils one of the links: within the container, or elsewhere
    /// if that resource is visible.
    fn leads_to(&self, own: &[Entry], param: &Param, links: &[Link]) -> Result<bool, StoreError> {
        let view = self.row.view();
        // Planned only when needed, since planning costs more than checking one row.
        let mut steps: Vec<Option<PlanStep<'_>>> = links.iter().map(|_| None).collect();
        for entry in own.iter().filter(|entry| entry.param == param.id) {
            for (link, known) in links.iter().zip(&mut steps) {
                if let Some(id) = entry.fragment() {
                    for inner in self.of_type(link.def).filter(|inner| inner.str_at("id") == Some(&id)) {
                        if self.fulfils(inner, &self.entries_of(inner)?, &link.filter)? {
                            return Ok(true);
                        }
                    }
                    continue;
                }
                for row in view.targets(entry, link.def)? {
                    let step = match known.take() {
                        Some(step) => step,
                        None => view.step(link.def, &link.filter)?,
                    };
                    let other = RowView::new(view, row);
                    let fulfils = other.is_shown()? && other.fulfils(&step)?;
                    *known = Some(step);
                    if fulfils {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

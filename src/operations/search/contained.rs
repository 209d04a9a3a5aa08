//! Contained resources as matches (R4 search.html#contained). Their containers are found by the index and looked at one by one,
//! because all conditions must hold for the same contained resource.
use crate::model::{IssueCode, parse};
use crate::search::{Contained, Filter, entries, fulfils};
use crate::store::{Report, Search, View, Way};

use super::super::answer::Refusal;
use super::page::{Hit, Page};
use super::part::Part;

impl Page<'_, '_> {
    /// All matches. With `_contained=both` the resources that are not contained come first.
    pub(super) fn contained(&self, view: &View<'_>, report: &Report) -> Result<Vec<Hit>, Refusal> {
        if !self.query.sort.is_empty() {
            let message = "`_sort` cannot be combined with `_contained`";
            return Err(Refusal::bad_request(IssueCode::NotSupported, message));
        }
        let limit = self.session.context.options.listed_max;
        let mut hits = Vec::new();
        for part in &self.parts {
            let filter = part.filters.first().cloned().unwrap_or(Filter::All(Vec::new()));
            if self.query.contained == Contained::Both {
                let search = Search::new(view, part.def, &filter, &[], report)?;
                let rows = search.page(None, Way::Onward, limit.saturating_add(1))?;
                if rows.len() > limit {
                    let message = format!("a search of contained resources finds more than {limit} others");
                    return Err(Refusal::bad_request(IssueCode::TooCostly, message));
                }
                hits.extend(rows.into_iter().map(|row| Hit { row, contained: None }));
            }
            self.contained_of(view, part, &filter, &mut hits)?;
        }
        Ok(hits)
    }

    fn contained_of(
        &self,
        view: &View<'_>,
        part: &Part,
        filter: &Filter,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Refusal> {
        let conditions = match filter {
            Filter::All(filters) => filters.as_slice(),
            other => std::slice::from_ref(other),
        };
        for row in view.containers(part.def, conditions)? {
            let Some(current) = view.current(row)? else { continue };
            let stored = view.repository().newest(&current)?;
            let Ok(tree) = parse(stored.text.into_bytes()) else { continue };
            for resource in tree.root().items_at("contained") {
                if resource.str_at("resourceType") != Some(&part.def.name) {
                    continue;
                }
                let own = entries(&self.session.params, resource);
                let is_match = fulfils(filter, resource, &own, None)
                    .map_err(|message| Refusal::bad_request(IssueCode::NotSupported, message))?;
                if !is_match {
                    continue;
                }
                let id = resource.str_at("id").map(str::to_owned);
                let hit = Hit { row, contained: id.filter(|_| self.query.gives_contained) };
                if !hits.contains(&hit) {
                    hits.push(hit);
                }
            }
        }
        Ok(())
    }
}

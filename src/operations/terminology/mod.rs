//! Conditions that depend on other resources: value sets, hierarchies of codes and of places, Lists. They are looked up as the
//! party sees them and become conditions on index entries before a search is planned.

mod codes;
mod parts;
mod value_set;

use crate::definitions::{TypeDef, r4};
use crate::model::{IssueCode, Reference, ReferenceTarget, ResourceId, Tree, parse};
use crate::search::{Filter, Link, Lookup};
use crate::store::{Report, Search, View, Way};

use super::answer::Refusal;
use super::session::Session;

/// Conditions that need more codes or parts are refused.
const CODES_MAX: usize = 10_000;
/// How deep value sets may include each other.
const NESTING_MAX: usize = 8;

/// A condition in which all look-ups are resolved.
pub(super) fn looked_up(
    session: &Session<'_>,
    view: &View<'_>,
    def: &'static TypeDef,
    filter: Filter,
) -> Result<Filter, Refusal> {
    let lookups = Lookups { session, view };
    lookups.resolve(def, filter)
}

/// What look-ups read.
struct Lookups<'l> {
    session: &'l Session<'l>,
    view: &'l View<'l>,
}

impl Lookups<'_> {
    fn resolve(&self, def: &'static TypeDef, filter: Filter) -> Result<Filter, Refusal> {
        let each = |filters: Vec<Filter>| -> Result<Vec<Filter>, Refusal> {
            filters.into_iter().map(|filter| self.resolve(def, filter)).collect()
        };
        let link = |link: Link| -> Result<Link, Refusal> {
            Ok(Link { def: link.def, filter: Box::new(self.resolve(link.def, *link.filter)?) })
        };
        Ok(match filter {
            Filter::All(filters) => Filter::All(each(filters)?),
            Filter::Any(filters) => Filter::Any(each(filters)?),
            Filter::Not(filter) => Filter::Not(Box::new(self.resolve(def, *filter)?)),
            Filter::Chain(param, links) => {
                let links: Result<Vec<Link>, Refusal> = links.into_iter().map(link).collect();
                Filter::Chain(param, links?)
            }
            Filter::Has(param, target) => Filter::Has(param, link(target)?),
            Filter::Lookup(lookup) => match lookup {
                Lookup::InValueSet(param, value) => Filter::codes(&param, &self.value_set(&value, 0)?),
                Lookup::Hierarchy(param, way, value) => Filter::codes(&param, &self.hierarchy(way, &value)?),
                Lookup::Parts(param, way, value) => self.parts(&param, way, &value)?,
                Lookup::List(id) => Filter::Id(self.list(def, &id)?),
            },
            plain @ (Filter::Entries(_) | Filter::Text(..) | Filter::Id(_) | Filter::LastUpdated(..)) => {
                plain
            }
        })
    }

    /// The rows of a type that fulfil a condition, as the party sees them; too many are refused.
    fn rows(&self, def: &'static TypeDef, filter: &Filter) -> Result<Vec<u64>, Refusal> {
        let report = Report::default();
        let found =
            Search::new(self.view, def, filter, &[], &report)?.page(None, Way::Onward, CODES_MAX + 1)?;
        if found.len() > CODES_MAX { Err(too_many()) } else { Ok(found) }
    }

    /// The resource in a row, if the party may see it.
    fn tree(&self, row: u64) -> Result<Option<Tree>, Refusal> {
        let Some(current) = self.view.current(row)? else { return Ok(None) };
        let stored = self.view.repository().newest(&current)?;
        Ok(parse(stored.text.into_bytes()).ok())
    }

    /// The resources of a type with this canonical URL (`url` or `url|version`).
    fn by_url(&self, type_name: &str, url: &str) -> Result<Vec<Tree>, Refusal> {
        let params = &self.session.params;
        let Some(def) = r4().resource(type_name) else { return Ok(Vec::new()) };
        let (url, version) = url.split_once('|').map_or((url, None), |(url, version)| (url, Some(version)));
        let mut filters: Vec<Filter> =
            params.find(def, "url").map(|param| Filter::uri(param, url)).into_iter().collect();
        if let (Some(version), Some(param)) = (version, params.find(def, "version")) {
            filters.push(Filter::codes(param, &[(None, version.to_owned())]));
        }
        let mut found = Vec::new();
        for row in self.rows(def, &Filter::all(filters))? {
            found.extend(self.tree(row)?);
        }
        Ok(found)
    }

    fn by_id(&self, type_name: &str, id: &ResourceId) -> Result<Option<Tree>, Refusal> {
        let Some(def) = r4().resource(type_name) else { return Ok(None) };
        let rows = self.rows(def, &Filter::Id(vec![id.clone()]))?;
        rows.first().map_or(Ok(None), |row| self.tree(*row))
    }

    /// R4 search.html#list: the resources in the List's entries, without those marked as deleted.
    fn list(&self, def: &TypeDef, id: &ResourceId) -> Result<Vec<ResourceId>, Refusal> {
        let Some(list) = self.by_id("List", id)? else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        for entry in list.root().items_at("entry") {
            if entry.get("deleted").is_some_and(|deleted| deleted.text() == "true") {
                continue;
            }
            let reference = entry.get("item").and_then(|item| item.str_at("reference"));
            if let Some(ReferenceTarget::Relative(key)) = reference.map(|text| Reference::parse(text).target)
                && key.type_name == &*def.name
            {
                ids.push(key.id);
            }
        }
        Ok(ids)
    }
}

fn too_many() -> Refusal {
    Refusal::bad_request(IssueCode::TooCostly, format!("a search looks up at most {CODES_MAX} codes"))
}

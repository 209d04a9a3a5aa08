//! The inventory of what can be searched: parameters with values, referring resources, and known value sets.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chartward::definitions::{ParamType, SearchParamRow, r4};

use crate::oracle::condition::is_phonetic;
use crate::oracle::corpus::{Oracle, params};
use crate::oracle::occurrence::{Occurrence, Pointer};
use crate::oracle::value_set::Members;

type Row = &'static SearchParamRow;

/// A value set with the names that it can be queried by.
pub struct NamedSet {
    pub names: Vec<String>,
    pub members: Members,
}

pub struct Inventory {
    /// The parameters of each type that have a value in some resource.
    pub rows: BTreeMap<&'static str, Vec<Row>>,
    /// Those whose sort order is well defined.
    pub sortable: BTreeMap<&'static str, Vec<Row>>,
    /// The same, by parameter type.
    pub places: HashMap<ParamType, Vec<(&'static str, Row)>>,
    /// The resources that refer to each resource, with the parameter.
    pub referrers: HashMap<usize, Vec<(usize, Row)>>,
    pub sets: Vec<NamedSet>,
}

impl Inventory {
    pub fn of(oracle: &Oracle) -> Self {
        let mut inventory = Self {
            rows: BTreeMap::new(),
            sortable: BTreeMap::new(),
            places: HashMap::new(),
            referrers: HashMap::new(),
            sets: stored_sets(oracle),
        };
        inventory.sets.extend(standard_sets(oracle));
        for type_name in oracle.types() {
            for row in params(type_name) {
                if row.expression.is_some() {
                    inventory.take_in(oracle, type_name, row);
                }
            }
        }
        inventory
    }

    fn take_in(&mut self, oracle: &Oracle, type_name: &'static str, row: Row) {
        let column = oracle.column(type_name, row);
        if column.iter().all(|(_, found)| found.is_empty()) {
            return;
        }
        self.rows.entry(type_name).or_default().push(row);
        self.places.entry(row.kind).or_default().push((type_name, row));
        if is_sortable(row, &column) {
            self.sortable.entry(type_name).or_default().push(row);
        }
        for (number, found) in column.iter() {
            for target in found.iter().filter_map(|occurrence| linked(oracle, *number, occurrence)) {
                self.referrers.entry(target).or_default().push((*number, row));
            }
        }
    }
}

/// The target of a reference. Canonicals are left out, because the standard does not say whether they are links.
pub fn linked(oracle: &Oracle, from: usize, occurrence: &Occurrence) -> Option<usize> {
    match occurrence {
        Occurrence::Reference(Pointer { url: None, .. }) => oracle.target(from, occurrence),
        _ => None,
    }
}

/// Whether the sort order is defined: it is not for texts without a code and references to other servers.
fn is_sortable(row: Row, column: &[(usize, Vec<Occurrence>)]) -> bool {
    let is_clear = |occurrence: &Occurrence| match occurrence {
        Occurrence::Token(token) => token.code.is_some(),
        Occurrence::Reference(Pointer { local, url, .. }) => local.is_some() && url.is_none(),
        Occurrence::Composite(_) | Occurrence::Position(_) => false,
        _ => true,
    };
    !is_phonetic(row) && column.iter().all(|(_, found)| found.iter().all(is_clear))
}

/// The stored value sets; a URL is a name only if it identifies a single set.
fn stored_sets(oracle: &Oracle) -> Vec<NamedSet> {
    let mut sets = Vec::new();
    for number in oracle.all("ValueSet") {
        let resource = &oracle.resources[*number];
        let name = resource.key.to_string();
        let Ok(members) = oracle.members(&name) else { continue };
        let url = resource
            .root()
            .str_at("url")
            .filter(|url| oracle.with_url("ValueSet", url).len() == 1 && r4().value_set(url).is_none());
        let names = std::iter::once(name).chain(url.map(str::to_owned)).collect();
        sets.push(NamedSet { names, members });
    }
    sets
}

fn standard_sets(oracle: &Oracle) -> Vec<NamedSet> {
    let bindings = r4().types().flat_map(|def| def.elements.iter()).filter_map(|of| of.binding.as_ref());
    let urls: BTreeSet<&str> = bindings.map(|(_, url)| &**url).collect();
    urls.into_iter()
        .filter(|url| oracle.with_url("ValueSet", url).is_empty())
        .filter_map(|url| {
            let members = Members::Standard(r4().value_set(url)?);
            Some(NamedSet { names: vec![url.to_owned()], members })
        })
        .collect()
}

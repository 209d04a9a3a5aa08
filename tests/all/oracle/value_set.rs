//! Value sets, stored ones and the standard's own, as membership tests for codes.
use std::collections::{HashMap, HashSet};

use chartward::definitions::{ValueSet, r4};
use chartward::model::{Node, Reference, ResourceKey};

use super::corpus::{OWN_BASE, Oracle};
use super::occurrence::{System, Token};

/// The maximum depth of value sets that include others.
const NESTING_MAX: usize = 16;

/// The codes of a value set.
pub enum Members {
    Standard(&'static ValueSet),
    /// An expansion: the systems of each code.
    Listed(HashMap<String, HashSet<String>>),
    Composed {
        includes: Vec<Clause>,
        excludes: Vec<Clause>,
    },
}

/// One `include` or `exclude`: codes of a system that are also in all of the sets.
pub struct Clause {
    codes: Option<(String, HashSet<String>)>,
    sets: Vec<Members>,
}

impl Clause {
    fn contains(&self, system: Option<&str>, code: &str) -> bool {
        let listed = self.codes.as_ref().is_none_or(|(own, codes)| {
            system.is_none_or(|system| system == own.as_str()) && codes.contains(code)
        });
        listed && self.sets.iter().all(|set| set.contains(system, code))
    }
}

impl Members {
    /// Whether the code is a member; without a system, only the code is compared.
    fn contains(&self, system: Option<&str>, code: &str) -> bool {
        match self {
            Self::Standard(set) => set.contains(system, code),
            Self::Listed(codes) => {
                codes.get(code).is_some_and(|systems| system.is_none_or(|system| systems.contains(system)))
            }
            Self::Composed { includes, excludes } => {
                includes.iter().any(|clause| clause.contains(system, code))
                    && !excludes.iter().any(|clause| clause.contains(system, code))
            }
        }
    }

    pub fn finds(&self, token: &Token) -> bool {
        let Some(code) = &token.code else { return false };
        match &token.system {
            System::None => false,
            System::Implied => self.contains(None, code),
            System::Named(system) => self.contains(Some(system.as_str()), code),
        }
    }
}

impl Oracle {
    /// The members of a value set, by its URL or as `ValueSet/id`.
    pub fn members(&self, name: &str) -> Result<Members, String> {
        self.nested_members(name, 0)
    }

    fn nested_members(&self, name: &str, depth: usize) -> Result<Members, String> {
        if depth > NESTING_MAX {
            return Err(format!("`{name}` includes itself"));
        }
        if let Some(node) = self.stored_value_set(name) {
            return self.compile(node, depth).ok_or_else(|| format!("`{name}` cannot be expanded"));
        }
        let url = name.split('|').next().unwrap_or(name);
        r4().value_set(url).map(Members::Standard).ok_or_else(|| format!("there is no value set `{name}`"))
    }

    fn stored_value_set(&self, name: &str) -> Option<Node<'_>> {
        let local: Option<ResourceKey> = Reference::parse(name).local(OWN_BASE).cloned();
        if let Some(key) = local.filter(|key| key.type_name == "ValueSet") {
            return self.number(&key).map(|number| self.resources[number].root());
        }
        let (url, version) = match name.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (name, None),
        };
        let mut roots = self.with_url("ValueSet", url).iter().map(|number| self.resources[*number].root());
        roots.find(|root| version.is_none() || root.str_at("version") == version)
    }

    /// The members from `compose`, or from the expansion if `compose` cannot be evaluated.
    fn compile(&self, value_set: Node<'_>, depth: usize) -> Option<Members> {
        let composed = value_set.get("compose").and_then(|compose| {
            Some(Members::Composed {
                includes: self.clauses(compose, "include", depth)?,
                excludes: self.clauses(compose, "exclude", depth)?,
            })
        });
        composed.or_else(|| value_set.get("expansion").map(expansion))
    }

    fn clauses(&self, compose: Node<'_>, name: &str, depth: usize) -> Option<Vec<Clause>> {
        compose.items_at(name).map(|clause| self.clause(clause, depth)).collect()
    }

    /// `None` if the clause has filters, or includes a whole system that is not known.
    fn clause(&self, clause: Node<'_>, depth: usize) -> Option<Clause> {
        if clause.get("filter").is_some() {
            return None;
        }
        let codes = match clause.str_at("system") {
            Some(system) if clause.get("concept").is_some() => {
                let listed = clause.items_at("concept").filter_map(|concept| concept.str_at("code"));
                Some((system.to_owned(), listed.map(str::to_owned).collect()))
            }
            Some(system) => Some((system.to_owned(), self.whole_system(system)?)),
            None => None,
        };
        let sets: Vec<Members> = clause
            .items_at("valueSet")
            .map(|name| self.nested_members(name.as_str()?, depth + 1).ok())
            .collect::<Option<_>>()?;
        (codes.is_some() || !sets.is_empty()).then_some(Clause { codes, sets })
    }

    /// Every code of a stored CodeSystem whose content is complete.
    fn whole_system(&self, system: &str) -> Option<HashSet<String>> {
        let numbers = self.with_url("CodeSystem", system);
        let mut roots = numbers.iter().map(|number| self.resources[*number].root());
        let root = roots.find(|root| root.str_at("content") == Some("complete"))?;
        let mut codes = HashSet::new();
        collect_codes(root, &mut codes);
        Some(codes)
    }
}

fn collect_codes(holder: Node<'_>, codes: &mut HashSet<String>) {
    for concept in holder.items_at("concept") {
        codes.extend(concept.str_at("code").map(str::to_owned));
        collect_codes(concept, codes);
    }
}

fn expansion(holder: Node<'_>) -> Members {
    let mut codes = HashMap::new();
    collect_contains(holder, &mut codes);
    Members::Listed(codes)
}

fn collect_contains(holder: Node<'_>, codes: &mut HashMap<String, HashSet<String>>) {
    for entry in holder.items_at("contains") {
        let is_abstract = entry.get("abstract").is_some_and(|node| node.text() == "true");
        if let Some(code) = entry.str_at("code").filter(|_| !is_abstract) {
            let system = entry.str_at("system").unwrap_or_default();
            codes.entry(code.to_owned()).or_default().insert(system.to_owned());
        }
        collect_contains(entry, codes);
    }
}

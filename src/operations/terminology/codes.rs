//! Hierarchies of codes: those of stored CodeSystems, and those that come with the server.
use std::collections::{BTreeMap, BTreeSet};

use crate::definitions::r4;
use crate::model::{IssueCode, Node};
use crate::search::{Way, unescape};

use super::super::answer::Refusal;
use super::Lookups;

/// The codes of a system, and for each code those directly narrower.
#[derive(Default)]
struct Hierarchy {
    codes: BTreeSet<String>,
    narrower: BTreeMap<String, BTreeSet<String>>,
}

impl Hierarchy {
    fn add(&mut self, broader: &str, narrower: &str) {
        self.codes.extend([broader.to_owned(), narrower.to_owned()]);
        self.narrower.entry(broader.to_owned()).or_default().insert(narrower.to_owned());
    }

    /// R4 codesystem.html: nested concepts, and the properties `parent` and `child`.
    fn read(&mut self, concept: Node<'_>, parent: Option<&str>) {
        let Some(code) = concept.str_at("code") else { return };
        self.codes.insert(code.to_owned());
        if let Some(parent) = parent {
            self.add(parent, code);
        }
        for property in concept.items_at("property") {
            let other = property.str_at("valueCode");
            match (property.str_at("code"), other) {
                (Some("parent"), Some(other)) => self.add(other, code),
                (Some("child"), Some(other)) => self.add(code, other),
                _ => {}
            }
        }
        concept.items_at("concept").for_each(|inner| self.read(inner, Some(code)));
    }

    fn next(&self, way: Way, code: &str) -> Vec<String> {
        match way {
            Way::Below => self.narrower.get(code).into_iter().flatten().cloned().collect(),
            Way::Above => {
                let is_parent = |(_, narrower): &(&String, &BTreeSet<String>)| narrower.contains(code);
                self.narrower.iter().filter(is_parent).map(|(parent, _)| parent.clone()).collect()
            }
        }
    }
}

impl Lookups<'_> {
    fn code_system(&self, system: &str) -> Result<Hierarchy, Refusal> {
        let mut hierarchy = Hierarchy::default();
        for tree in self.by_url("CodeSystem", system)? {
            tree.root().items_at("concept").for_each(|concept| hierarchy.read(concept, None));
        }
        for (code, parents) in r4().hierarchy(system) {
            parents.iter().for_each(|parent| hierarchy.add(parent, code));
        }
        Ok(hierarchy)
    }

    /// All codes of a system, if a complete CodeSystem is stored here.
    pub(super) fn all_codes(&self, system: &str) -> Result<Option<BTreeSet<String>>, Refusal> {
        let complete = self.by_url("CodeSystem", system)?;
        let mut complete =
            complete.into_iter().filter(|tree| tree.root().str_at("content") == Some("complete")).peekable();
        if complete.peek().is_none() {
            return Ok(None);
        }
        let mut hierarchy = Hierarchy::default();
        for tree in complete {
            tree.root().items_at("concept").for_each(|concept| hierarchy.read(concept, None));
        }
        Ok(Some(hierarchy.codes))
    }

    /// The code of a value (`system|code`) and all codes narrower (or broader) than it.
    pub(super) fn hierarchy(&self, way: Way, value: &str) -> Result<Vec<(Option<String>, String)>, Refusal> {
        let split = value.split_once('|').filter(|(system, code)| !system.is_empty() && !code.is_empty());
        let Some((system, code)) = split else {
            let message = format!("`{value}` is not `system|code`, which a hierarchy of codes needs");
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        };
        self.related(way, &unescape(system), &unescape(code))
    }

    pub(super) fn related(
        &self,
        way: Way,
        system: &str,
        code: &str,
    ) -> Result<Vec<(Option<String>, String)>, Refusal> {
        let hierarchy = self.code_system(system)?;
        if !hierarchy.codes.contains(code) {
            let message = format!("the code `{code}` of `{system}` is in no hierarchy that is known here");
            return Err(Refusal::bad_request(IssueCode::NotSupported, message));
        }
        let mut found = BTreeSet::from([code.to_owned()]);
        let mut waiting = vec![code.to_owned()];
        while let Some(code) = waiting.pop() {
            for next in hierarchy.next(way, &code) {
                if found.insert(next.clone()) {
                    waiting.push(next);
                }
            }
        }
        Ok(found.into_iter().map(|code| (Some(system.to_owned()), code)).collect())
    }
}

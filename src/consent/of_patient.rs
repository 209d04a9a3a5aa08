//! What a lens knows of a patient: the compiled Consents, and the other files of the same person.
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::definitions::r4;
use crate::model::{Node, parse};
use crate::search::{Everything, Filter, Param, search_params};
use crate::store::{Current, Report, Search, StoreError, Stored, View, Way};

use super::compiled_consent::{CompiledConsent, compile};
use super::lens::Lens;
use super::stored::{load, reference_at};

/// The maximum number of files of one person. A Patient whose links would join more is refused when it is written. Stored links
/// are followed without limit.
pub const FILES_MAX: usize = 64;

/// If Consents, or Patients with links, are more than this, decisions are made for each patient when a row of theirs is met.
const GOVERNED_MAX: usize = 50_000;

/// The number of organization-wide policies that are read.
const POLICIES_MAX: usize = 10_000;

impl Lens<'_> {
    /// The compiled Consents of a patient (`Patient/id`), from the cache where possible. Of the person's other files only the
    /// denials count: what is denied under one number is denied under all.
    pub(super) fn consents(&self, owner: &str) -> Result<Arc<Vec<CompiledConsent>>, StoreError> {
        let stored = self.stored_programs(owner)?;
        let Some(supposed) = &self.supposed else { return Ok(stored) };
        let mut consents: Vec<CompiledConsent> =
            stored.iter().filter(|compiled| compiled.id != supposed.id).cloned().collect();
        if let Some(patient) = &supposed.patient
            && self.files_of_person(owner)?.contains(patient)
        {
            let denies_only = patient != owner;
            consents.push(CompiledConsent {
                patient: Some(owner.to_owned()),
                denies_only,
                ..supposed.clone()
            });
        }
        Ok(Arc::new(consents))
    }

    fn stored_programs(&self, owner: &str) -> Result<Arc<Vec<CompiledConsent>>, StoreError> {
        if let Some(known) = self.cache.get(owner) {
            return Ok(known);
        }
        if self.cache.needs_one_more()
            && let Some(governed) = self.governed_patients()?
            && owner.strip_prefix("Patient/").is_some_and(|id| !governed.contains(id))
        {
            return self.policies();
        }
        let mut consents = Vec::new();
        let files = self.files_of_person(owner)?;
        for patient in &files {
            for stored in self.referring("Consent", "patient", patient)? {
                let tree = self.tree(&stored)?;
                let compiled = compile(tree.root());
                let denies_only = patient != owner;
                consents.push(CompiledConsent { patient: Some(owner.to_owned()), denies_only, ..compiled });
            }
        }
        consents.extend(self.policies()?.iter().cloned());
        let consents = Arc::new(consents);
        self.cache.insert(owner, files, &consents);
        Ok(consents)
    }

    /// The ids of the patients about whom decisions may differ from those about others: whom a Consent names, and whose files are
    /// joined with others. `None` if they are too many.
    pub(super) fn governed_patients(&self) -> Result<Option<Arc<BTreeSet<String>>>, StoreError> {
        self.cache.governed(|| {
            let present = |param: &Param| Filter::present(param.id);
            let consents = self.stored_by("Consent", "patient", present, GOVERNED_MAX + 1)?;
            let linked = self.stored_by("Patient", "link", present, GOVERNED_MAX + 1)?;
            if consents.len().max(linked.len()) > GOVERNED_MAX {
                return Ok(None);
            }
            let mut found: BTreeSet<String> =
                consents.into_iter().flat_map(|consent| consent.facts.patients).collect();
            for patient in linked {
                let tree = self.tree(&self.repository.newest(&patient)?)?;
                let others = merged_with(tree.root());
                found.extend(others.filter_map(|other| other.strip_prefix("Patient/").map(str::to_owned)));
                found.insert(patient.id.to_string());
            }
            Ok(Some(found))
        })
    }

    /// The organization-wide policies: Consents that name no patient, written by administrators.
    fn policies(&self) -> Result<Arc<Vec<CompiledConsent>>, StoreError> {
        self.cache.policies(|| {
            let mut consents = Vec::new();
            for current in self.stored_by("Consent", "patient", Filter::missing, POLICIES_MAX)? {
                let tree = self.tree(&self.repository.newest(&current)?)?;
                if tree.root().get("patient").is_none() {
                    consents.push(compile(tree.root()));
                }
            }
            Ok(consents)
        })
    }

    /// The current resources of a type that fulfil a condition on a search parameter, at most `most` of them, hidden ones included.
    fn stored_by(
        &self,
        type_name: &str,
        code: &str,
        condition: impl Fn(&Param) -> Filter,
        most: usize,
    ) -> Result<Vec<Current>, StoreError> {
        let found = r4().resource(type_name).and_then(|def| Some((def, search_params().find(def, code)?)));
        let Some((def, param)) = found else { return Ok(Vec::new()) };
        let view = View::new(&self.repository, None, &Everything);
        let (filter, report) = (condition(param), Report::default());
        let rows = Search::new(&view, def, &filter, &[], &report)?.page(None, Way::Onward, most)?;
        let mut stored = self.repository.current_of_rows(&rows)?;
        stored.retain(|current| !current.deleted);
        Ok(stored)
    }

    /// The compiled Consents of a patient (`Patient/id`), for explanations.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn consents_of(&self, patient: &str) -> Result<Vec<CompiledConsent>, StoreError> {
        Ok(self.consents(patient)?.to_vec())
    }

    /// The number of files that one person has once this Patient is written with its links.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn files_joined_by(&self, patient: Node<'_>) -> Result<usize, StoreError> {
        let own = format!("Patient/{}", patient.str_at("id").unwrap_or_default());
        let mut joined = self.files_of_person(&own)?;
        for other in merged_with(patient) {
            joined.extend(self.files_of_person(&other)?);
        }
        Ok(joined.len())
    }

    /// The patient and all Patients that are joined with it by links `replaces` or `replaced-by`, directly or through others (R4
    /// patient.html#links).
    fn files_of_person(&self, owner: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut found = BTreeSet::from([owner.to_owned()]);
        let mut open = vec![owner.to_owned()];
        while let Some(file) = open.pop() {
            let mut linked = Vec::new();
            if let Some(stored) = load(&self.repository, &file)? {
                linked.extend(merged_with(self.tree(&stored)?.root()));
            }
            for stored in self.referring("Patient", "link", &file)? {
                if merged_with(self.tree(&stored)?.root()).any(|other| other == file) {
                    linked.push(format!("Patient/{}", stored.id));
                }
            }
            for other in linked {
                if found.insert(other.clone()) {
                    open.push(other);
                }
            }
        }
        Ok(found)
    }

    /// The current resources of a type that refer to a resource (`Type/id`) by a search parameter.
    pub(super) fn referring(
        &self,
        type_name: &str,
        code: &str,
        reference: &str,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        let param = r4().resource(type_name).and_then(|def| Some((def, search_params().find(def, code)?)));
        let Some(((def, param), (target, id))) = param.zip(reference.split_once('/')) else {
            return Ok(found);
        };
        for row in self.repository.referrers(def, param, target, id)? {
            let current = self.repository.current_of_row(row)?.filter(|current| !current.deleted);
            if let Some(current) = current {
                found.push(self.repository.newest(&current)?);
            }
        }
        Ok(found)
    }

    /// The references of a stored resource (`Type/id`), cached.
    pub(super) fn references_of(&self, reference: &str) -> Result<Arc<BTreeSet<String>>, StoreError> {
        let lock = || self.references.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(reference) {
            return Ok(known.clone());
        }
        let outgoing = match load(&self.repository, reference)? {
            Some(stored) => self.data(&stored)?.outgoing,
            None => BTreeSet::new(),
        };
        let outgoing = Arc::new(outgoing);
        lock().insert(reference.to_owned(), outgoing.clone());
        Ok(outgoing)
    }

    pub(super) fn tree(&self, stored: &Stored) -> Result<crate::model::Tree, StoreError> {
        let corrupt = |_| StoreError::Corrupt(format!("the text of row {}", stored.row));
        parse(stored.text.clone().into_bytes()).map_err(corrupt)
    }
}

/// The Patients (`Patient/id`) with which this one was merged.
fn merged_with(patient: Node<'_>) -> impl Iterator<Item = String> {
    let is_merge = |link: &Node<'_>| matches!(link.str_at("type"), Some("replaces" | "replaced-by"));
    patient.items_at("link").filter(is_merge).filter_map(|link| reference_at(link, "other"))
}

//! Inheritance between resources: Provenance, Consent and Task take on the subjects and labels of the resources that they name. A
//! Binary is shown only where everything that refers to it is shown.
use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::definitions::{TypeDef, r4};
use crate::model::{Node, ResourceId};
use crate::search::{Everything, Filter, search_params};
use crate::store::{Report, Search, StoreError, Stored, View, Way, Writer};

use super::data::DataFacts;
use super::decision::{Basis, Decision};
use super::lens::{Lens, Target};
use super::naming::{binaries_named, depends_on_others};
use super::reference_masking::NamedTarget;
use super::requester::Requester;
use super::stored::load;

/// The number of levels to which the names of named resources are followed.
const NAMED_DEPTH_MAX: usize = 4;
/// The number of Binaries that may be joined by security contexts. With more, the Binary is shown to nobody.
const BINARIES_MAX: usize = 16;

/// The number of resources of one type with the same identifier that are looked at.
const IDENTIFIED_MAX: usize = 8;

impl Lens<'_> {
    /// The facts of a resource, with the subjects and labels of what it names. A Binary gets the subjects of what refers to it.
    pub(super) fn with_what_it_names(&self, data: &DataFacts) -> Result<DataFacts, StoreError> {
        let mut whole = data.clone();
        if data.type_name == "Binary" {
            for stored in self.referring_to_binary(data)? {
                whole.owners.extend(self.data(&stored)?.owners);
            }
            for reference in &data.outgoing {
                if let Some(stored) = load(&self.repository, reference)? {
                    whole.owners.extend(self.data(&stored)?.owners);
                }
            }
        } else {
            self.add_named(data, &mut whole, 0)?;
            whole.level();
        }
        // A subject that the resource once had through a reference remains one.
        if depends_on_others(&data.type_name) {
            let kept = self.repository.subjects_kept(&data.reference)?;
            whole.owners.extend(kept.iter().map(|id| format!("Patient/{id}")));
        }
        Ok(whole)
    }

    fn add_named(&self, data: &DataFacts, whole: &mut DataFacts, depth: usize) -> Result<(), StoreError> {
        // A Patient that is named is a subject already, or is deliberately none.
        let named = data.named.iter().filter(|reference| !reference.starts_with("Patient/"));
        for reference in named.filter(|_| depth < NAMED_DEPTH_MAX) {
            let stored = load(&self.repository, reference)?.map(|stored| self.data(&stored)).transpose()?;
            for target in stored.iter().chain(self.coming.get(reference)) {
                whole.owners.extend(target.owners.iter().cloned());
                whole.of_unknown |= target.of_unknown;
                whole.labels.extend(target.labels.iter().cloned());
                self.add_named(target, whole, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Decides about a Binary: all that refers to it, and its security context, must be shown. With none of these, the rule for
    /// resources of no patient applies. A context may be another Binary that refers back, so each Binary is visited once.
    pub(super) fn decide_binary(
        &self,
        data: &DataFacts,
        requester: &Requester,
    ) -> Result<Decision, StoreError> {
        let refuse = || Decision { permit: false, basis: Basis::NotGoverned };
        let mut last = None;
        let mut covered = BTreeSet::new();
        let mut seen = BTreeSet::from([data.reference.clone()]);
        let mut left = vec![data.clone()];
        while let Some(binary) = left.pop() {
            // If a writer set a context that it could not see, other organizations see nothing; within its own the context
            // decides as usual.
            if self.is_confined_to_others(&binary.reference)? {
                return Ok(refuse());
            }
            let mut is_of_something = false;
            let mut around = self.referring_to_binary(&binary)?;
            // The security context is another resource that the Binary refers to (R4 binary.html#security-context).
            for reference in &binary.outgoing {
                match load(&self.repository, reference)? {
                    Some(stored) => around.push(stored),
                    None if self.is_staff() => is_of_something = true,
                    None => return Ok(refuse()),
                }
            }
            for stored in around {
                is_of_something = true;
                let other = self.data(&stored)?;
                if other.type_name == "Binary" {
                    if seen.insert(other.reference.clone()) {
                        left.push(other);
                    }
                    continue;
                }
                covered.extend(other.owners.iter().cloned());
                let decision = self.decide_as(&other, requester)?;
                if !decision.permit {
                    return Ok(decision);
                }
                last.get_or_insert(decision);
            }
            let kept = self.repository.subjects_kept(&binary.reference)?;
            let kept = kept.iter().map(|id| format!("Patient/{id}"));
            let others: BTreeSet<String> = kept.filter(|owner| !covered.contains(owner)).collect();
            if !others.is_empty() {
                is_of_something = true;
                // These patients remain subjects although no resource that makes them subjects is left.
                let owned = DataFacts { owners: others, ..binary.clone() };
                let ruling = self.rule_by_consents(Cow::Owned(owned), true, requester)?;
                match ruling.decision {
                    Some(decision) if decision.permit => drop(last.get_or_insert(decision)),
                    Some(decision) => return Ok(decision),
                    None => return Ok(refuse()),
                }
            }
            if seen.len() > BINARIES_MAX || (!is_of_something && !self.may_see_ungoverned("Binary")) {
                return Ok(refuse());
            }
        }
        // Binaries that refer only to one another are of no patient.
        let of_nothing = || Decision { permit: self.may_see_ungoverned("Binary"), basis: Basis::NotGoverned };
        Ok(last.unwrap_or_else(of_nothing))
    }

    /// The resources (`Type/id`) that currently make a patient (`Patient/id`) a subject of this one: itself, the resources that
    /// it names or refers to, and for a Binary the resources that refer to it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or something cannot be read.
    pub fn made_subject_by(&self, resource: Node<'_>, patient: &str) -> Result<Vec<String>, StoreError> {
        let data = self.facts_of(resource);
        let mut around =
            if data.type_name == "Binary" { self.referring_to_binary(&data)? } else { Vec::new() };
        for reference in data.outgoing.iter().chain(&data.named) {
            around.extend(load(&self.repository, reference)?);
        }
        let mut found = Vec::new();
        if data.owners.contains(patient) {
            found.push(data.reference.clone());
        }
        for stored in around {
            let other = self.data(&stored)?;
            if self.with_what_it_names(&other)?.owners.contains(patient) {
                found.push(other.reference);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn referring_to_binary(&self, data: &DataFacts) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        let id = data.reference.strip_prefix("Binary/").and_then(ResourceId::parse);
        let Some(id) = id else { return Ok(found) };
        for row in self.repository.rows_with_binary(&id)? {
            let current = self.repository.current_of_row(row)?.filter(|current| !current.deleted);
            if let Some(current) = current {
                let stored = self.repository.newest(&current)?;
                if self.counts_for(&stored, &id)? {
                    found.push(stored);
                }
            }
        }
        Ok(found)
    }

    /// Whether a reference to a Binary affects who may read the Binary. It does if its writer may see the Binary or wrote it, so
    /// that nobody else can take the Binary from its readers.
    fn counts_for(&self, referring: &Stored, binary: &ResourceId) -> Result<bool, StoreError> {
        self.opens(self.repository.writer(referring.row, referring.sequence)?.as_ref(), binary)
    }

    fn opens(&self, writer: Option<&Writer>, binary: &ResourceId) -> Result<bool, StoreError> {
        let Some(writer) = writer.filter(|writer| !writer.sees_binaries) else { return Ok(true) };
        let def = r4().resource("Binary");
        let current = def.map(|def| self.repository.current(def, binary)).transpose()?.flatten();
        let Some(current) = current else { return Ok(false) };
        let of_binary = self.repository.writer(current.row, current.sequence)?;
        Ok(of_binary.is_some_and(|of_binary| of_binary.fingerprint == writer.fingerprint))
    }

    /// Pairs of a resource (`Type/id`) and the id of a patient whom this one makes its subject: this resource itself, if it takes
    /// on subjects; and the Binaries that it refers to, unless its writer may not see them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn belongings(
        &self,
        resource: Node<'_>,
        writer: Option<&Writer>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let data = self.facts_of(resource);
        let binaries = binaries_named(resource);
        let is_dependent = depends_on_others(&data.type_name);
        if !is_dependent && binaries.is_empty() {
            return Ok(Vec::new());
        }
        let owners = self.with_what_it_names(&data)?.owners;
        let mut targets: Vec<String> = is_dependent.then(|| data.reference.clone()).into_iter().collect();
        for binary in binaries.into_iter().filter(|_| data.type_name != "Binary") {
            let id = binary.strip_prefix("Binary/").and_then(ResourceId::parse);
            if id.map(|id| self.opens(writer, &id)).transpose()?.unwrap_or(false) {
                targets.push(binary);
            }
        }
        let mut found = Vec::new();
        for target in targets {
            let ids = owners.iter().filter_map(|owner| owner.strip_prefix("Patient/"));
            found.extend(ids.map(|id| (target.clone(), id.to_owned())));
        }
        Ok(found)
    }

    /// Whether the target of a reference is shown to the party. If several resources have the identifier, all must be visible.
    pub(super) fn look_for(&self, named: &NamedTarget) -> Result<Target, StoreError> {
        let found = match named {
            NamedTarget::Resource(reference) => load(&self.repository, reference)?.into_iter().collect(),
            NamedTarget::Identified { types, system, value } => {
                self.identified(types, system.as_ref(), value)?
            }
        };
        for stored in &found {
            if !self.may_see(self.tree(stored)?.root())? {
                return Ok(Target::Hidden);
            }
        }
        Ok(if found.is_empty() { Target::Absent } else { Target::Shown })
    }

    /// The resources with an identifier, of these types, or of all types if there are none.
    fn identified(
        &self,
        types: &[&'static str],
        system: Option<&String>,
        value: &str,
    ) -> Result<Vec<Stored>, StoreError> {
        let named = types.iter().filter_map(|name| r4().resource(name));
        let defs: Vec<&'static TypeDef> =
            if types.is_empty() { r4().resources().collect() } else { named.collect() };
        let view = View::new(&self.repository, None, &Everything);
        let mut found = Vec::new();
        for def in defs {
            let Some(param) = search_params().find(def, "identifier") else { continue };
            let filter = Filter::codes(param, &[(system.cloned(), value.to_owned())]);
            let report = Report::default();
            let rows =
                Search::new(&view, def, &filter, &[], &report)?.page(None, Way::Onward, IDENTIFIED_MAX)?;
            for row in rows {
                if let Some(current) = self.repository.current_of_row(row)?.filter(|current| !current.deleted)
                {
                    found.push(self.repository.newest(&current)?);
                }
            }
        }
        Ok(found)
    }
}

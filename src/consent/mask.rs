//! The lens as a search asks it: by the facts of a row where they are enough, by the resource where they are not.
use std::collections::BTreeSet;
use std::sync::PoisonError;

use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::{Facts, Keep, Mask, Scope};

use super::belonging::depends_on_others;
use super::data::DataFacts;
use super::decide::decide;
use super::lens::Lens;
use super::matching::needs_content;

impl Mask for Lens<'_> {
    fn scope(&self, def: &TypeDef) -> Scope {
        if &*def.name == "AuditEvent" && !self.may_audit() {
            return Scope::Nothing;
        }
        if !self.scopes_show(&def.name) {
            return Scope::Nothing;
        }
        Scope::Unknown
    }

    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep {
        // Without labels all resources of a type about the same patient are alike.
        let patient = match facts.patients.as_slice() {
            [] if !facts.labelled => "",
            [patient] if !facts.labelled => patient,
            _ => return self.keep_by_facts(def, facts),
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keep) = lock().get(&def.id).and_then(|of_type| of_type.get(patient)) {
            return *keep;
        }
        let keep = self.keep_by_facts(def, facts);
        lock().entry(def.id).or_default().insert(patient.to_owned(), keep);
        keep
    }

    fn keep_resource(&self, _: &TypeDef, resource: Node<'_>) -> bool {
        // A store that fails here fails the read that follows; until then nothing is shown.
        self.decide(&DataFacts::of(resource)).is_ok_and(|decision| decision.permit)
    }
}

impl Lens<'_> {
    fn keep_by_facts(&self, def: &TypeDef, facts: &Facts) -> Keep {
        if !self.scopes_show(&def.name) {
            return Keep::Drop;
        }
        // A Location may be somebody's house.
        if depends_on_others(&def.name) || facts.labelled || (&*def.name == "Location" && !self.is_staff()) {
            return Keep::NeedResource;
        }
        let owners: BTreeSet<String> = facts.patients.iter().map(|id| format!("Patient/{id}")).collect();
        if self.is_outside_context(&owners, &def.name) {
            return Keep::Drop;
        }
        if owners.is_empty() {
            return if self.may_see_ungoverned(&def.name) { Keep::Keep } else { Keep::Drop };
        }
        // Without labels, and where no Consent asks for more, the decision rests on the requester and on whose it is.
        let mut data = DataFacts { owners, type_name: def.name.to_string(), ..DataFacts::default() };
        data.level();
        let mut all = Vec::new();
        for owner in &data.owners {
            let Ok(programs) = self.programs(owner) else { return Keep::NeedResource };
            let Ok(requester) = self.requester_for(owner, &programs, &self.requester) else {
                return Keep::NeedResource;
            };
            if programs.iter().any(|program| needs_content(program, &requester, &self.settings)) {
                return Keep::NeedResource;
            }
            all.push((programs, requester));
        }
        // Every subject must permit, each by its own Consents.
        let permits = data.owners.iter().zip(&all).all(|(owner, (programs, requester))| {
            let data = DataFacts { owners: BTreeSet::from([owner.clone()]), ..data.clone() };
            decide(programs, &data, requester, &self.settings).permit
        });
        if permits { Keep::Keep } else { Keep::Drop }
    }
}

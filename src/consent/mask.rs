//! The lens as a search asks it: by the facts of a row where they are enough, by the resource where they are not.
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::{Facts, Keep, Mask, Scope};

use super::belonging::depends_on_others;
use super::data::DataFacts;
use super::decide::{Requester, decide};
use super::lens::Lens;
use super::matching::{Needs, needs};
use super::program::Program;

/// What is known of all resources of a type about one patient that carry no labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// They are all alike.
    Alike(Keep),
    /// Every row's facts decide.
    ByFacts,
}

impl Mask for Lens<'_> {
    fn scope(&self, def: &TypeDef) -> Scope {
        if &*def.name == "AuditEvent" && !self.may_audit() {
            return Scope::Nothing;
        }
        if !self.reach.has_scopes(&def.name) {
            return Scope::Nothing;
        }
        Scope::Unknown
    }

    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep {
        // Without labels all resources of a type about the same patient are alike, as far as no Consent asks for more.
        let patient = match facts.patients.as_slice() {
            [] if facts.labels.is_empty() => "",
            [patient] if facts.labels.is_empty() => patient,
            _ => return self.keep_by_facts(def, facts).0,
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&def.id).and_then(|of_type| of_type.get(patient)).copied();
        match known {
            Some(Kept::Alike(keep)) => return keep,
            Some(Kept::ByFacts) => return self.keep_by_facts(def, facts).0,
            None => {}
        }
        let (keep, needs) = self.keep_by_facts(def, facts);
        let kept = if needs == Needs::Facts { Kept::ByFacts } else { Kept::Alike(keep) };
        lock().entry(def.id).or_default().insert(patient.to_owned(), kept);
        keep
    }

    fn keep_resource(&self, _: &TypeDef, resource: Node<'_>) -> bool {
        // A store that fails here fails the read that follows; until then nothing is shown.
        self.may_see(resource).is_ok_and(|permit| permit)
    }
}

impl Lens<'_> {
    /// What the facts of a row decide, and how much of them was needed.
    fn keep_by_facts(&self, def: &TypeDef, facts: &Facts) -> (Keep, Needs) {
        let by_type = |keep| (keep, Needs::Type);
        if !self.reach.has_scopes(&def.name) {
            return by_type(Keep::Drop);
        }
        // A Location may be somebody's house.
        if depends_on_others(&def.name) || (&*def.name == "Location" && !self.is_staff()) {
            return by_type(Keep::NeedResource);
        }
        let data = DataFacts::of_row(def, facts);
        match self.reach.of(self.reach.letters(&def.name), &def.name, &data.owners, None) {
            Keep::Keep => {}
            decided @ (Keep::Drop | Keep::NeedResource) => return by_type(decided),
        }
        if self.reach.is_outside_context(&data.owners) {
            return by_type(Keep::Drop);
        }
        if data.owners.is_empty() {
            return by_type(if self.may_see_ungoverned(&def.name) { Keep::Keep } else { Keep::Drop });
        }
        let mut all: Vec<(Arc<Vec<Program>>, Requester)> = Vec::new();
        for owner in &data.owners {
            let Ok(programs) = self.programs(owner) else { return by_type(Keep::NeedResource) };
            let Ok(requester) = self.requester_for(owner, &programs, &self.requester) else {
                return by_type(Keep::NeedResource);
            };
            all.push((programs, requester));
        }
        let asked = all.iter().flat_map(|(programs, requester)| {
            programs.iter().map(move |program| needs(program, requester, &self.settings))
        });
        let needed = asked.max().unwrap_or(Needs::Type);
        if needed == Needs::Content {
            return (Keep::NeedResource, needed);
        }
        // Every subject must permit, each by its own Consents.
        let permits = data.owners.iter().zip(&all).all(|(owner, (programs, requester))| {
            let data = DataFacts { owners: BTreeSet::from([owner.clone()]), ..data.clone() };
            decide(programs, &data, requester, &self.settings).permit
        });
        (if permits { Keep::Keep } else { Keep::Drop }, needed)
    }
}

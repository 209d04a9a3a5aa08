//! The lens as a search asks it: by the facts of a row where they are enough, by the resource where they are not.
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::{Facts, Keep, Mask, Scope};

use super::belonging::depends_on_others;
use super::data::DataFacts;
use super::decide::{Basis, Decision, Requester, decide};
use super::lens::Lens;
use super::matching::{Needs, needs};
use super::program::Program;

/// What is known of all resources of a type about one patient that carry no labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// They are all alike.
    Alike(ByFacts),
    /// Every row's facts decide.
    ByFacts,
}

/// What facts alone decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ByFacts {
    Decided(Decision),
    NeedResource,
}

impl ByFacts {
    fn keep(&self) -> Keep {
        match self {
            Self::Decided(decision) if decision.permit => Keep::Keep,
            Self::Decided(_) => Keep::Drop,
            Self::NeedResource => Keep::NeedResource,
        }
    }

    fn refused() -> Self {
        Self::Decided(Decision { permit: false, basis: Basis::NotGoverned })
    }
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
        match self.with_facts(def, facts, &ByFacts::keep) {
            Keep::Keep if self.wants_whole.load(Ordering::Relaxed) => Keep::NeedResource,
            keep => keep,
        }
    }

    fn keep_resource(&self, _: &TypeDef, resource: Node<'_>) -> bool {
        // A store that fails here fails the read that follows; until then nothing is shown.
        let is_whole = || self.hidden_targets(resource).is_ok_and(|hidden| hidden.is_empty());
        let permit = self.may_see(resource).is_ok_and(|permit| permit);
        permit && (!self.wants_whole.load(Ordering::Relaxed) || is_whole())
    }
}

impl Lens<'_> {
    /// What the facts of a row decide; `None` if it takes the resource.
    pub(super) fn decided_by_facts(&self, def: &TypeDef, facts: &Facts) -> Option<Decision> {
        self.with_facts(def, facts, &|decided| match decided {
            ByFacts::Decided(decision) => Some(decision.clone()),
            ByFacts::NeedResource => None,
        })
    }

    /// Hands over what the facts of a row decide. Without labels all resources of a type about the same patient are alike,
    /// as far as no Consent asks for more.
    fn with_facts<T>(&self, def: &TypeDef, facts: &Facts, take: &dyn Fn(&ByFacts) -> T) -> T {
        let patient = match facts.patients.as_slice() {
            [] if facts.labels.is_empty() => "",
            [patient] if facts.labels.is_empty() => patient,
            _ => return take(&self.by_facts(def, facts).0),
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match lock().get(&def.id).and_then(|of_type| of_type.get(patient)) {
            Some(Kept::Alike(decided)) => return take(decided),
            Some(Kept::ByFacts) | None => {}
        }
        let (decided, needs) = self.by_facts(def, facts);
        let taken = take(&decided);
        let kept = if needs == Needs::Facts { Kept::ByFacts } else { Kept::Alike(decided) };
        lock().entry(def.id).or_default().insert(patient.to_owned(), kept);
        taken
    }

    /// What the facts of a row decide, and how much of them was needed.
    fn by_facts(&self, def: &TypeDef, facts: &Facts) -> (ByFacts, Needs) {
        let by_type = |decided| (decided, Needs::Type);
        if !self.reach.has_scopes(&def.name) {
            return by_type(ByFacts::refused());
        }
        // A Location may be somebody's house.
        if depends_on_others(&def.name) || (&*def.name == "Location" && !self.is_staff()) {
            return by_type(ByFacts::NeedResource);
        }
        let data = DataFacts::of_row(def, facts);
        match self.reach.of(self.reach.letters(&def.name), &def.name, &data.owners, None) {
            Keep::Keep => {}
            Keep::Drop => return by_type(ByFacts::refused()),
            Keep::NeedResource => return by_type(ByFacts::NeedResource),
        }
        if self.reach.is_outside_context(&data.owners) {
            return by_type(ByFacts::refused());
        }
        if data.owners.is_empty() {
            let permit = self.may_see_ungoverned(&def.name);
            return by_type(ByFacts::Decided(Decision { permit, basis: Basis::NotGoverned }));
        }
        let mut all: Vec<(Arc<Vec<Program>>, Requester)> = Vec::new();
        for owner in &data.owners {
            let Ok(programs) = self.programs(owner) else { return by_type(ByFacts::NeedResource) };
            let Ok(requester) = self.requester_for(owner, &programs, &self.requester) else {
                return by_type(ByFacts::NeedResource);
            };
            all.push((programs, requester));
        }
        let asked = all.iter().flat_map(|(programs, requester)| {
            programs.iter().map(move |program| needs(program, requester, &self.settings))
        });
        let needed = asked.max().unwrap_or(Needs::Type);
        if needed == Needs::Content {
            return (ByFacts::NeedResource, needed);
        }
        // Every subject must permit, each by its own Consents.
        let mut decision = Decision { permit: false, basis: Basis::NotGoverned };
        for (owner, (programs, requester)) in data.owners.iter().zip(&all) {
            let data = DataFacts { owners: BTreeSet::from([owner.clone()]), ..data.clone() };
            decision = decide(programs, &data, requester, &self.settings);
            if !decision.permit {
                break;
            }
        }
        (ByFacts::Decided(decision), needed)
    }
}

//! The lens as the filter of a search: the facts of a row decide where they are enough, the resource where they are not.
use crate::auth::Permission;
use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::{Facts, Keep, Scope, Visibility};
use crate::store::StoreError;

use super::data::DataFacts;
use super::decision::Decision;
use super::decision_cache::{Decisions, RequesterKey, SharedDecision, Span};
use super::ladder::{Known, LadderOutcome};
use super::lens::Lens;
use super::matching::Needs;
use super::naming::depends_on_others;

/// The fate of a row after the decision by its facts; `None` means that they are not enough.
fn keep(decision: Option<&Decision>) -> Keep {
    match decision {
        Some(decision) if decision.permit => Keep::Keep,
        Some(_) => Keep::Drop,
        None => Keep::NeedResource,
    }
}

impl Visibility for Lens<'_> {
    fn scope(&self, def: &TypeDef) -> Scope {
        if def.rules.is_access_record && !self.may_audit() {
            return Scope::Nothing;
        }
        if !self.reach.has_scopes(&def.name) {
            return Scope::Nothing;
        }
        Scope::Unknown
    }

    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep {
        self.with_facts(def, facts, &keep)
    }

    fn keep_resource(&self, _: &TypeDef, resource: Node<'_>) -> bool {
        // A failing store makes the following read fail too; until then nothing is shown.
        self.may_see(resource).is_ok_and(|permit| permit)
    }

    fn keeps_all(&self, def: &TypeDef) -> Option<bool> {
        // The party's own file, and those of whom it represents, are decided about otherwise than others.
        let has_files = self.requester.self_patient.is_some() || !self.requester.represents.is_empty();
        if !self.treats_alike(def) || has_files || self.supposed.is_some() {
            return None;
        }
        let of_nobody = self.shared_decision(def, None)?;
        // Consents cannot name this one, because it is no id.
        let of_somebody = self.shared_decision(def, Some("*"))?;
        // A failed read means that nothing is known.
        let governed = self.governed_patients().ok()??;
        let is_same = of_nobody == of_somebody
            && governed.iter().all(|patient| self.shared_decision(def, Some(patient)) == Some(of_somebody));
        is_same.then_some(of_somebody)
    }

    fn keeps_all_of(&self, def: &TypeDef, patient: Option<&str>) -> Option<bool> {
        self.shared_decision(def, patient)
    }
}

/// Which resources a search can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchPart {
    /// All that the party may see.
    Visible,
    /// All that is stored, within scopes and launch context: for roles that keep the record.
    Stored,
    /// Only what is shown without masking. For searches by text or identifier, which would otherwise reveal the values that
    /// answers mask.
    Whole,
}

/// A lens for one search.
pub struct SearchLens<'l, 's> {
    lens: &'l Lens<'s>,
    finding: SearchPart,
}

impl<'s> Lens<'s> {
    /// The lens as the filter of a search. CHOICE: for the own organization `Whole` becomes `Visible`, because it can tell hidden
    /// targets of references from absent ones anyway.
    #[must_use]
    pub fn finding(&self, finding: SearchPart) -> SearchLens<'_, 's> {
        let finding =
            if self.is_own() && finding == SearchPart::Whole { SearchPart::Visible } else { finding };
        SearchLens { lens: self, finding }
    }
}

impl Visibility for SearchLens<'_, '_> {
    fn scope(&self, def: &TypeDef) -> Scope {
        self.lens.scope(def)
    }

    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep {
        match self.finding {
            SearchPart::Stored => self.lens.keep_stored(def, facts),
            SearchPart::Visible => self.lens.keep(def, facts),
            SearchPart::Whole => match self.lens.keep(def, facts) {
                Keep::Keep => Keep::NeedResource,
                keep => keep,
            },
        }
    }

    fn keep_resource(&self, def: &TypeDef, resource: Node<'_>) -> bool {
        let is_whole = || self.lens.hidden_targets(resource).is_ok_and(|hidden| hidden.is_empty());
        match self.finding {
            SearchPart::Stored => self.lens.reaches_resource(resource),
            SearchPart::Visible => self.lens.keep_resource(def, resource),
            SearchPart::Whole => self.lens.keep_resource(def, resource) && is_whole(),
        }
    }

    fn keeps_all(&self, def: &TypeDef) -> Option<bool> {
        match self.finding {
            SearchPart::Stored => self.lens.treats_alike(def).then_some(true),
            SearchPart::Visible => self.lens.keeps_all(def),
            SearchPart::Whole => self.lens.keeps_all(def).filter(|keeps| !keeps),
        }
    }

    fn keeps_all_of(&self, def: &TypeDef, patient: Option<&str>) -> Option<bool> {
        match self.finding {
            SearchPart::Stored => self.lens.treats_alike(def).then_some(true),
            SearchPart::Visible => self.lens.keeps_all_of(def, patient),
            SearchPart::Whole => self.lens.keeps_all_of(def, patient).filter(|keeps| !keeps),
        }
    }
}

impl Lens<'_> {
    /// Whether scopes and launch context reach a row, whatever Consents say.
    fn keep_stored(&self, def: &TypeDef, facts: &Facts) -> Keep {
        if !self.reach.has_scopes(&def.name) {
            return Keep::Drop;
        }
        if depends_on_others(&def.name) {
            return Keep::NeedResource;
        }
        let owners = DataFacts::of_row(def, facts).owners;
        if self.reach.is_outside_confinement(&owners) {
            return Keep::Drop;
        }
        self.reach.of(self.reach.letters(&def.name), &def.name, &owners, None)
    }

    /// Like [`Self::keep_stored`], for a whole resource.
    fn reaches_resource(&self, resource: Node<'_>) -> bool {
        let name = resource.str_at("resourceType").unwrap_or_default();
        // A failing store makes the following read fail too; until then nothing is reached.
        self.is_within_reach(self.reach.letters(name), resource).is_ok_and(|is_reached| is_reached)
    }

    /// Whether scopes with one of these permissions, and any confinement to a patient, let the party reach a resource.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_within_reach(&self, letters: &[Permission], resource: Node<'_>) -> Result<bool, StoreError> {
        let data = self.with_what_it_names(&self.facts_of(resource))?;
        let reach = self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        Ok(reach == Keep::Keep && !self.reach.is_outside_confinement(&data.owners))
    }

    /// The decision by the facts of a row; `None` if the resource must be read.
    pub(super) fn decided_by_facts(&self, def: &TypeDef, facts: &Facts) -> Option<Decision> {
        self.with_facts(def, facts, &|decision| decision.cloned())
    }

    /// Passes the decision by the facts of a row to `take`, from the cache where possible. All unlabelled resources of one type
    /// and patient share a decision, unless a Consent needs more of their facts.
    fn with_facts<T>(&self, def: &TypeDef, facts: &Facts, take: &dyn Fn(Option<&Decision>) -> T) -> T {
        let patient = match facts.patients.as_slice() {
            _ if facts.of_unknown => return take(self.by_facts(def, facts).decision.as_ref()),
            [] if facts.labels.is_empty() => "",
            [patient] if facts.labels.is_empty() => patient,
            _ => return take(self.by_facts(def, facts).decision.as_ref()),
        };
        let now = self.requester.now;
        let reusable = self.reusable();
        let known = |known: &SharedDecision| match known {
            SharedDecision::All(decision) => Some(take(decision.as_ref())),
            SharedDecision::ByFacts => None,
        };
        for decisions in [reusable, &self.own_decisions] {
            match decisions.get((def.id, patient), now, known) {
                Some(Some(taken)) => return taken,
                // The cache says that the facts are needed.
                Some(None) => return take(self.by_facts(def, facts).decision.as_ref()),
                None => {}
            }
        }
        let LadderOutcome { decision, needs, stands, until } = self.by_facts(def, facts);
        let taken = take(decision.as_ref());
        let alike =
            if needs == Needs::Facts { SharedDecision::ByFacts } else { SharedDecision::All(decision) };
        let kept = if stands { reusable } else { &self.own_decisions };
        kept.insert((def.id, patient), (alike, Span { from: now, until }));
        taken
    }

    /// Whether scopes and confinement make no difference between the resources of a type, and their rows tell their subjects.
    fn treats_alike(&self, def: &TypeDef) -> bool {
        !def.rules.is_access_record
            && !depends_on_others(&def.name)
            && self.reach.is_whole(self.reach.letters(&def.name), &def.name)
            && !self.reach.is_confined()
    }

    /// The decision on all resources of a type that are about this patient alone, or nobody, and that their facts do not set
    /// apart; `None` if they must be looked at.
    fn shared_decision(&self, def: &TypeDef, patient: Option<&str>) -> Option<bool> {
        let facts = Facts { patients: patient.map(str::to_owned).into_iter().collect(), ..Facts::default() };
        // Puts the decision into the cache.
        self.with_facts(def, &facts, &|_| ());
        let place = (def.id, patient.unwrap_or_default());
        let permit = |known: &SharedDecision| match known {
            SharedDecision::All(decision) => decision.as_ref().map(|decision| decision.permit),
            SharedDecision::ByFacts => None,
        };
        let known = [self.reusable(), &self.own_decisions];
        known.into_iter().find_map(|decisions| decisions.get(place, self.requester.now, permit)).flatten()
    }

    fn reusable(&self) -> &Decisions {
        self.reusable.get_or_init(|| {
            let (party, asked) = (self.party.clone(), self.reach.of_interaction());
            self.cache.decisions.of(RequesterKey { party, asked, requester: self.requester.clone() })
        })
    }

    /// The decision by the facts of a row, and how much of them it needed: first the scopes, then the ladder.
    fn by_facts(&self, def: &TypeDef, facts: &Facts) -> LadderOutcome {
        if !self.reach.has_scopes(&def.name) {
            return LadderOutcome::refused();
        }
        if depends_on_others(&def.name) {
            return LadderOutcome::needs_resource();
        }
        let data = DataFacts::of_row(def, facts);
        match self.reach.of(self.reach.letters(&def.name), &def.name, &data.owners, None) {
            Keep::Keep => {}
            Keep::Drop => return LadderOutcome::refused(),
            Keep::NeedResource => return LadderOutcome::needs_resource(),
        }
        // A failed read may succeed the next time, so its outcome is not kept for later requests.
        let failed = |_| LadderOutcome { stands: false, ..LadderOutcome::needs_resource() };
        self.rule(&Known::Row(&data), &self.requester).unwrap_or_else(failed)
    }
}

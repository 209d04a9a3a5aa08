//! The lens of one party on one snapshot: who asks, what the scopes reach, and the decisions made so far.
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::auth::{Party, Permission, Role};
use crate::definitions::TypeDef;
use crate::model::{Millis, Node};
use crate::search::Keep;
use crate::store::{Repository, Snapshot, StoreError, Stored};

use super::codes::Code;
use super::compiled_consent::CompiledConsent;
use super::consent_cache::{CachedState, ConsentCache, TellingReferences};
use super::data::DataFacts;
use super::decision::Basis;
use super::decision_cache::Decisions;
use super::identities::{Membership, actors, requester};
use super::policy::Settings;
use super::reference_masking::NamedTarget;
use super::release::{WITHHELD_MAX, Withheld};
use super::requester::Requester;
use super::scope_reach::ScopeReach;

/// What a party may see of a snapshot.
pub struct Lens<'s> {
    pub(super) repository: Repository<'s>,
    pub(super) party: Arc<Party>,
    pub(super) settings: Arc<Settings>,
    pub(super) requester: Requester,
    pub(super) is_own: bool,
    pub(super) reach: ScopeReach,
    pub(super) cache: Arc<CachedState>,
    pub(super) telling: Arc<TellingReferences>,
    /// A hypothetical Consent, which counts as if it were stored.
    pub(super) supposed: Option<CompiledConsent>,
    /// `reusable` has decisions that later requests with the same key may reuse, `own_decisions` those of this request alone.
    pub(super) reusable: OnceLock<Arc<Decisions>>,
    pub(super) own_decisions: Decisions,
    /// The references of the resources that Consents name as `related`, cached.
    pub(super) references: Mutex<HashMap<String, Arc<BTreeSet<String>>>>,
    /// The party's membership of the teams that Consents of a patient name, by team and patient, cached.
    pub(super) memberships: Mutex<HashMap<(String, String), Membership>>,
    /// The facts of the resources that the same commit writes, by `Type/id`. Resources that name them take on their subjects.
    pub(super) coming: HashMap<String, DataFacts>,
    /// Whether the targets of references are shown to the party, cached.
    pub(super) targets: Mutex<HashMap<NamedTarget, Target>>,
    /// The facts of the resources that were looked at last, by their text.
    facts: Mutex<Vec<(String, Arc<DataFacts>)>>,
    /// The resources that were asked for and not shown, for the access record.
    withheld: Mutex<Vec<Withheld>>,
}

/// What a lens is made of: the state of the store, who looks at it, and by which rules and Consents.
pub struct LensParts<'s, 'c> {
    pub snapshot: &'s dyn Snapshot,
    pub party: Arc<Party>,
    pub settings: Arc<Settings>,
    pub consents: &'c ConsentCache,
    /// The time at which Consents are in force or not, in milliseconds since 1970.
    pub now: Millis,
}

impl<'s> Lens<'s> {
    /// The lens of a party at a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the party's organization cannot be read.
    pub fn new(parts: LensParts<'s, '_>) -> Result<Self, StoreError> {
        let LensParts { snapshot, party, settings, consents, now } = parts;
        let repository = Repository::new(snapshot);
        let of_state = consents.of(snapshot)?;
        let mut requester = requester(&repository, &of_state, &party, now)?;
        let is_own = !requester.actors.is_disjoint(&settings.own);
        let treats = |purpose: &Code| purpose.is_within(&Code::purpose("TREAT"));
        requester.treats_here = is_own
            && party.role == Role::Clinician
            && !requester.purposes.is_empty()
            && requester.purposes.iter().all(treats);
        for own in &settings.own {
            let house = of_state.organization(own, || actors(&repository, own))?;
            requester.house_identifiers.extend(house.identifiers.iter().cloned());
        }
        requester.actions = if is_own { vec!["access", "use"] } else { vec!["access", "use", "disclose"] };
        Ok(Self {
            repository,
            settings,
            requester,
            is_own,
            reach: ScopeReach::new(party.clone()),
            party,
            cache: of_state,
            telling: consents.telling.clone(),
            supposed: None,
            reusable: OnceLock::new(),
            own_decisions: Decisions::default(),
            references: Mutex::default(),
            memberships: Mutex::default(),
            coming: HashMap::new(),
            targets: Mutex::default(),
            facts: Mutex::default(),
            withheld: Mutex::default(),
        })
    }

    /// Treats a resource that the same commit writes as if it were stored under this reference.
    pub fn expect(&mut self, reference: String, resource: Node<'_>) {
        self.coming.insert(reference, DataFacts::of(resource));
    }

    /// Removes and returns the resources that were withheld so far, for the access record.
    #[must_use]
    pub fn take_withheld(&self) -> Vec<Withheld> {
        std::mem::take(&mut *self.withheld.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn withhold(&self, reference: String, patients: BTreeSet<String>, basis: Basis) {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        if withheld.len() < WITHHELD_MAX {
            withheld.push(Withheld { reference, patients, basis });
        }
    }

    /// The same lens as if this Consent were stored.
    #[must_use]
    pub fn supposing(self, consent: CompiledConsent) -> Self {
        // Decisions under a hypothetical Consent must not reach the cache that other lenses share.
        let reusable = OnceLock::from(Arc::default());
        let own_decisions = Decisions::default();
        Self { supposed: Some(consent), reusable, own_decisions, targets: Mutex::default(), ..self }
    }

    /// The lens of an interaction that needs this permission on a type, or on all types if `None`.
    #[must_use]
    pub fn for_reading(self, permission: Permission, def: Option<&'static TypeDef>) -> Self {
        let reusable = if self.supposed.is_some() { self.reusable } else { OnceLock::new() };
        let own_decisions = Decisions::default();
        Self { reach: self.reach.asked(permission, def), reusable, own_decisions, ..self }
    }

    /// The facts of a resource. The steps of a write ask for those of the same one or two resources many times.
    #[must_use]
    pub fn facts_of(&self, resource: Node<'_>) -> Arc<DataFacts> {
        /// The version before and the version after.
        const KEPT: usize = 2;
        let text = resource.raw();
        let mut known = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, facts)) = known.iter().find(|(of, _)| of == text) {
            return facts.clone();
        }
        let facts = Arc::new(DataFacts::of(resource));
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((text.to_owned(), facts.clone()));
        facts
    }

    /// The resources of the snapshot.
    #[must_use]
    pub fn repository(&self) -> &Repository<'s> {
        &self.repository
    }

    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Whether the party is staff of the own organization.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether the party reads access records: privacy officers and administrators of the own organization do.
    #[must_use]
    pub fn may_audit(&self) -> bool {
        self.is_own && self.party.may_audit()
    }

    /// Whether the party is this patient (`Patient/id`), or represents the patient.
    #[must_use]
    pub fn is_subject(&self, patient: &str) -> bool {
        if self.requester.self_patient.as_deref() == Some(patient) {
            return true;
        }
        // A failing store makes the following reads fail too; until then nobody represents anybody.
        let acts = |consents: Arc<Vec<CompiledConsent>>| {
            let known = self.requester_for(patient, &consents, &self.requester)?;
            Ok(known.represents.contains(patient))
        };
        self.requester.represents.contains(patient)
            && self.consents(patient).and_then(acts).is_ok_and(|represents| represents)
    }

    /// Whether scopes and launch context, or representation, let the party reach the file of a patient (`Patient/id`).
    #[must_use]
    pub fn reaches_file(&self, patient: &str) -> bool {
        let owners = BTreeSet::from([patient.to_owned()]);
        let reach = self.reach.of(self.reach.letters("Patient"), "Patient", &owners, None);
        let represents = self.requester.represents.contains(patient);
        (reach == Keep::Keep || represents) && !self.reach.is_outside_confinement(&owners)
    }

    /// Whether a scope with one of these permissions reaches all resources of a type, whatever their content and subjects.
    #[must_use]
    pub fn reaches_all(&self, letters: &[Permission], def: &TypeDef) -> bool {
        self.reach.is_whole(letters, &def.name)
    }

    /// Whether a scope with one of these permissions reaches a resource, by its type, subjects and content.
    #[must_use]
    pub fn is_reached(&self, letters: &[Permission], resource: Node<'_>) -> bool {
        let reach = |data: DataFacts| self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        // A failing store makes the following reads fail too; until then nothing is reached.
        self.with_what_it_names(&self.facts_of(resource)).is_ok_and(|data| reach(data) == Keep::Keep)
    }

    pub(super) fn data(&self, stored: &Stored) -> Result<DataFacts, StoreError> {
        Ok(DataFacts::of(self.tree(stored)?.root()))
    }

    /// The facts of a version, and whether a scope with one of these permissions reaches it.
    pub(super) fn reached(
        &self,
        letters: &[Permission],
        stored: &Stored,
    ) -> Result<(DataFacts, bool), StoreError> {
        let tree = self.tree(stored)?;
        let data = self.with_what_it_names(&DataFacts::of(tree.root()))?;
        let reach = self.reach.of(letters, &data.type_name, &data.owners, Some(tree.root()));
        Ok((data, reach == Keep::Keep))
    }
}

/// Whether the target of a reference is shown to one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Shown,
    Hidden,
    Absent,
}

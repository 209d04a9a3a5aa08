//! The lens of one party on one snapshot: who asks, what its scopes reach, and what was decided so far.
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
    /// A Consent that is taken to be stored.
    pub(super) supposed: Option<CompiledConsent>,
    /// What is decided for all that the party asks in this way, and what for this request alone.
    pub(super) standing: OnceLock<Arc<Decisions>>,
    pub(super) passing: Decisions,
    /// What resources that consents name as `related` refer to.
    pub(super) references: Mutex<HashMap<String, Arc<BTreeSet<String>>>>,
    /// What groups and teams that Consents of a patient name are to the party: team, patient.
    pub(super) memberships: Mutex<HashMap<(String, String), Membership>>,
    /// The facts of what the same commit writes, by `Type/id`: what names it belongs to whom it belongs.
    pub(super) coming: HashMap<String, DataFacts>,
    /// What references lead to, as the party may know it.
    pub(super) targets: Mutex<HashMap<NamedTarget, Target>>,
    /// What was asked for and not shown, for the record of accesses.
    withheld: Mutex<Vec<Withheld>>,
}

impl<'s> Lens<'s> {
    /// The lens of a party at a moment.
    ///
    /// # Errors
    /// [`StoreError`] if the party's organization cannot be read.
    pub fn new(
        snapshot: &'s dyn Snapshot,
        party: Arc<Party>,
        (settings, consents): (Arc<Settings>, &ConsentCache),
        now: Millis,
    ) -> Result<Self, StoreError> {
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
            standing: OnceLock::new(),
            passing: Decisions::default(),
            references: Mutex::default(),
            memberships: Mutex::default(),
            coming: HashMap::new(),
            targets: Mutex::default(),
            withheld: Mutex::default(),
        })
    }

    /// Takes a resource to be there, under a reference, that the same commit writes.
    pub fn expect(&mut self, reference: String, resource: Node<'_>) {
        self.coming.insert(reference, DataFacts::of(resource));
    }

    /// Gives away what was asked for and not shown so far, for the record of accesses.
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
        // What is decided by it is nobody's but this lens's.
        let standing = OnceLock::from(Arc::default());
        let passing = Decisions::default();
        Self { supposed: Some(consent), standing, passing, targets: Mutex::default(), ..self }
    }

    /// The lens of an interaction that needs this permission on a type, or on all.
    #[must_use]
    pub fn for_reading(self, permission: Permission, def: Option<&'static TypeDef>) -> Self {
        let standing = if self.supposed.is_some() { self.standing } else { OnceLock::new() };
        let passing = Decisions::default();
        Self { reach: self.reach.asked(permission, def), standing, passing, ..self }
    }

    /// The resources that the lens looks at.
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

    /// Whether the party reads the record of accesses: privacy officers and administrators of the own organization.
    #[must_use]
    pub fn may_audit(&self) -> bool {
        self.is_own && self.party.may_audit()
    }

    /// Whether the party is this patient (`Patient/id`), or acts for it.
    #[must_use]
    pub fn is_subject(&self, patient: &str) -> bool {
        if self.requester.self_patient.as_deref() == Some(patient) {
            return true;
        }
        // A store that fails here fails what follows; until then nobody acts for anybody.
        let acts = |consents: Arc<Vec<CompiledConsent>>| {
            let known = self.requester_for(patient, &consents, &self.requester)?;
            Ok(known.represents.contains(patient))
        };
        self.requester.represents.contains(patient)
            && self.consents(patient).and_then(acts).is_ok_and(|represents| represents)
    }

    /// Whether the party's scopes and launch context reach the file of a patient (`Patient/id`).
    #[must_use]
    pub fn reaches_file(&self, patient: &str) -> bool {
        let owners = BTreeSet::from([patient.to_owned()]);
        let reach = self.reach.of(self.reach.letters("Patient"), "Patient", &owners, None);
        let represents = self.requester.represents.contains(patient);
        (reach == Keep::Keep || represents) && !self.reach.is_outside_confinement(&owners)
    }

    /// Whether a scope with one of these letters reaches all of a type, whatever is in it and whosoever it is.
    #[must_use]
    pub fn reaches_all(&self, letters: &[Permission], def: &TypeDef) -> bool {
        self.reach.is_whole(letters, &def.name)
    }

    /// Whether a scope with one of these letters reaches a resource: by its type, by whose it is, and by what is in it.
    #[must_use]
    pub fn is_reached(&self, letters: &[Permission], resource: Node<'_>) -> bool {
        let reach = |data: DataFacts| self.reach.of(letters, &data.type_name, &data.owners, Some(resource));
        // A store that fails here fails what follows; until then nothing is reached.
        self.with_what_it_names(&DataFacts::of(resource)).is_ok_and(|data| reach(data) == Keep::Keep)
    }

    pub(super) fn data(&self, stored: &Stored) -> Result<DataFacts, StoreError> {
        Ok(DataFacts::of(self.tree(stored)?.root()))
    }

    /// The facts of a version, and whether a scope with one of these letters reaches it.
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

/// What a reference leads to, for one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Shown,
    Hidden,
    Absent,
}

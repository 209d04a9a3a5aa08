//! Who may see the record of accesses, and whose accesses are disclosures.
use crate::model::Node;
use crate::store::{Repository, Snapshot, StoreError};

use super::compiled_consent::Actor;
use super::data::DataFacts;
use super::decide::may_be_denied;
use super::decision::Basis;
use super::identities::actors;
use super::lens::Lens;
use super::policy::Settings;

impl Lens<'_> {
    /// Whether the party may see who accessed the file of a patient (`Patient/id`): who watches over accesses, and the
    /// patient, may.
    #[must_use]
    pub fn may_see_accesses_to(&self, patient: &str) -> bool {
        self.may_audit() || self.is_subject(patient)
    }

    /// Whether the party may see everybody's accesses to everybody: no scope and no confinement narrows what it may see of them.
    #[must_use]
    pub fn may_see_all_accesses(&self) -> bool {
        let letters = self.reach.letters("AuditEvent");
        self.may_audit() && self.reach.is_whole(letters, "AuditEvent") && !self.reach.is_confined()
    }

    /// Whether an actor of a Consent is the party's own organization and names nobody else beside it.
    #[must_use]
    pub fn is_exactly_own(&self, actor: &Actor) -> bool {
        let is_own = actor.reference.is_some() && actor.reference == self.party.organization;
        is_own && actor.identifiers.iter().all(|identifier| self.requester.identifiers.contains(identifier))
    }

    /// Whether a denial of the patient (`Patient/id`) that is in force may be meant for the party, whatever it denies.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_denied_by(&self, patient: &str) -> Result<bool, StoreError> {
        let consents = self.consents(patient)?;
        let requester = self.requester_for(patient, &consents, &self.requester)?;
        Ok(may_be_denied(&consents, &requester, &self.settings))
    }

    /// Notes for the record that the party asked to write a resource (`Type/id`) and may not.
    pub fn refuse_to_write(&self, reference: String, resource: Node<'_>) {
        self.withhold(reference, DataFacts::of(resource).owners, Basis::NotGoverned);
    }
}

/// Whether an organization (`Organization/id`) is the own one, itself or through what it is part of.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn is_own(snapshot: &dyn Snapshot, organization: &str, settings: &Settings) -> Result<bool, StoreError> {
    if settings.own.contains(organization) {
        return Ok(true);
    }
    let found = actors(&Repository::new(snapshot), organization)?;
    Ok(!found.references.is_disjoint(&settings.own))
}

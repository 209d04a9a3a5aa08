//! Who may see access records, and which organizations are parts of the own one.
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
    /// Whether the party may see who accessed the file of a patient (`Patient/id`): it audits, or it is the patient or a
    /// representative.
    #[must_use]
    pub fn may_see_accesses_to(&self, patient: &str) -> bool {
        self.may_audit() || self.is_subject(patient)
    }

    /// Whether the party may see all access records: it audits, and neither scopes nor confinement narrow its view.
    #[must_use]
    pub fn may_see_all_accesses(&self) -> bool {
        let letters = self.reach.letters("AuditEvent");
        self.may_audit() && self.reach.is_whole(letters, "AuditEvent") && !self.reach.is_confined()
    }

    /// Whether an actor of a Consent is the party's own organization, without an identifier of anybody else.
    #[must_use]
    pub fn is_exactly_own(&self, actor: &Actor) -> bool {
        let is_own = actor.reference.is_some() && actor.reference == self.party.organization;
        is_own && actor.identifiers.iter().all(|identifier| self.requester.identifiers.contains(identifier))
    }

    /// Whether a denial in force of the patient (`Patient/id`) may apply to the party, whatever data it denies.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_denied_by(&self, patient: &str) -> Result<bool, StoreError> {
        let consents = self.consents(patient)?;
        let requester = self.requester_for(patient, &consents, &self.requester)?;
        Ok(may_be_denied(&consents, &requester, &self.settings))
    }

    /// Notes for the access record that the party was refused to write a resource (`Type/id`).
    pub fn refuse_to_write(&self, reference: String, resource: Node<'_>) {
        self.withhold(reference, DataFacts::of(resource).owners, Basis::NotGoverned);
    }
}

/// Whether an organization (`Organization/id`) is the own one, or is part of it.
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

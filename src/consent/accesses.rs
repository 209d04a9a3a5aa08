//! Who may see the record of accesses, and whose accesses are disclosures.
use crate::model::Node;
use crate::store::{Repository, Snapshot, StoreError};

use super::data::DataFacts;
use super::decide::{Basis, Settings};
use super::identities::actors;
use super::lens::Lens;

impl Lens<'_> {
    /// Whether the party may see who accessed the file of a patient (`Patient/id`): who watches over accesses, and the
    /// patient, may.
    #[must_use]
    pub fn may_see_accesses_to(&self, patient: &str) -> bool {
        self.may_audit() || self.is_subject(patient)
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

//! The writer of a version: how it is recorded, and how that affects who may read the version.
use crate::auth::Party;
use crate::definitions::r4;
use crate::model::{Node, ResourceId};
use crate::store::{Fingerprint, StoreError, Stored, Writer};

use super::data::DataFacts;
use super::lens::{Lens, Target};
use super::naming::binaries_named;
use super::reference_masking::NamedTarget;

impl Lens<'_> {
    /// The writer to store with a version, where its readers must be told from its writer later; otherwise `None`. That is so for
    /// parties outside the own organization, for Consents, for a Binary whose security context the party must not know of, and
    /// where the version refers to something that is hidden from the party.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn writer_of(&self, resource: Node<'_>) -> Result<Option<Writer>, StoreError> {
        let is_consent = resource.str_at("resourceType") == Some("Consent");
        let is_confined = self.hides_context(resource)?;
        let is_needed =
            !self.is_own() || is_consent || is_confined || !self.hidden_targets(resource)?.is_empty();
        if !is_needed {
            return Ok(None);
        }
        let mut sees_binaries = true;
        for binary in binaries_named(resource) {
            sees_binaries &= self.look_for(&NamedTarget::Resource(binary))? == Target::Shown;
        }
        let confined_to = is_confined.then(|| self.house());
        Ok(Some(Writer { fingerprint: self.fingerprint(), sees_binaries, confined_to }))
    }

    /// Whether a Binary has a security context that the party must not know of (R4 binary.html#security-context): one that is
    /// hidden from it or, for parties outside the own organization, one that is absent.
    fn hides_context(&self, resource: Node<'_>) -> Result<bool, StoreError> {
        if resource.str_at("resourceType") != Some("Binary") {
            return Ok(false);
        }
        for reference in DataFacts::of(resource).outgoing {
            match self.look_for(&NamedTarget::Resource(reference))? {
                Target::Shown => {}
                Target::Absent if self.is_own() => {}
                Target::Absent | Target::Hidden => return Ok(true),
            }
        }
        Ok(false)
    }

    fn fingerprint(&self) -> Fingerprint {
        let Party { client, subject, .. } = &*self.party;
        fingerprint_of([client, subject])
    }

    /// The fingerprint of the party's organization. All parts of the own organization share one; a party without an organization
    /// has its own.
    fn house(&self) -> Fingerprint {
        match &self.party.organization {
            _ if self.is_own() => fingerprint_of(["own"]),
            Some(organization) => fingerprint_of(["organization", organization]),
            None => self.fingerprint(),
        }
    }

    /// Whether only another organization may see a Binary, because the writer of one of its versions could not see the security
    /// context that it set.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub(super) fn is_confined_to_others(&self, reference: &str) -> Result<bool, StoreError> {
        let (Some(def), Some(id)) =
            (r4().resource("Binary"), reference.strip_prefix("Binary/").and_then(ResourceId::parse))
        else {
            return Ok(false);
        };
        let Some(current) = self.repository.current(def, &id)? else { return Ok(false) };
        // Any version counts: a later version must not open the earlier ones.
        let house = self.repository.writers(current.row)?.into_iter().find_map(|writer| writer.confined_to);
        Ok(house.is_some_and(|house| house != self.house()))
    }

    /// Whether the party wrote this version itself. References are not masked for the writer, who knows their targets already.
    pub(super) fn has_written(&self, stored: &Stored) -> Result<bool, StoreError> {
        let writer = self.repository.writer(stored.row, stored.sequence)?;
        Ok(writer.is_some_and(|writer| writer.fingerprint == self.fingerprint()))
    }
}

fn fingerprint_of<const N: usize>(parts: [&str; N]) -> Fingerprint {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for (part, number) in parts.into_iter().zip(0_usize..) {
        if number > 0 {
            hash.update([0]);
        }
        hash.update(part);
    }
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

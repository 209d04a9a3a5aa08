//! Who wrote a version: what its writer is known by, and what that means for who reads it.
use crate::auth::Party;
use crate::definitions::r4;
use crate::model::{Node, ResourceId};
use crate::store::{Fingerprint, StoreError, Stored, Writer};

use super::data::DataFacts;
use super::lens::{Lens, Target};
use super::naming::binaries_named;
use super::reference_masking::NamedTarget;

impl Lens<'_> {
    /// What the party is known by to be the writer of a version, where references of that version may be masked for it: always for
    /// parties outside the own organization, for others where a target is hidden when it is written, or by what is written.
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

    /// Whether a Binary has a security context that the party must not be told of (R4 binary.html#security-context): what is hidden
    /// from it, and for who is not of the own organization what is absent, too.
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

    /// What the party's organization is known by: the own one as one, whatever its departments; of who has none the party itself.
    fn house(&self) -> Fingerprint {
        match &self.party.organization {
            _ if self.is_own() => fingerprint_of(["own"]),
            Some(organization) => fingerprint_of(["organization", organization]),
            None => self.fingerprint(),
        }
    }

    /// Whether a Binary is for another organization alone, because the writer of one of its versions could not see the security context
    /// that it gave it.
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
        // Of whichever version it was: a later one does not open those before it.
        let house = self.repository.writers(current.row)?.into_iter().find_map(|writer| writer.confined_to);
        Ok(house.is_some_and(|house| house != self.house()))
    }

    /// Whether the party has written this version itself: what it names tells its writer nothing.
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

//! Visibility of earlier versions: the labels and subjects of every later version apply to them too. A walk from the newest
//! version to the oldest accumulates these in a [`HighWaterMark`], so that each version is read once.
use std::collections::BTreeSet;

use crate::auth::Permission;
use crate::store::{StoreError, Stored};

use super::codes::Code;
use super::decision::{Basis, Decision};
use super::disclosed::Disclosed;
use super::high_water_mark::HighWaterMark;
use super::lens::Lens;

impl Lens<'_> {
    /// Adds the labels and subjects of a version to `later`, without showing the version. The version must have a text.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn remember(&self, stored: &Stored, later: &mut HighWaterMark) -> Result<(), StoreError> {
        let (data, is_reached) = self.reached(self.reach.letters(&stored.def.name), stored)?;
        later.labels.extend(data.labels);
        later.owners.extend(data.owners);
        later.of_unknown |= data.of_unknown;
        later.is_unreached |= !is_reached;
        Ok(())
    }

    /// Adds the labels and subjects of a version to `later`, and shows the version if the party may see it under all of them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show_before(
        &self,
        stored: &Stored,
        version_id: &str,
        later: &mut HighWaterMark,
    ) -> Result<Option<Disclosed>, StoreError> {
        self.show_before_to(self.reach.letters(&stored.def.name), stored, version_id, later)
    }

    /// Like [`Self::show_before`], for scopes with one of these permissions.
    pub(super) fn show_before_to(
        &self,
        letters: &[Permission],
        stored: &Stored,
        version_id: &str,
        later: &mut HighWaterMark,
    ) -> Result<Option<Disclosed>, StoreError> {
        let Some((basis, concerned)) = self.decided_before(letters, stored, later)? else { return Ok(None) };
        let is_writer = || self.has_written(stored);
        self.disclosed(stored, version_id, basis, concerned, &is_writer).map(Some)
    }

    /// Shows a version that the party has just written, if it may see it. References are not masked for their writer.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn show_written(&self, stored: &Stored, version_id: &str) -> Result<Option<Disclosed>, StoreError> {
        let letters = self.reach.letters(&stored.def.name);
        let decided = self.decided_before(letters, stored, &mut HighWaterMark::default())?;
        let Some((basis, concerned)) = decided else { return Ok(None) };
        self.disclosed(stored, version_id, basis, concerned, &|| Ok(true)).map(Some)
    }

    /// The basis for releasing a version, with its subjects and labels; `None` if the version is withheld.
    fn decided_before(
        &self,
        letters: &[Permission],
        stored: &Stored,
        later: &mut HighWaterMark,
    ) -> Result<Option<(Basis, Concerned)>, StoreError> {
        let (mut data, is_reached) = self.reached(letters, stored)?;
        later.labels.extend(data.labels);
        later.owners.extend(data.owners);
        later.of_unknown |= data.of_unknown;
        later.is_unreached |= !is_reached;
        data.labels = later.labels.clone();
        data.owners = later.owners.clone();
        data.of_unknown = later.of_unknown;
        data.level();
        let refused = Decision { permit: false, basis: Basis::NotGoverned };
        let decision = if later.is_unreached { refused } else { self.decide(&data)? };
        if !decision.permit {
            let reference = format!("{}/{}", stored.def.name, stored.id);
            self.withhold(reference, data.owners, decision.basis);
            return Ok(None);
        }
        Ok(Some((decision.basis, (data.owners, data.labels))))
    }
}

/// The subjects and labels of a version that is released.
type Concerned = (BTreeSet<String>, BTreeSet<Code>);

//! The patients whom a request concerned although its answer showed nothing of them. A later look-up adds them to the access log.
use std::collections::BTreeSet;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::definitions::r4;
use crate::model::{Millis, ResourceId};
use crate::store::{Repository, Snapshot, StoreError};

/// An addition that concerns more patients than this stores their rows and not their ids.
pub(super) const LISTED_MAX: usize = 64;

/// How a request concerned patients of whom it showed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// Their data were counted.
    Counted,
    /// A value in the request, such as an id or identifier, belongs to this patient alone.
    Sought,
}

/// What a record that adds patients says of the requests to which it adds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    pub concern: Concern,
    /// The number of requests of the same party with the same query that it covers.
    pub times: usize,
    /// Milliseconds since 1970 of the first and the last of them.
    pub first: Millis,
    pub last: Millis,
    /// Commit and number of the record of the first request.
    pub of: (u64, u32),
    /// The rows of the patients, if they are many: a Roaring treemap in its portable form, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<String>,
    /// The row of the patient for whom this part of the record was read.
    #[serde(skip)]
    pub(super) part: Option<u64>,
}

/// Patients by row, or by id (`Patient/id`) if no Patient with that id was ever stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patients {
    pub rows: RoaringTreemap,
    pub ids: BTreeSet<String>,
}

impl Patients {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ids.is_empty()
    }

    /// Adds a patient by id.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn add(&mut self, snapshot: &dyn Snapshot, id: &str) -> Result<(), StoreError> {
        match row_of_patient(snapshot, id)? {
            Some(row) => drop(self.rows.insert(row)),
            None => drop(self.ids.insert(format!("Patient/{id}"))),
        }
        Ok(())
    }

    /// Removes the patients (`Patient/id`) whom a record names already.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn remove(&mut self, snapshot: &dyn Snapshot, known: &[String]) -> Result<(), StoreError> {
        for patient in known {
            self.ids.remove(patient);
            let id = patient.strip_prefix("Patient/").unwrap_or(patient);
            if let Some(row) = row_of_patient(snapshot, id)? {
                self.rows.remove(row);
            }
        }
        Ok(())
    }
}

/// The row of a patient by id, even if the Patient was deleted or erased.
pub(super) fn row_of_patient(snapshot: &dyn Snapshot, id: &str) -> Result<Option<u64>, StoreError> {
    match (r4().resource("Patient"), ResourceId::parse(id)) {
        (Some(def), Some(id)) => Repository::new(snapshot).row_ever(def, &id),
        _ => Ok(None),
    }
}

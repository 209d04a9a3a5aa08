//! Compiled Consents, kept from one request to the next. They are of one state of all Consents: whatever Consent is written,
//! the next request compiles anew, so that a revocation holds from then on.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Sequence, Snapshot, StoreError, consents_key};

use super::program::Program;

/// The Consents of so many patients are kept.
const PATIENTS_MAX: usize = 200_000;

/// The Consents of patients (`Patient/id`), compiled.
#[derive(Default)]
pub(super) struct OfState(Mutex<HashMap<String, Arc<Vec<Program>>>>);

impl OfState {
    pub(super) fn get(&self, patient: &str) -> Option<Arc<Vec<Program>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(patient).cloned()
    }

    pub(super) fn insert(&self, patient: &str, programs: &Arc<Vec<Program>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < PATIENTS_MAX {
            known.insert(patient.to_owned(), programs.clone());
        }
    }
}

/// What is kept: of the newest state that was asked for.
#[derive(Default)]
pub struct Programs(Mutex<Option<(Option<Sequence>, Arc<OfState>)>>);

impl Programs {
    /// What is kept of the Consents of a snapshot.
    pub(super) fn of(&self, snapshot: &dyn Snapshot) -> Result<Arc<OfState>, StoreError> {
        let epoch = snapshot.get(&consents_key())?.map(|(_, sequence)| sequence);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, of_state)) if *known == epoch => Ok(of_state.clone()),
            // A request that began before the last change has its own.
            Some((known, _)) if *known > epoch => Ok(Arc::default()),
            _ => {
                let of_state = Arc::<OfState>::default();
                *kept = Some((epoch, of_state.clone()));
                Ok(of_state)
            }
        }
    }
}

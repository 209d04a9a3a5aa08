//! Cache of compiled Consents, which requests share. It reflects one state of all Consents: after a Consent is written its
//! patients' entries are dropped, so that a revocation holds from the next request on.
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::definitions::r4;
use crate::model::parse;
use crate::store::{Repository, Sequence, Snapshot, StoreError, consents_key, governing_key, persons_key};

use super::compiled_consent::CompiledConsent;
use super::decision_cache::DecisionCache;
use super::reference_masking::NamedTarget;
use super::stored::reference_at;

/// The number of patients whose Consents are cached.
const PATIENTS_MAX: usize = 200_000;
/// The number of versions whose revealing references are cached, some 200 bytes each.
const TELLING_MAX: usize = 50_000;
/// If more Consents than this were written since, the whole cache is dropped.
const CHANGES_MAX: usize = 10_000;

/// The Consents that apply to a patient.
#[derive(Clone)]
struct PatientConsents {
    consents: Arc<Vec<CompiledConsent>>,
    /// The other files of the same person (`Patient/id`), whose Consents are included.
    others: Vec<String>,
}

/// The compiled Consents of patients (`Patient/id`), and the decisions based on them.
#[derive(Default)]
pub(super) struct CachedState {
    of_patients: Mutex<HashMap<String, PatientConsents>>,
    pub(super) decisions: DecisionCache,
    /// The organization-wide policies: Consents that name no patient.
    policies: OnceLock<Arc<Vec<CompiledConsent>>>,
    organizations: Mutex<HashMap<String, Arc<Actors>>>,
    /// The patients about whom decisions may differ from those about others; `None` if they are too many.
    governed: OnceLock<Option<Arc<BTreeSet<String>>>>,
    /// For how many patients the Consents had to be read.
    read: AtomicUsize,
}

/// Once the Consents of more patients than this had to be read, it is found out which patients have any.
const READ_SINGLY_MAX: usize = 64;

/// An actor, and for an organization also its parents: references, and identifiers as system and value.
#[derive(Default)]
pub(super) struct Actors {
    pub(super) references: BTreeSet<String>,
    pub(super) identifiers: BTreeSet<(String, String)>,
}

/// The number of cached organizations and practitioners.
const ORGANIZATIONS_MAX: usize = 1_000;

impl CachedState {
    pub(super) fn get(&self, patient: &str) -> Option<Arc<Vec<CompiledConsent>>> {
        let known = self.of_patients.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(patient).map(|of_patient| of_patient.consents.clone())
    }

    pub(super) fn insert(
        &self,
        patient: &str,
        files: BTreeSet<String>,
        consents: &Arc<Vec<CompiledConsent>>,
    ) {
        let mut known = self.of_patients.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < PATIENTS_MAX {
            let others = files.into_iter().filter(|file| file != patient).collect();
            known.insert(patient.to_owned(), PatientConsents { consents: consents.clone(), others });
        }
    }

    /// The organization-wide policies. If they are not cached, `find` reads them.
    pub(super) fn policies(
        &self,
        find: impl FnOnce() -> Result<Vec<CompiledConsent>, StoreError>,
    ) -> Result<Arc<Vec<CompiledConsent>>, StoreError> {
        if let Some(known) = self.policies.get() {
            return Ok(known.clone());
        }
        let found = Arc::new(find()?);
        Ok(self.policies.get_or_init(|| found).clone())
    }

    /// The ids of the patients whom Consents name, and of those whose files are joined with others; `None` if they are too many. If
    /// they are not cached, `find` reads them.
    pub(super) fn governed(
        &self,
        find: impl FnOnce() -> Result<Option<BTreeSet<String>>, StoreError>,
    ) -> Result<Option<Arc<BTreeSet<String>>>, StoreError> {
        if let Some(known) = self.governed.get() {
            return Ok(known.clone());
        }
        let found = find()?.map(Arc::new);
        Ok(self.governed.get_or_init(|| found).clone())
    }

    /// Notes that the Consents of one more patient are needed. `true` if there were so many that it pays to find out which patients
    /// have any.
    pub(super) fn needs_one_more(&self) -> bool {
        self.governed.get().is_some() || self.read.fetch_add(1, Ordering::Relaxed) >= READ_SINGLY_MAX
    }

    /// The references and identifiers of an organization or practitioner. If they are not cached, `find` reads them.
    pub(super) fn organization(
        &self,
        reference: &str,
        find: impl FnOnce() -> Result<Actors, StoreError>,
    ) -> Result<Arc<Actors>, StoreError> {
        let lock = || self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(reference) {
            return Ok(known.clone());
        }
        let found = Arc::new(find()?);
        let mut known = lock();
        if known.len() < ORGANIZATIONS_MAX {
            known.insert(reference.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// A copy without decisions and organizations, and without the entries to which these patients' Consents contribute.
    fn without(&self, changed: &BTreeSet<String>) -> Self {
        let known = self.of_patients.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = |patient: &String, of_patient: &PatientConsents| {
            !changed.contains(patient) && !of_patient.others.iter().any(|other| changed.contains(other))
        };
        let kept = known.iter().filter(|(patient, of_patient)| is_kept(patient, of_patient));
        let kept = kept.map(|(patient, of_patient)| (patient.clone(), of_patient.clone())).collect();
        // Who is named no more may stay among the governed: then its Consents are read, and there are none.
        let governed = self.governed.get().cloned().flatten().map(|before| {
            let ids = changed.iter().filter_map(|patient| patient.strip_prefix("Patient/"));
            Some(Arc::new(before.iter().map(String::as_str).chain(ids).map(str::to_owned).collect()))
        });
        Self {
            of_patients: Mutex::new(kept),
            policies: self.policies.clone(),
            governed: governed.map_or_else(OnceLock::new, OnceLock::from),
            ..Self::default()
        }
    }
}

/// The sequences of the last changes that the cache depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    /// The last change of a Consent, of `Patient.link`, of an Organization or of a Practitioner.
    governing: Option<Sequence>,
    consents: Option<Sequence>,
    persons: Option<Sequence>,
}

/// The revealing references of a version, by row and sequence. Entries never go stale, because versions never change.
pub(super) type TellingReferences = quick_cache::sync::Cache<(u64, Sequence), Arc<[NamedTarget]>>;

/// Cache of the newest state that a request asked for, and of the revealing references of versions.
pub struct ConsentCache {
    newest: Mutex<Option<(Epoch, Arc<CachedState>)>>,
    pub(super) telling: Arc<TellingReferences>,
}

impl Default for ConsentCache {
    fn default() -> Self {
        Self { newest: Mutex::default(), telling: Arc::new(TellingReferences::new(TELLING_MAX)) }
    }
}

impl ConsentCache {
    /// The cached state for a snapshot. Entries that later writes made stale are dropped first.
    pub(super) fn of(&self, snapshot: &dyn Snapshot) -> Result<Arc<CachedState>, StoreError> {
        let last = |key: Vec<u8>| Ok::<_, StoreError>(snapshot.get(&key)?.map(|(_, sequence)| sequence));
        let governing = last(governing_key())?;
        let mut kept = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, of_state)) = &*kept
            && known.governing == governing
        {
            return Ok(of_state.clone());
        }
        let epoch = Epoch { governing, consents: last(consents_key())?, persons: last(persons_key())? };
        let of_state = match &*kept {
            // A snapshot older than the cached state gets an empty state of its own.
            Some((known, _)) if known.governing > epoch.governing => {
                return Ok(Arc::default());
            }
            Some((known, of_state)) if known.persons == epoch.persons => {
                match changed_since(snapshot, known.consents)? {
                    Some(changed) => Arc::new(of_state.without(&changed)),
                    None => Arc::default(),
                }
            }
            Some(_) | None => Arc::default(),
        };
        *kept = Some((epoch, of_state.clone()));
        Ok(of_state)
    }
}

/// The patients whose Consents were written after a commit: those whom a changed Consent names now or named before. `None` if
/// there are too many changes, or if an organization-wide policy changed.
fn changed_since(
    snapshot: &dyn Snapshot,
    known: Option<Sequence>,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let repository = Repository::new(snapshot);
    let Some(def) = r4().resource("Consent") else { return Ok(None) };
    let since = known.unwrap_or(Sequence(0));
    let rows = repository.rows_written_since(def, since, CHANGES_MAX + 1)?;
    if rows.len() > CHANGES_MAX {
        return Ok(None);
    }
    let mut patients = BTreeSet::new();
    for row in rows {
        for sequence in repository.versions(row)? {
            if let Some(stored) = repository.version(row, sequence)?
                && let Ok(tree) = parse(stored.text.into_bytes())
            {
                match reference_at(tree.root(), "patient") {
                    Some(patient) => drop(patients.insert(patient)),
                    // A change of an organization-wide policy affects every patient.
                    None => return Ok(None),
                }
            }
            // The last version before the changes counts too: a Consent may have moved to another patient.
            if sequence <= since {
                break;
            }
        }
    }
    Ok(Some(patients))
}

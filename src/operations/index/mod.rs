//! The search parameters in force: those of the standard, and those that SearchParameter resources of this server define. A new
//! one is indexed while the server serves, and can be searched by once its index is complete.

mod definition;
mod indexed;
mod job;
mod progress;

use std::sync::{Arc, PoisonError, RwLock};

use crate::definitions::{SearchParamRow, r4};
use crate::search::{SearchParams, search_params};
use crate::store::{Packing, Repository, Sequence, Snapshot, StoreError, definitions_key, indexed_key};

pub use definition::Unserved;
use indexed::Indexed;
pub use progress::Progress;

/// The search parameters that are in force in a snapshot, cached, and the job that indexes by them.
#[derive(Default)]
pub struct Index {
    cached: RwLock<Option<(Epoch, Arc<SearchParams>)>>,
    job: progress::Job,
    packing: Arc<Packing>,
}

/// The last commits to SearchParameters and to the list of what is indexed: the cache is valid while both stay the same.
type Epoch = (Option<Sequence>, Option<Sequence>);

/// A SearchParameter resource of this server: its URL, and its row or why it defines none.
pub type Defined = (String, Result<SearchParamRow, Unserved>);

impl Index {
    /// An index that packs its writes with this dictionary.
    #[must_use]
    pub fn packing_as(packing: Arc<Packing>) -> Self {
        Self { packing, ..Self::default() }
    }

    /// The search parameters that are in force in a snapshot.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn params(&self, snapshot: &dyn Snapshot) -> Result<Arc<SearchParams>, StoreError> {
        let sequence = |key: &[u8]| snapshot.get(key).map(|found| found.map(|(_, sequence)| sequence));
        let epoch = (sequence(&definitions_key())?, sequence(&indexed_key())?);
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, params)) = cached.as_ref().filter(|(known, _)| *known == epoch) {
            return Ok(params.clone());
        }
        drop(cached);
        let params = Arc::new(read(snapshot)?);
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some((epoch, params.clone()));
        Ok(params)
    }

    /// How far the indexing is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.job.progress()
    }
}

fn read(snapshot: &dyn Snapshot) -> Result<SearchParams, StoreError> {
    let indexed = Indexed::read(snapshot)?;
    let rows: Vec<SearchParamRow> =
        definitions(snapshot)?.into_iter().filter_map(|(_, defined)| defined.ok()).collect();
    Ok(search_params().extended(r4(), &rows, &|def, param| indexed.has(def, param)))
}

/// What the SearchParameter resources of a snapshot define, hidden ones included: the index covers everything.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn definitions(snapshot: &dyn Snapshot) -> Result<Vec<Defined>, StoreError> {
    let repository = Repository::new(snapshot);
    let Some(def) = r4().resource("SearchParameter") else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for row in repository.rows_of_type(def, None, usize::MAX)? {
        let Some(current) = repository.current_of_row(row)?.filter(|current| !current.deleted) else {
            continue;
        };
        let stored = repository.newest(&current)?;
        found.extend(definition::definition(&stored.text));
    }
    Ok(found)
}

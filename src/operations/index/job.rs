//! Indexes resources while the server serves: it writes the difference of the entries that a resource has and should have. A
//! write that was derived with other search parameters than those in force does not commit, so no resource is missed.
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::definitions::TypeDef;
use crate::model::{message_error, parse};
use crate::search::SearchParams;
use crate::store::{
    At, Batch, CommitError, Derive as _, Draft, Expectation, Kv, Packing, Repository, Snapshot, StoreError,
    definitions_key,
};

use super::super::derive::SearchIndex;
use super::indexed::Indexed;
use super::progress::Progress;
use super::{Index, definitions};

message_error! {
    /// Why indexing cannot begin.
    pub IndexingError
}

/// How many resources one commit indexes.
const BATCH_ROWS: usize = 512;
/// How often a single resource is tried again while others change it.
const TRIES_MAX: usize = 64;

impl Index {
    /// Asks for everything to be indexed anew, by the thread that keeps the index up to date.
    pub fn ask_for_all(&self) {
        self.job.all.store(true, Ordering::Release);
        self.job.tell(|progress| *progress = Progress { running: true, ..Progress::default() });
    }

    /// Whether `ask_for_all` was called since this was last asked.
    #[must_use]
    pub fn is_asked_for_all(&self) -> bool {
        self.job.all.swap(false, Ordering::AcqRel)
    }

    /// Whether a release with another way of indexing wrote the store, so that no search would be right.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_of_another_release(&self, kv: &dyn Kv) -> Result<bool, StoreError> {
        let snapshot = kv.snapshot(At::Latest)?;
        Ok(!Indexed::read(&*snapshot)?.has_standard())
    }

    /// Marks a store that was just made as completely indexed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&self, kv: &dyn Kv) -> Result<(), IndexingError> {
        let failed = |error: &dyn std::fmt::Display| format!("what is indexed: {error}");
        let snapshot = kv.snapshot(At::Latest).map_err(|error| failed(&error))?;
        let has_any = Repository::new(&*snapshot).has_resources().map_err(|error| failed(&error))?;
        if has_any || snapshot.get(&crate::store::indexed_key()).map_err(|error| failed(&error))?.is_some() {
            return Ok(());
        }
        let batch = Batch { writes: vec![Indexed::of_nothing().write()], ..Batch::default() };
        kv.commit(batch).wait().map(drop).map_err(|error| failed(&error).into())
    }

    /// Indexes what is not indexed as the search parameters say; with `all`, everything. Returns how many resources it looked at.
    /// Once `is_wanted` returns `false`, the work stops; a later call indexes what still does not match the search parameters.
    ///
    /// # Errors
    /// If the store fails.
    pub fn catch_up(&self, kv: &dyn Kv, all: bool, is_wanted: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        let _one_at_a_time = self.job.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        let mut finished: Vec<&'static TypeDef> = Vec::new();
        while is_wanted() {
            let snapshot = kv.snapshot(At::Latest)?;
            let params = self.params(&*snapshot)?;
            let indexed = Indexed::read(&*snapshot)?;
            let is_left = |def: &&'static TypeDef| !finished.iter().any(|known| known.id == def.id);
            let types: Vec<&'static TypeDef> = if all {
                crate::definitions::r4().resources().filter(is_left).collect()
            } else {
                indexed.behind(&params)
            };
            let Some(def) = types.first() else { break };
            self.announce(&*snapshot, &types)?;
            if let Some(looked_at) = self.index_type(kv, &params, def, is_wanted)? {
                done += looked_at;
                finish(kv, &params, def)?;
                finished.push(def);
            }
        }
        // Everything may have been asked for again.
        let goes_on = self.job.all.load(Ordering::Acquire);
        self.job.tell(|progress| progress.running = goes_on);
        Ok(done)
    }

    fn announce(&self, snapshot: &dyn Snapshot, types: &[&'static TypeDef]) -> Result<(), StoreError> {
        let unserved = definitions(snapshot)?.into_iter().filter_map(|(url, row)| Some((url, row.err()?)));
        let unserved: Vec<(String, String)> = unserved.collect();
        let mut of = 0;
        for def in types {
            of += Repository::new(snapshot).estimate_of_type(def)?;
        }
        self.job.tell(|progress| {
            let (done, changed) = if progress.running { (progress.done, progress.changed) } else { (0, 0) };
            let types = types.iter().map(|def| def.name.to_string()).collect();
            *progress = Progress { running: true, types, done, of: done + of, changed, unserved };
        });
        Ok(())
    }

    /// `None` if the search parameters changed meanwhile, or `is_wanted` returned `false`.
    fn index_type(
        &self,
        kv: &dyn Kv,
        params: &Arc<SearchParams>,
        def: &'static TypeDef,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<u64>, StoreError> {
        let (mut from, mut looked_at) = (None, 0);
        loop {
            let snapshot = kv.snapshot(At::Latest)?;
            if !is_wanted() || !Arc::ptr_eq(&self.params(&*snapshot)?, params) {
                return Ok(None);
            }
            let rows = Repository::new(&*snapshot).rows_of_type(def, from, BATCH_ROWS)?;
            drop(snapshot);
            let Some(last) = rows.last() else { return Ok(Some(looked_at)) };
            from = last.checked_add(1);
            let changed = index_rows(&IndexingBasis { kv, params, packing: &self.packing }, &rows)?;
            let count = u64::try_from(rows.len()).unwrap_or(0);
            looked_at += count;
            self.job.tell(|progress| {
                progress.done += count;
                progress.changed += changed;
            });
        }
    }
}

/// The store, the search parameters and the packing that resources are indexed with.
struct IndexingBasis<'g> {
    kv: &'g dyn Kv,
    params: &'g Arc<SearchParams>,
    packing: &'g Packing,
}

/// Indexes some resources with one commit. If one of them changes meanwhile, each half is tried by itself: in the end a single
/// resource, which is read and written in a moment.
fn index_rows(on: &IndexingBasis<'_>, rows: &[u64]) -> Result<u64, StoreError> {
    for _ in 0..if rows.len() == 1 { TRIES_MAX } else { 1 } {
        let draft = draft(on, rows)?;
        let changed = u64::try_from(draft.batch.writes.len()).unwrap_or(0);
        if changed == 0 {
            return Ok(0);
        }
        match on.kv.commit(draft.batch).wait() {
            Ok(_) => return Ok(changed),
            Err(CommitError::Conflict { .. } | CommitError::Busy) => {}
            Err(error) => return Err(StoreError::Io(error.to_string())),
        }
    }
    if rows.len() <= 1 {
        return Err(StoreError::Io("a resource changes faster than it can be indexed".to_owned()));
    }
    let (left, right) = rows.split_at(rows.len() / 2);
    Ok(index_rows(on, left)? + index_rows(on, right)?)
}

fn draft(on: &IndexingBasis<'_>, rows: &[u64]) -> Result<Draft, StoreError> {
    let derive = SearchIndex { params: on.params.clone() };
    let snapshot = on.kv.snapshot(At::Latest)?;
    let repository = Repository::new(&*snapshot);
    let mut draft = Draft::packed(on.packing);
    for row in rows {
        let current = repository.current_of_row(*row)?.filter(|current| !current.deleted);
        // A deletion has removed the entries of its resource.
        let Some(current) = current else { continue };
        let stored = repository.newest(&current)?;
        let corrupt = |_| StoreError::Corrupt(format!("the text of row {row}"));
        let tree = parse(stored.text.into_bytes()).map_err(corrupt)?;
        draft.reindex(&*snapshot, &current, &derive.derive(current.def, tree.root()))?;
    }
    Ok(draft)
}

/// Notes that a type is completely indexed, if the search parameters are still the same.
fn finish(kv: &dyn Kv, params: &SearchParams, def: &TypeDef) -> Result<(), StoreError> {
    let snapshot = kv.snapshot(At::Latest)?;
    let indexed = Indexed::read(&*snapshot)?.with(params, def);
    let key = definitions_key();
    let sequence = snapshot.get(&key)?.map(|(_, sequence)| sequence);
    let expectations = vec![Expectation::Key { key, sequence }];
    let batch = Batch { expectations, writes: vec![indexed.write()], ..Batch::default() };
    match kv.commit(batch).wait() {
        // If a SearchParameter was written meanwhile, the type is indexed again.
        Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(StoreError::Io(error.to_string())),
    }
}

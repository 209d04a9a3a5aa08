//! Compresses texts and index entries with a dictionary that is trained on the store's own resources.
//!
//! Dictionaries are stored under their numbers like other values, so backups include them; data that an older dictionary
//! compressed stay as they are. A dictionary contains only what many patients share ([`train`]), so it keeps nothing of a
//! patient after an erasure.
mod dictionary;
pub(super) mod numbered;
mod train;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::store::key::{packing_dictionary_key, packing_key};
use crate::store::kv::{At, Kv, Snapshot, StoreError};

use super::super::batch::{Batch, CommitError, Expectation, Sequence, Write};

pub(super) use dictionary::{Dictionary, Sort};
use numbered::{dictionary_numbered, missing};

/// The number of resources at which the first dictionary is made: in a smaller store, patients have too little in common.
const ROWS_MIN: u64 = 8_192;
/// The next dictionary is made when the store has this many times as many resources.
const GROWTH: u64 = 4;

/// A dictionary and the commit that stored it. Data compressed with it may be committed only while it is still stored.
#[derive(Clone, Copy)]
pub(super) struct DictionaryInUse {
    pub(super) dictionary: &'static Dictionary,
    sequence: Sequence,
}

impl DictionaryInUse {
    pub(super) fn expectation(&self) -> Expectation {
        let key = packing_dictionary_key(self.dictionary.number);
        Expectation::Key { key, sequence: Some(self.sequence) }
    }
}

/// Chooses the dictionary for new versions.
#[derive(Default)]
pub struct Packing {
    chosen: RwLock<Option<DictionaryInUse>>,
    /// The newest row seen, and the row at which the next dictionary is due.
    newest_row: AtomicU64,
    due_row: AtomicU64,
    at_work: Mutex<()>,
}

impl Packing {
    /// Loads the dictionary that the store uses.
    ///
    /// # Errors
    /// [`StoreError`] if the dictionary cannot be read.
    pub fn of(kv: &dyn Kv) -> Result<Self, StoreError> {
        let packing = Self::default();
        packing.due_row.store(ROWS_MIN, Ordering::Relaxed);
        let snapshot = kv.snapshot(At::Latest)?;
        if let Some(made) = Made::read(&*snapshot)? {
            packing.take(&*snapshot, &made)?;
        }
        Ok(packing)
    }

    fn take(&self, snapshot: &dyn Snapshot, made: &Made) -> Result<(), StoreError> {
        let dictionary = dictionary_numbered(snapshot, made.dictionary)?;
        let stored = snapshot.get(&packing_dictionary_key(made.dictionary))?;
        let (_, sequence) = stored.ok_or_else(|| missing(made.dictionary))?;
        *self.chosen.write().unwrap_or_else(PoisonError::into_inner) =
            Some(DictionaryInUse { dictionary, sequence });
        self.due_row.store(made.rows.saturating_mul(GROWTH), Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn chosen(&self) -> Option<DictionaryInUse> {
        *self.chosen.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a row was written.
    pub fn saw(&self, row: u64) {
        self.newest_row.fetch_max(row, Ordering::Relaxed);
    }

    /// Makes a dictionary if one is due, and tells whether it did. Does not wait for a call that is already making one.
    ///
    /// # Errors
    /// [`StoreError`] if resources cannot be read or the dictionary cannot be committed.
    pub fn tend(&self, kv: &Arc<dyn Kv>) -> Result<bool, StoreError> {
        let due = self.due_row.load(Ordering::Relaxed);
        let newest = self.newest_row.load(Ordering::Relaxed);
        if due == 0 || newest < due {
            return Ok(false);
        }
        let Ok(_at_work) = self.at_work.try_lock() else { return Ok(false) };
        // Set first, so that a failure or an unusable result is not tried again at once.
        self.due_row.store(newest.saturating_mul(2), Ordering::Relaxed);
        let snapshot = kv.snapshot(At::Latest)?;
        let before = Made::read_with_sequence(&*snapshot)?;
        if let Some((made, _)) = &before
            && newest < made.rows.saturating_mul(GROWTH)
        {
            // Another server on the same store has made one.
            self.take(&*snapshot, made)?;
            return Ok(false);
        }
        let Some(trained) = train::train(&*snapshot, newest)? else { return Ok(false) };
        let made = Made { dictionary: Dictionary::number_of(&trained), rows: newest };
        let put = |key, value| Write { key, value: Some(value), ..Write::default() };
        let batch = Batch {
            writes: vec![
                put(packing_key(), made.encode()),
                put(packing_dictionary_key(made.dictionary), trained),
            ],
            expectations: vec![Expectation::Key {
                key: packing_key(),
                sequence: before.map(|(_, sequence)| sequence),
            }],
            ..Batch::default()
        };
        match kv.commit(batch).wait() {
            Ok(_) => self.take(&*kv.snapshot(At::Latest)?, &made)?,
            // Another server was faster. The next call finds its dictionary.
            Err(CommitError::Conflict { .. }) => {
                self.due_row.store(newest, Ordering::Relaxed);
                return Ok(false);
            }
            Err(error) => return Err(StoreError::Io(error.to_string())),
        }
        Ok(true)
    }
}

/// The dictionary in use, and how many rows the store had when it was made: `number (4) | rows (8)`.
struct Made {
    dictionary: u32,
    rows: u64,
}

impl Made {
    fn read(snapshot: &dyn Snapshot) -> Result<Option<Self>, StoreError> {
        Ok(Self::read_with_sequence(snapshot)?.map(|(made, _)| made))
    }

    fn read_with_sequence(snapshot: &dyn Snapshot) -> Result<Option<(Self, Sequence)>, StoreError> {
        let Some((value, sequence)) = snapshot.get(&packing_key())? else { return Ok(None) };
        let made = value.split_first_chunk::<4>().and_then(|(number, rows)| {
            let rows = u64::from_be_bytes(*rows.first_chunk::<8>()?);
            Some(Self { dictionary: u32::from_be_bytes(*number), rows })
        });
        let corrupt = || StoreError::Corrupt("which dictionary is in use".to_owned());
        Ok(Some((made.ok_or_else(corrupt)?, sequence)))
    }

    fn encode(&self) -> Vec<u8> {
        [&self.dictionary.to_be_bytes()[..], &self.rows.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests;

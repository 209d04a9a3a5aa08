//! How texts and index entries are made small: with a dictionary of what the store's own resources have in common.
//!
//! A dictionary stands under its number in the store, like any other value, so it goes with every backup; what was packed
//! with an older one stays as it is. It holds nothing that is not of many patients ([`train`]), so nothing of a patient's
//! is left in it after an erasure.
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

/// So many resources are there when the first dictionary is made: fewer patients share too little.
const ROWS_MIN: u64 = 8_192;
/// How many times as many resources there are when the next one is made.
const GROWTH: u64 = 4;

/// A dictionary, and the commit that the store has it by: what is packed with it may only be committed while it is there.
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

/// Which dictionary new versions are packed with.
#[derive(Default)]
pub struct Packing {
    chosen: RwLock<Option<DictionaryInUse>>,
    /// The newest row that was seen, and the one at which a dictionary is due.
    newest_row: AtomicU64,
    due_row: AtomicU64,
    at_work: Mutex<()>,
}

impl Packing {
    /// What a store has been packed with so far.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
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

    /// Makes a dictionary if one is due; whoever comes while one is being made need not wait. Tells whether it did.
    ///
    /// # Errors
    /// [`StoreError`] if resources cannot be read or the dictionary cannot be written.
    pub fn tend(&self, kv: &Arc<dyn Kv>) -> Result<bool, StoreError> {
        let due = self.due_row.load(Ordering::Relaxed);
        let newest = self.newest_row.load(Ordering::Relaxed);
        if due == 0 || newest < due {
            return Ok(false);
        }
        let Ok(_at_work) = self.at_work.try_lock() else { return Ok(false) };
        // Whatever comes of it, it is not tried again at once.
        self.due_row.store(newest.saturating_mul(2), Ordering::Relaxed);
        let snapshot = kv.snapshot(At::Latest)?;
        let before = Made::read_with_sequence(&*snapshot)?;
        if let Some((made, _)) = &before
            && newest < made.rows.saturating_mul(GROWTH)
        {
            // Another server over the same store has made one.
            self.take(&*snapshot, made)?;
            return Ok(false);
        }
        let Some(trained) = train::train(&*snapshot, newest)? else { return Ok(false) };
        let made = Made { dictionary: Dictionary::number_of(&trained), rows: newest };
        let put = |key, value| Write { key, value: Some(value), stamps: Vec::new() };
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
            // Another server was first; it is found when this one looks again.
            Err(CommitError::Conflict { .. }) => {
                self.due_row.store(newest, Ordering::Relaxed);
                return Ok(false);
            }
            Err(error) => return Err(StoreError::Io(error.to_string())),
        }
        Ok(true)
    }
}

/// Which dictionary is in use, and at how many rows it was made: `number (4) | rows (8)`.
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

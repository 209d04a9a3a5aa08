//! Loads the dictionaries of a store by their numbers.
use crate::store::key::packing_dictionary_key;
use crate::store::kv::{Snapshot, StoreError};

use super::dictionary::Dictionary;

/// Returns a dictionary by its number: from this process's memory, or else from the store.
pub(in super::super) fn dictionary_numbered(
    snapshot: &dyn Snapshot,
    number: u32,
) -> Result<&'static Dictionary, StoreError> {
    if let Some(known) = Dictionary::known(number) {
        return Ok(known);
    }
    let (value, _) = snapshot.get(&packing_dictionary_key(number))?.ok_or_else(|| missing(number))?;
    Dictionary::learn(number, &value).ok_or_else(|| missing(number))
}

pub(super) fn missing(number: u32) -> StoreError {
    StoreError::Corrupt(format!("the dictionary {number:08x} is missing or damaged"))
}

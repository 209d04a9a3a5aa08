//! A dictionary made of a sample of the store's resources.
//!
//! What stands in it must be nobody's: a name, a date, an identifier would outlive the erasure of whom it is of. So of every
//! sampled text only that goes into the making which is the same with at least [`PATIENTS_MIN`] patients: the names of
//! elements, the codes and displays that all use. All other values are left out before a dictionary is made.
use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use crate::store::kv::{Snapshot, StoreError};

use super::super::change::{each_entry, entries_value, put_entry};
use super::super::repository::Repository;
use super::dictionary::Dictionary;

/// With so many patients a value must be the same to stand in a dictionary.
const PATIENTS_MIN: usize = 5;
/// How many resources are looked at.
const SAMPLES: u64 = 10_000;
/// Larger texts are left out: documents, images.
const TEXT_BYTES_MAX: usize = 16 * 1024;
const WORDS_BYTES: usize = 110 * 1024;

struct Sample {
    patient: String,
    text: String,
    entries: Vec<u8>,
}

/// The stored form of a dictionary made of the rows up to the newest; `None` where too little is shared.
pub(super) fn train(snapshot: &dyn Snapshot, newest: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let samples = samples(snapshot, newest)?;
    let mut shared = Shared::default();
    for sample in &samples {
        each_value(&sample.text, &mut |value, is_name| {
            if !is_name {
                shared.note(value.as_bytes(), &sample.patient);
            }
        });
        each_entry(&sample.entries, &mut |param, value, contained| {
            let mut entry = Vec::new();
            put_entry(&mut entry, param, value, contained);
            shared.note(&entry, &sample.patient);
        });
    }
    let mut texts = Vec::new();
    let mut entries = Vec::new();
    for sample in &samples {
        texts.push(shared.of_text(&sample.text));
        let mut kept = Vec::new();
        each_entry(&sample.entries, &mut |param, value, contained| {
            let mut entry = Vec::new();
            put_entry(&mut entry, param, value, contained);
            if shared.has(&entry) {
                kept.extend(entry);
            }
        });
        entries.push(kept);
    }
    let words = |samples: &[Vec<u8>]| zstd::dict::from_samples(samples, WORDS_BYTES).ok();
    // zstd refuses what has too little in common.
    Ok(words(&texts).zip(words(&entries)).map(|(text, entries)| Dictionary::encode(&text, &entries)))
}

/// Resources from all over the store.
fn samples(snapshot: &dyn Snapshot, newest: u64) -> Result<Vec<Sample>, StoreError> {
    let repository = Repository::new(snapshot);
    let step = (newest / SAMPLES).max(1);
    let mut found = Vec::new();
    let mut row = 1;
    while row <= newest {
        if let Some(current) = repository.current_of_row(row)?.filter(|current| !current.deleted) {
            let text = repository.newest(&current)?.text;
            if text.len() <= TEXT_BYTES_MAX {
                // What is of nobody counts as one patient's.
                let patient = current.facts.patients.first().cloned().unwrap_or_default();
                let entries = entries_value(snapshot, row)?.to_vec();
                found.push(Sample { patient, text, entries });
            }
        }
        row += step;
    }
    Ok(found)
}

/// Values, and with how many patients they are the same.
#[derive(Default)]
struct Shared {
    hasher: RandomState,
    owners: HashMap<u64, BTreeSet<u64>>,
}

impl Shared {
    fn note(&mut self, value: &[u8], patient: &str) {
        let patient = self.hasher.hash_one(patient);
        match self.owners.entry(self.hasher.hash_one(value)) {
            Slot::Occupied(owners) if owners.get().len() >= PATIENTS_MIN => {}
            Slot::Occupied(mut owners) => drop(owners.get_mut().insert(patient)),
            Slot::Vacant(free) => drop(free.insert(BTreeSet::from([patient]))),
        }
    }

    fn has(&self, value: &[u8]) -> bool {
        let owners = self.owners.get(&self.hasher.hash_one(value));
        owners.is_some_and(|owners| owners.len() >= PATIENTS_MIN)
    }

    /// A text without the values that are not shared.
    fn of_text(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        each_value(text, &mut |value, is_name| {
            if is_name || self.has(value.as_bytes()) {
                return;
            }
            // A value is a part of the text: where it begins is how far it is from the text's beginning.
            let start = value.as_ptr().addr() - text.as_ptr().addr();
            out.extend_from_slice(text.as_bytes().get(copied..start).unwrap_or_default());
            copied = start + value.len();
        });
        out.extend_from_slice(text.as_bytes().get(copied..).unwrap_or_default());
        out
    }
}

/// Visits the names and values of a JSON text as it is stored, without white space: strings without their quotes, numbers
/// and words as they stand; and whether it is the name of an element.
pub(super) fn each_value<'t>(text: &'t str, visit: &mut dyn FnMut(&'t str, bool)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let start = at + 1;
                at = start;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes.get(at) == Some(&b'\\') { 2 } else { 1 };
                }
                let is_name = bytes.get(at + 1) == Some(&b':');
                visit(text.get(start..at).unwrap_or_default(), is_name);
                at += 1;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => at += 1,
            _ => {
                let start = at;
                while bytes.get(at).is_some_and(|byte| !matches!(byte, b',' | b'}' | b']')) {
                    at += 1;
                }
                visit(text.get(start..at).unwrap_or_default(), false);
            }
        }
    }
}

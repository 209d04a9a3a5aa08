//! Trains a dictionary on a sample of the store's resources.
//!
//! A dictionary must not identify anybody: a name, a date or an identifier in it would survive the patient's erasure. So only
//! byte strings that at least [`PATIENTS_MIN`] sampled patients have in common are used, each as a whole. First, values that
//! fewer patients have are blanked in the sampled texts, and so are references, identifiers and their display texts. A
//! blanked text that enough patients have becomes a training sample; of any other text, those of its parts do that enough
//! patients have. zstd puts pieces of the samples side by side, so they are put into a random order that hides their origin.
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::model::{JsonKind, Node, parse};
use crate::store::kv::{Snapshot, StoreError};

use super::super::entries::{each_entry, entries_value, put_entry};
use super::super::repository::Repository;
use super::dictionary::Dictionary;

/// How many patients must have a byte string in common before it may go into a dictionary.
const PATIENTS_MIN: usize = 5;
/// The maximum number of resources that are sampled.
const SAMPLES: u64 = 3_000;
/// Larger texts (documents, images) are left out.
const TEXT_BYTES_MAX: usize = 16 * 1024;
const WORDS_BYTES: usize = 110 * 1024;
/// Adjacent index entries are sampled together, in runs of these lengths; the longest that is shared counts.
const RUNS: [usize; 3] = [4, 2, 1];
/// How entries that refer to persons end. They may name somebody other than the resource's patient.
const PERSONS: [&[u8]; 3] = [b"\0\0Patient\0\0", b"\0\0RelatedPerson\0\0", b"\0\0Person\0\0"];
/// Shorter parts of a text are left out, because a dictionary would not make them any smaller.
const PART_BYTES_MIN: usize = 12;

/// Trains a dictionary on the rows up to `newest` and returns its stored form; `None` if the resources share too little.
pub(super) fn train(snapshot: &dyn Snapshot, newest: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let samples = samples(snapshot, newest)?;
    let mut shared = Shared::default();
    for sample in &samples {
        sample.note_values(&mut shared);
    }
    for sample in &samples {
        sample.note_parts(&mut shared);
    }
    let (mut texts, mut entries) = (Vec::new(), Vec::new());
    for sample in &samples {
        sample.parts(&shared, &mut texts);
        sample.runs(&shared, &mut entries);
    }
    let words = |samples: Vec<Vec<u8>>| {
        let mut samples: Vec<(usize, Vec<u8>)> = samples.into_iter().enumerate().collect();
        samples.sort_by_cached_key(|sample| shared.hasher.hash_one(sample));
        let samples: Vec<Vec<u8>> = samples.into_iter().map(|(_, sample)| sample).collect();
        zstd::dict::from_samples(&samples, WORDS_BYTES).ok()
    };
    // zstd fails if the samples have too little in common.
    Ok(words(texts).zip(words(entries)).map(|(text, entries)| Dictionary::encode(&text, &entries)))
}

/// A sampled resource of one patient.
struct Sample {
    /// A hash of the patient's id. Patients with equal hashes count as one, so a string may need one patient more.
    patient: u32,
    text: String,
    entries: Vec<Vec<u8>>,
}

/// Samples resources from all over the store, each of exactly one patient. A resource of several patients would count one
/// person's data as shared by all of them; resources of no patient cannot be counted by patient.
fn samples(snapshot: &dyn Snapshot, newest: u64) -> Result<Vec<Sample>, StoreError> {
    let repository = Repository::new(snapshot);
    let hasher = RandomState::new();
    let step = newest.div_ceil(SAMPLES).max(1);
    let mut found = Vec::new();
    let mut row = 1;
    while row <= newest {
        let current = repository.current_of_row(row)?.filter(|current| !current.deleted);
        if let Some(current) = current
            && let [patient] = current.facts.patients.as_slice()
        {
            let text = repository.newest(&current)?.text;
            if text.len() <= TEXT_BYTES_MAX {
                let mut entries = Vec::new();
                each_entry(&entries_value(snapshot, row)?, &mut |param, value, contained| {
                    let mut entry = Vec::new();
                    put_entry(&mut entry, param, value, contained);
                    if !PERSONS.iter().any(|person| entry.ends_with(person)) {
                        entries.push(entry);
                    }
                });
                let patient = (hasher.hash_one(patient) >> 32).try_into().unwrap_or_default();
                found.push(Sample { patient, text, entries });
            }
        }
        row += step;
    }
    Ok(found)
}

impl Sample {
    fn note_values(&self, shared: &mut Shared) {
        // Stored texts are JSON.
        if let Ok(tree) = parse(self.text.clone().into_bytes()) {
            each_value(tree.root(), &mut |value| shared.note(value.as_bytes(), self.patient));
        }
        for len in RUNS {
            self.entries.windows(len).for_each(|run| shared.note(&run.concat(), self.patient));
        }
    }

    fn note_parts(&self, shared: &mut Shared) {
        if let Ok(tree) = parse(self.text.clone().into_bytes()) {
            let mut parts = Vec::new();
            blank(tree.root(), &|value| shared.has(value), &mut Vec::new(), &mut |part| {
                parts.push(part.to_vec())
            });
            blank(tree.root(), &|_| false, &mut Vec::new(), &mut |part| parts.push(part.to_vec()));
            for part in parts {
                shared.note(&part, self.patient);
            }
        }
    }

    /// Collects the largest parts of the text that are shared as a whole.
    fn parts(&self, shared: &Shared, out: &mut Vec<Vec<u8>>) {
        if let Ok(tree) = parse(self.text.clone().into_bytes()) {
            largest(tree.root(), shared, out);
        }
    }

    /// Collects runs of entries that are shared as a whole, each as long as possible.
    fn runs(&self, shared: &Shared, out: &mut Vec<Vec<u8>>) {
        let mut at = 0;
        while at < self.entries.len() {
            let mut runs = RUNS.into_iter().filter_map(|len| self.entries.get(at..at + len));
            let longest = runs.find(|run| shared.has(&run.concat()));
            out.extend(longest.map(<[Vec<u8>]>::concat));
            at += longest.map_or(1, <[Vec<u8>]>::len);
        }
    }
}

fn largest(node: Node<'_>, shared: &Shared, out: &mut Vec<Vec<u8>>) {
    let mut whole = Vec::new();
    blank(node, &|value| shared.has(value), &mut whole, &mut |_| {});
    if whole.len() < PART_BYTES_MIN {
        return;
    }
    if shared.has(&whole) {
        out.push(whole);
        return;
    }
    // Only the names of its elements, without any value.
    let mut names = Vec::new();
    blank(node, &|_| false, &mut names, &mut |_| {});
    if shared.has(&names) {
        out.push(names);
    }
    node.children().for_each(|child| largest(child, shared, out));
}

/// Whether the value of an element may identify somebody: references, identifiers, narrative, attached data.
fn names_somebody(node: Node<'_>) -> bool {
    matches!(node.key(), "reference" | "identifier" | "subscriberId" | "id" | "div" | "data")
}

/// Writes a node as it is stored but only with those values that `is_kept` accepts, and calls `tell` with every part of it.
fn blank(node: Node<'_>, is_kept: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>, tell: &mut dyn FnMut(&[u8])) {
    let start = out.len();
    if !node.key().is_empty() {
        out.extend([b"\"", node.key().as_bytes(), b"\":"].concat());
    }
    match node.kind() {
        kind @ (JsonKind::Object | JsonKind::Array) => {
            let (open, close) = if kind == JsonKind::Object { (b'{', b'}') } else { (b'[', b']') };
            out.push(open);
            let is_reference = node.get("reference").is_some();
            if !names_somebody(node) {
                for (number, child) in node.children().enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    if is_reference && child.key() == "display" {
                        out.extend_from_slice(b"\"display\":\"\"");
                    } else {
                        blank(child, is_kept, out, tell);
                    }
                }
            }
            out.push(close);
        }
        JsonKind::String => {
            out.push(b'"');
            if !names_somebody(node) && is_kept(value_of(node).as_bytes()) {
                out.extend_from_slice(value_of(node).as_bytes());
            }
            out.push(b'"');
        }
        JsonKind::Number | JsonKind::Bool | JsonKind::Null => {
            if is_kept(value_of(node).as_bytes()) {
                out.extend_from_slice(value_of(node).as_bytes());
            }
        }
    }
    tell(out.get(start..).unwrap_or_default());
}

/// A value as it stands in the text; a string without its quotes.
fn value_of(node: Node<'_>) -> &str {
    let raw = node.raw();
    raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw)
}

fn each_value<'t>(node: Node<'t>, visit: &mut dyn FnMut(&'t str)) {
    match node.kind() {
        JsonKind::Object | JsonKind::Array => node.children().for_each(|child| each_value(child, visit)),
        JsonKind::String | JsonKind::Number | JsonKind::Bool | JsonKind::Null => visit(value_of(node)),
    }
}

/// Which patients have a byte string in common, counted up to [`PATIENTS_MIN`].
#[derive(Default)]
struct Shared {
    hasher: RandomState,
    owners: HashMap<u64, Owners>,
}

#[derive(Default)]
struct Owners {
    patients: [u32; PATIENTS_MIN],
    count: u8,
}

impl Shared {
    fn note(&mut self, what: &[u8], patient: u32) {
        let owners = self.owners.entry(self.hasher.hash_one(what)).or_default();
        let count = usize::from(owners.count);
        if !owners.patients.iter().take(count).any(|known| *known == patient)
            && let Some(free) = owners.patients.get_mut(count)
        {
            *free = patient;
            owners.count += 1;
        }
    }

    fn has(&self, what: &[u8]) -> bool {
        self.owners
            .get(&self.hasher.hash_one(what))
            .is_some_and(|owners| usize::from(owners.count) >= PATIENTS_MIN)
    }
}

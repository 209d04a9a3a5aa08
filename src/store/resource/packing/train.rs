//! A dictionary made of a sample of the store's resources.
//!
//! What stands in it must be nobody's: a name, a date, an identifier would outlive the erasure of whom it is of. So only what at least
//! [`PATIENTS_MIN`] patients have the same goes into the making, and always as a whole: first every value that fewer have is taken out of
//! the sampled texts, and so are references, identifiers and what is shown of them; then a text that is now the same with so many goes in
//! as it is, and of any other the parts for which that holds. zstd puts pieces of what it is given side by side, so what is given is in
//! an order that says nothing of whence it came.
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::model::{JsonKind, Node, parse};
use crate::store::kv::{Snapshot, StoreError};

use super::super::entries::{each_entry, entries_value, put_entry};
use super::super::repository::Repository;
use super::dictionary::Dictionary;

/// With so many patients something must be the same to stand in a dictionary.
const PATIENTS_MIN: usize = 5;
/// How many resources are looked at, at most.
const SAMPLES: u64 = 6_000;
/// Larger texts are left out: documents, images.
const TEXT_BYTES_MAX: usize = 16 * 1024;
const WORDS_BYTES: usize = 110 * 1024;
/// Index entries that stand side by side are taken together, so many or fewer.
const RUNS: [usize; 3] = [4, 2, 1];
/// How entries of references to persons end, who may be somebody else than whom the resource is of.
const PERSONS: [&[u8]; 3] = [b"\0\0Patient\0\0", b"\0\0RelatedPerson\0\0", b"\0\0Person\0\0"];
/// A part of a text that is shorter is told by no dictionary in less.
const PART_BYTES_MIN: usize = 12;

/// The stored form of a dictionary made of the rows up to the newest; `None` where too little is shared.
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
    // zstd refuses what has too little in common.
    Ok(words(texts).zip(words(entries)).map(|(text, entries)| Dictionary::encode(&text, &entries)))
}

/// A resource of one patient.
struct Sample {
    patient: u64,
    text: String,
    entries: Vec<Vec<u8>>,
}

/// Resources from all over the store, each of one patient alone: what is of several may be the same with them because it is of one, and
/// what is of nobody says nothing of patients.
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
                found.push(Sample { patient: hasher.hash_one(patient), text, entries });
            }
        }
        row += step;
    }
    Ok(found)
}

impl Sample {
    fn note_values(&self, shared: &mut Shared) {
        // What is stored is JSON.
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

    /// The largest parts of the text that are shared as a whole.
    fn parts(&self, shared: &Shared, out: &mut Vec<Vec<u8>>) {
        if let Ok(tree) = parse(self.text.clone().into_bytes()) {
            largest(tree.root(), shared, out);
        }
    }

    /// Runs of entries that are shared as a whole, each as long as can be.
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
    // The names of its elements, in their order.
    let mut names = Vec::new();
    blank(node, &|_| false, &mut names, &mut |_| {});
    if shared.has(&names) {
        out.push(names);
    }
    node.children().for_each(|child| largest(child, shared, out));
}

/// Whether the values of an element name somebody: references and what is shown of them, identifiers.
fn names_somebody(node: Node<'_>) -> bool {
    matches!(node.key(), "reference" | "identifier" | "subscriberId" | "id" | "div" | "data")
}

/// Writes a node as it is stored, of its values only those that are kept, and tells of every part of it.
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

/// A value as it stands in the text, a string without its quotes.
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

/// With which patients something is the same, as far as that has to be known.
#[derive(Default)]
struct Shared {
    hasher: RandomState,
    owners: HashMap<u64, Owners>,
}

#[derive(Default)]
struct Owners {
    patients: [u64; PATIENTS_MIN],
    count: usize,
}

impl Shared {
    fn note(&mut self, what: &[u8], patient: u64) {
        let owners = self.owners.entry(self.hasher.hash_one(what)).or_default();
        if !owners.patients.iter().take(owners.count).any(|known| *known == patient)
            && let Some(free) = owners.patients.get_mut(owners.count)
        {
            *free = patient;
            owners.count += 1;
        }
    }

    fn has(&self, what: &[u8]) -> bool {
        self.owners.get(&self.hasher.hash_one(what)).is_some_and(|owners| owners.count >= PATIENTS_MIN)
    }
}

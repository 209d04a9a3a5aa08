//! Offline verification of a journal's access records: whether every sealed record is there unchanged, and whether roots and
//! signatures are right. It is passed every write in order and needs no store.
use std::collections::{BTreeMap, BTreeSet};

use crate::model::hex;
use crate::store::{Sequence, Space};

use super::merkle::{Hash, Leaves, root};
use super::place::{RecordPlace, place_of};
use super::record::{Access, ERASE};
use super::sealed::{SEGMENT_LEN, Sealed, Segment, record_hash, root_of};
use super::signer::{SignedRoot, key_name};

/// The number of faults that are listed.
const FAULTS_MAX: usize = 100;

/// An examination, with all that was passed to it so far.
#[derive(Default)]
pub struct Examination {
    records: BTreeMap<RecordPlace, Hash>,
    segments: BTreeMap<u64, Segment>,
    leaves: BTreeMap<u64, Vec<Hash>>,
    roots: BTreeMap<u64, SignedRoot>,
    /// Roots that were noted elsewhere, with their number of records.
    noted: Vec<(u64, String)>,
    erasures: Vec<(RecordPlace, Access)>,
    faults: Vec<String>,
}

/// The result of an examination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    pub records: u64,
    /// The number of records in whole segments, each of which proves its own records.
    pub sealed: u64,
    /// The signed root over the most records.
    pub newest: Option<SignedRoot>,
    /// The records of erasures.
    pub erasures: Vec<(RecordPlace, Access)>,
    /// The faults. Their texts name records by commit and number, never contents.
    pub faults: Vec<String>,
}

fn name((Sequence(sequence), number): RecordPlace) -> String {
    format!("access record {sequence}-{number}")
}

impl Examination {
    /// Adds a root that was noted elsewhere, in hexadecimal digits. A key that is stored beside the records cannot forge it.
    pub fn note(&mut self, size: u64, root: String) {
        self.noted.push((size, root));
    }

    /// Called for every write of a commit: key, and its value, or `None` for a removal.
    pub fn tell(&mut self, commit: Sequence, key: &[u8], value: Option<&[u8]>) {
        match (Space::of(key), value) {
            (Some(Space::Audit), Some(value)) => self.record(key, value),
            (Some(Space::Audit), None) => {
                if let Some(place) = place_of(key) {
                    self.fault(format!("{} was removed by commit {}", name(place), commit.0));
                }
            }
            (Some(Space::Meta), Some(value)) => match Sealed::read(key, value) {
                Some(Sealed::Segment(number, segment)) => drop(self.segments.insert(number, segment)),
                Some(Sealed::Leaves(number, leaves)) => drop(self.leaves.insert(number, leaves)),
                Some(Sealed::Root(signed)) => drop(self.roots.insert(signed.size, signed)),
                None => {}
            },
            _ => {}
        }
    }

    fn record(&mut self, key: &[u8], value: &[u8]) {
        let Some(place) = place_of(key) else { return };
        let hash = record_hash(key, value);
        let may_erase = std::str::from_utf8(value).is_ok_and(|text| text.contains(ERASE));
        if let Some(access) = may_erase.then(|| serde_json::from_slice::<Access>(value).ok()).flatten()
            && access.erased.is_some()
        {
            self.erasures.push((place, access));
        }
        if self.records.insert(place, hash).is_some_and(|before| before != hash) {
            self.fault(format!("{} was written a second time, with something else", name(place)));
        }
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }

    /// Judges all that was passed. `keys` are the public points of the audit keys that ever were in use; without any, signatures
    /// are not checked.
    #[must_use]
    pub fn finish(mut self, keys: &[Vec<u8>]) -> Examined {
        let places: Vec<(RecordPlace, Hash)> =
            self.records.iter().map(|(place, hash)| (*place, *hash)).collect();
        let segments = std::mem::take(&mut self.segments);
        for ((number, segment), expected) in segments.iter().zip(0_u64..) {
            if *number != expected {
                self.fault(format!("segment {expected} of the record of accesses is missing"));
                break;
            }
            self.segment(*number, segment, &places);
        }
        let sealed = u64::try_from(segments.len()).unwrap_or(0).saturating_mul(SEGMENT_LEN);
        let tree = Tree { hashes: places.iter().map(|(_, hash)| *hash).collect() };
        let count = u64::try_from(places.len()).unwrap_or(0);
        let roots = std::mem::take(&mut self.roots);
        let mut proved = 0;
        for signed in roots.values() {
            if self.is_signed(signed, keys) {
                self.proof((signed.size, &signed.root), &tree, &mut proved, &places);
            }
        }
        for (size, root) in std::mem::take(&mut self.noted) {
            self.proof((size, &root), &tree, &mut 0, &places);
        }
        let newest = roots.into_values().next_back();
        Examined { records: count, sealed, newest, erasures: self.erasures, faults: self.faults }
    }

    /// Compares a segment with the records from its first place to its last.
    fn segment(&mut self, number: u64, segment: &Segment, places: &[(RecordPlace, Hash)]) {
        let leaves = self.leaves.get(&number).cloned().unwrap_or_default();
        if u64::try_from(leaves.len()).ok() != Some(SEGMENT_LEN) || root_of(&leaves) != segment.root {
            self.fault(format!(
                "the hashes of segment {number} of the record of accesses do not lead to its root"
            ));
            return;
        }
        let within = |place: &RecordPlace| segment.first <= *place && *place <= segment.last;
        let found: Vec<&(RecordPlace, Hash)> = places.iter().filter(|(place, _)| within(place)).collect();
        if found.iter().map(|(_, hash)| hash).eq(leaves.iter()) {
            return;
        }
        let known: BTreeSet<&Hash> = leaves.iter().collect();
        let there: BTreeSet<&Hash> = found.iter().map(|(_, hash)| hash).collect();
        for (place, hash) in found.iter().copied() {
            if !known.contains(hash) {
                self.fault(format!(
                    "{} is not as it was sealed: it was changed, moved or added",
                    name(*place)
                ));
            }
        }
        let missing = leaves.iter().filter(|leaf| !there.contains(leaf)).count();
        if found.len() < leaves.len() {
            let (from, to) = self.gap(&leaves, &found, segment);
            let gone = leaves.len() - found.len();
            self.fault(format!("{gone} access records between {from} and {to} were removed"));
        } else if missing == 0 {
            self.fault(format!(
                "the access records of segment {number} are not in the order in which they were sealed"
            ));
        }
    }

    /// The places between which the first missing record was.
    fn gap(&self, leaves: &[Hash], found: &[&(RecordPlace, Hash)], segment: &Segment) -> (String, String) {
        let same = leaves.iter().zip(found).take_while(|(leaf, (_, hash))| *leaf == hash).count();
        let before =
            same.checked_sub(1).and_then(|at| found.get(at)).map_or(segment.first, |(place, _)| *place);
        let after = found.get(same).map_or(segment.last, |(place, _)| *place);
        (name(before), name(after))
    }

    fn is_signed(&mut self, signed: &SignedRoot, keys: &[Vec<u8>]) -> bool {
        if keys.is_empty() {
            return true;
        }
        let size = signed.size;
        let Some(public) = keys.iter().find(|key| signed.key == key_name(key)) else {
            self.fault(format!("the root of {size} access records is signed by another key, {}", signed.key));
            return false;
        };
        if !signed.is_signed_by(public) {
            self.fault(format!("the signature of the root of {size} access records is wrong"));
            return false;
        }
        true
    }

    /// Compares the records with a root. The first `proved` records are known to be unchanged; a match raises `proved`.
    fn proof(
        &mut self,
        (size, expected): (u64, &str),
        tree: &Tree,
        proved: &mut u64,
        places: &[(RecordPlace, Hash)],
    ) {
        let count = u64::try_from(places.len()).unwrap_or(0);
        if size > count {
            self.fault(format!("{} of {size} access records that a root proves are missing", size - count));
            return;
        }
        let Ok(own) = root(tree, 0, size);
        if hex(&own) == expected {
            *proved = size;
            return;
        }
        let at = |number: u64| usize::try_from(number).ok().and_then(|at| places.get(at));
        let place = |number: u64| at(number).map_or_else(String::new, |(place, _)| name(*place));
        self.fault(format!(
            "the records do not lead to the root of {size}: between {} and {} something was changed, removed or added",
            place(*proved),
            place(size.saturating_sub(1))
        ));
    }
}

/// The tree over all records.
struct Tree {
    hashes: Vec<Hash>,
}

impl Leaves for Tree {
    type Error = std::convert::Infallible;

    fn leaf(&self, index: u64) -> Result<Hash, Self::Error> {
        // INVARIANT: no leaf beyond the last one is asked for.
        Ok(usize::try_from(index).ok().and_then(|at| self.hashes.get(at)).copied().unwrap_or_default())
    }

    fn known(&self, _: u64, _: u64) -> Option<Hash> {
        None
    }
}

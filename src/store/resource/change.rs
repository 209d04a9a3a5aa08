//! Turns the change of a resource into the writes of a batch: the version, the state of the newest version, the place in
//! history, and the difference between the old and the new index entries.

use crate::definitions::{TypeDef, r4};
use crate::model::{Node, Normalized, ResourceId};
use crate::search::{Entry, Facts, param_id};
use crate::store::key::{
    Key, Space, belongs_prefix, consents_key, definitions_key, governing_key, persons_key, writers,
};
use crate::store::kv::{Snapshot, StoreError};

use super::super::batch::{Batch, Expectation, KeyRange, Sequence, Stamp, StampPlace, Stamped, Write};
use super::current::{self, Current};
use super::entries::{encode_entries, entries_of, every, pack_entries, posting_type};
use super::packing::{Dictionary, Packing};
use super::record::{self, Method};
use super::writer::{TAKEN_OFF, Writer};

/// Derives index entries and facts from a resource. Commit, reindexing and verification use the same implementation.
pub trait Derive: Send + Sync {
    fn derive(&self, def: &TypeDef, resource: Node<'_>) -> Derived;
}

/// The index entries and facts of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    pub entries: Vec<Entry>,
    pub facts: Facts,
}

/// One resource to write; without a body it is deleted.
pub struct Change {
    pub def: &'static TypeDef,
    pub id: ResourceId,
    pub method: Method,
    /// The state that the change is based on; `None` for an id that was never used.
    pub prior: Option<Current>,
    pub body: Option<Normalized>,
    pub derived: Derived,
    /// The writing party, if references in the version may be masked for it.
    pub writer: Option<Writer>,
    /// Pairs of a resource (`Type/id`) and a patient (id) who becomes its subject and stays it whatever happens to this resource.
    pub belongs: Vec<(String, String)>,
}

/// The row of a changed resource: an existing one, or the n-th new row of the batch.
#[derive(Clone, Copy)]
enum Row {
    Known(u64),
    New(u64),
}

/// A batch that is being built.
#[derive(Default)]
pub struct Draft {
    pub batch: Batch,
    expects_definitions: bool,
    dictionary: Option<&'static Dictionary>,
}

impl Draft {
    /// A draft that compresses texts and entries with the store's current dictionary.
    #[must_use]
    pub fn packed(packing: &Packing) -> Self {
        let mut draft = Self::default();
        if let Some(chosen) = packing.chosen() {
            draft.expect(chosen.expectation());
            draft.dictionary = Some(chosen.dictionary);
        }
        draft
    }

    /// Adds a change. Takes its index entries out of it, because a large transaction has many and nobody needs them afterwards.
    /// The commit fails if the resource has changed since the snapshot that the change is based on.
    ///
    /// # Errors
    /// [`StoreError`] if the previous entries cannot be read.
    pub fn push(&mut self, snapshot: &dyn Snapshot, change: &mut Change) -> Result<(), StoreError> {
        let number = r4().resource_number(change.def.id).unwrap_or(u16::MAX);
        let id_key = Key::new(Space::Id).short(number).text(change.id.as_str().as_bytes()).into_bytes();
        let row = match &change.prior {
            Some(prior) => {
                let key = Key::new(Space::Current).number(prior.row).into_bytes();
                self.expect(Expectation::Key { key, sequence: Some(prior.written) });
                Row::Known(prior.row)
            }
            None => {
                self.expect(Expectation::Key { key: id_key.clone(), sequence: None });
                let row = Row::New(self.batch.rows);
                self.batch.rows += 1;
                self.put(Key::from_bytes(id_key), vec![0; 8], &[stamp_row(StampPlace::Value, 0, row)]);
                row
            }
        };
        if !self.expects_definitions {
            // The change was derived with the search parameters of the snapshot, so these must not have changed.
            let key = definitions_key();
            let sequence = snapshot.get(&key)?.map(|(_, sequence)| sequence);
            self.expect(Expectation::Key { key, sequence });
            self.expects_definitions = true;
        }
        match &*change.def.name {
            "SearchParameter" => self.put(Key::from_bytes(definitions_key()), Vec::new(), &[]),
            "Consent" => self.outdate(consents_key()),
            "Organization" | "Practitioner" => self.outdate(governing_key()),
            _ => {}
        }
        self.version(change, number, row);
        let entries = std::mem::take(&mut change.derived.entries);
        self.entries(snapshot, (&entries, change.body.is_some()), number, row)
    }

    /// Removes a patient (by id) from the subjects of a resource (`Type/id`), until a later version adds it again. The commit
    /// fails if the subjects of the resource have changed after `since`.
    pub fn take_off(&mut self, since: Sequence, reference: &str, patient: &str) {
        let prefix = belongs_prefix(reference);
        let range = KeyRange::prefix(prefix.clone().into_bytes());
        self.expect(Expectation::Unchanged { range, since });
        self.put(prefix.text(patient.as_bytes()), TAKEN_OFF.to_vec(), &[]);
    }

    /// Marks caches that depend on this key, and those of consent decisions, as out of date.
    pub(super) fn outdate(&mut self, key: Vec<u8>) {
        for key in [key, governing_key()] {
            if !self.batch.writes.iter().rev().any(|write| write.key == key) {
                self.put(Key::from_bytes(key), Vec::new(), &[]);
            }
        }
    }

    /// Adds the writes that reindex a resource, if its entries or facts are out of date. Creates no version.
    ///
    /// # Errors
    /// [`StoreError`] if the previous entries cannot be read.
    pub fn reindex(
        &mut self,
        snapshot: &dyn Snapshot,
        current: &Current,
        derived: &Derived,
    ) -> Result<(), StoreError> {
        let number = r4().resource_number(current.def.id).unwrap_or(u16::MAX);
        let before = self.batch.writes.len();
        let row = Row::Known(current.row);
        self.entries(snapshot, (&derived.entries, true), number, row)?;
        if self.batch.writes.len() > before || derived.facts != current.facts {
            let key = Key::new(Space::Current).number(current.row).into_bytes();
            let mut value = current::encode(current.deleted, current.def, &current.id, &derived.facts);
            fill(&mut value, current::SEQUENCE_OFFSET, current.sequence.0);
            // Written even if the value is unchanged, so that a concurrent write based on the old entries fails.
            self.put(Key::from_bytes(key.clone()), value, &[]);
            self.expect(Expectation::Key { key, sequence: Some(current.written) });
        }
        Ok(())
    }

    /// Adds a further expectation, such as the range that a conditional interaction has read.
    pub fn expect(&mut self, expectation: Expectation) {
        self.batch.expectations.push(expectation);
    }

    fn version(&mut self, change: &Change, number: u16, row: Row) {
        let (key, row_at) = Key::new(Space::Record).stamped();
        let (key, sequence_at) = key.stamped();
        let stamps = [
            stamp_row(StampPlace::Key, row_at, row),
            sequence(StampPlace::Key, sequence_at),
            Some(Stamp { place: StampPlace::Value, offset: record::TIME_OFFSET, what: Stamped::Time }),
        ];
        let body = change.body.as_ref();
        let value = record::encode(change.method, change.def, &change.id, body, self.dictionary);
        self.put_row(key, row_at, row, value, &stamps);

        if let Some(writer) = change.writer {
            let (key, row_at) = writers().stamped();
            let (key, sequence_at) = key.stamped();
            let stamps = [stamp_row(StampPlace::Key, row_at, row), sequence(StampPlace::Key, sequence_at)];
            let mut value = writer.fingerprint.to_vec();
            value.push(u8::from(writer.sees_binaries));
            value.extend(writer.confined_to.into_iter().flatten());
            self.put_row(key, row_at, row, value, &stamps);
        }
        for (reference, patient) in &change.belongs {
            let key = belongs_prefix(reference).text(patient.as_bytes()).into_bytes();
            if !self.batch.writes.iter().any(|write| write.key == key) {
                self.put(Key::from_bytes(key), Vec::new(), &[]);
            }
        }

        let (key, row_at) = Key::new(Space::Current).stamped();
        let deleted = change.body.is_none();
        let value = current::encode(deleted, change.def, &change.id, &change.derived.facts);
        let stamps =
            [stamp_row(StampPlace::Key, row_at, row), sequence(StampPlace::Value, current::SEQUENCE_OFFSET)];
        self.put_row(key, row_at, row, value, &stamps);

        let (key, sequence_at) = Key::new(Space::History).short(number).stamped();
        let (key, row_at) = key.stamped();
        let time = Some(Stamp { place: StampPlace::Value, offset: 0, what: Stamped::Time });
        let stamps = [sequence(StampPlace::Key, sequence_at), stamp_row(StampPlace::Key, row_at, row), time];
        self.put_row(key, row_at, row, vec![0; 8], &stamps);
    }

    /// Writes postings as the difference between the old and the new set of entries.
    fn entries(
        &mut self,
        snapshot: &dyn Snapshot,
        (entries, is_there): (&[Entry], bool),
        number: u16,
        row: Row,
    ) -> Result<(), StoreError> {
        let before = match row {
            Row::Known(row) => entries_of(snapshot, row)?,
            Row::New(_) => Vec::new(),
        };
        let every = every();
        let mut after: Vec<&Entry> = entries.iter().chain(is_there.then_some(&every)).collect();
        after.sort_unstable();
        after.dedup();
        for entry in before.iter().filter(|entry| after.binary_search(entry).is_err()) {
            self.posting(number, entry, row, None);
        }
        self.batch.writes.reserve(after.len());
        for entry in after.iter().filter(|entry| before.binary_search(entry).is_err()) {
            self.posting(number, entry, row, Some(Vec::new()));
        }
        let is_merge = |entry: &Entry| entry.param == param_id("link") && entry.contained.is_none();
        if r4().resource_numbered(number).is_some_and(|def| &*def.name == "Patient")
            && before.iter().chain(after.iter().copied()).any(is_merge)
        {
            self.outdate(persons_key());
        }
        if !before.iter().eq(after.iter().copied()) {
            let (key, row_at) = Key::new(Space::Entries).stamped();
            let stamps = [stamp_row(StampPlace::Key, row_at, row)];
            let value = pack_entries(encode_entries(&after), self.dictionary);
            self.put_row(key, row_at, row, value, &stamps);
        }
        Ok(())
    }

    fn posting(&mut self, number: u16, entry: &Entry, row: Row, value: Option<Vec<u8>>) {
        let (key, row_at) = Key::with_capacity(Space::Posting, 1 + 2 + 4 + entry.value.len() + 8)
            .short(posting_type(number, entry))
            .word(entry.param)
            .bytes(&entry.value)
            .stamped();
        let mut write = Write { key: key.into_bytes(), value, ..Write::default() };
        match row {
            Row::Known(row) => fill(&mut write.key, row_at, row),
            Row::New(_) => {
                write.stamps = stamp_row(StampPlace::Key, row_at, row).into_iter().collect();
            }
        }
        self.batch.writes.push(write);
    }

    fn put_row(&mut self, key: Key, row_at: usize, row: Row, value: Vec<u8>, stamps: &[Option<Stamp>]) {
        let mut key = key.into_bytes();
        if let Row::Known(row) = row {
            fill(&mut key, row_at, row);
        }
        self.put(Key::from_bytes(key), value, stamps);
    }

    pub(super) fn put(&mut self, key: Key, value: Vec<u8>, stamps: &[Option<Stamp>]) {
        let stamps = stamps.iter().copied().flatten().collect();
        self.batch.writes.push(Write { key: key.into_bytes(), value: Some(value), stamps });
    }
}

fn stamp_row(place: StampPlace, offset: usize, row: Row) -> Option<Stamp> {
    match row {
        Row::New(number) => Some(Stamp { place, offset, what: Stamped::Row(number) }),
        Row::Known(_) => None,
    }
}

fn sequence(place: StampPlace, offset: usize) -> Option<Stamp> {
    Some(Stamp { place, offset, what: Stamped::Sequence })
}

fn fill(key: &mut [u8], at: usize, number: u64) {
    if let Some(place) = key.get_mut(at..at + 8) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

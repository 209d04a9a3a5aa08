//! A change of one resource, as writes of a batch: the version, what is true of it, its place in history, and the
//! difference of its index entries to those before.
use crate::definitions::{TypeDef, r4};
use crate::model::{Node, Normalized, ResourceId};
use crate::search::{Entry, Facts, Form};
use crate::store::key::{Key, Space};
use crate::store::kv::{Batch, Expectation, Place, Snapshot, Stamp, Stamped, StoreError, Write};

use super::current::{self, Current};
use super::record::{self, Method};

/// What is derived from a resource when it is written. Commit, reindex and verification use the same one.
pub trait Derive: Send + Sync {
    fn derive(&self, def: &TypeDef, resource: Node<'_>) -> Derived;
}

/// The index entries and facts of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    pub entries: Vec<Entry>,
    pub facts: Facts,
}

/// One resource to write. Without a body it is deleted.
pub struct Change {
    pub def: &'static TypeDef,
    pub id: ResourceId,
    pub method: Method,
    /// What the change is based on; `None` for an id that was never used.
    pub prior: Option<Current>,
    pub body: Option<Normalized>,
    pub derived: Derived,
}

/// The row of a change: known, or the n-th new one of the batch.
#[derive(Clone, Copy)]
enum Row {
    Known(u64),
    New(u64),
}

/// A batch being put together.
#[derive(Default)]
pub struct Draft {
    pub batch: Batch,
}

impl Draft {
    /// Adds a change. The batch fails if the resource has changed since the snapshot that the change is based on.
    ///
    /// # Errors
    /// [`StoreError`] if the entries before cannot be read.
    pub fn push(&mut self, snapshot: &dyn Snapshot, change: &Change) -> Result<(), StoreError> {
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
                self.put(Key::from_bytes(id_key), vec![0; 8], &[stamp_row(Place::Value, 0, row)]);
                row
            }
        };
        self.version(change, number, row);
        self.index(snapshot, change, number, row)
    }

    /// Adds an expectation of its own, such as a range that a conditional interaction has read.
    pub fn expect(&mut self, expectation: Expectation) {
        self.batch.expectations.push(expectation);
    }

    fn version(&mut self, change: &Change, number: u16, row: Row) {
        let (key, row_at) = Key::new(Space::Record).stamped();
        let (key, sequence_at) = key.stamped();
        let stamps = [
            stamp_row(Place::Key, row_at, row),
            sequence(Place::Key, sequence_at),
            Some(Stamp { place: Place::Value, offset: record::TIME_OFFSET, what: Stamped::Time }),
        ];
        let value = record::encode(change.method, change.def, &change.id, change.body.as_ref());
        self.put_row(key, row_at, row, value, &stamps);

        let (key, row_at) = Key::new(Space::Current).stamped();
        let deleted = change.body.is_none();
        let value = current::encode(deleted, change.def, &change.id, &change.derived.facts);
        let stamps = [stamp_row(Place::Key, row_at, row), sequence(Place::Value, current::SEQUENCE_OFFSET)];
        self.put_row(key, row_at, row, value, &stamps);

        let (key, sequence_at) = Key::new(Space::History).short(number).stamped();
        let (key, row_at) = key.stamped();
        let time = Some(Stamp { place: Place::Value, offset: 0, what: Stamped::Time });
        let stamps = [sequence(Place::Key, sequence_at), stamp_row(Place::Key, row_at, row), time];
        self.put_row(key, row_at, row, vec![0; 8], &stamps);
    }

    /// Postings are written as the difference of two sets of entries, never one by one.
    fn index(
        &mut self,
        snapshot: &dyn Snapshot,
        change: &Change,
        number: u16,
        row: Row,
    ) -> Result<(), StoreError> {
        let before = match row {
            Row::Known(row) => entries_of(snapshot, row)?,
            Row::New(_) => Vec::new(),
        };
        let mut after = change.derived.entries.clone();
        if change.body.is_some() {
            after.push(every());
        }
        after.sort_unstable();
        after.dedup();
        for entry in before.iter().filter(|entry| after.binary_search(entry).is_err()) {
            self.posting(number, entry, row, None);
        }
        for entry in after.iter().filter(|entry| before.binary_search(entry).is_err()) {
            self.posting(number, entry, row, Some(Vec::new()));
        }
        if before != after {
            let (key, row_at) = Key::new(Space::Entries).stamped();
            let stamps = [stamp_row(Place::Key, row_at, row)];
            self.put_row(key, row_at, row, encode_entries(&after), &stamps);
        }
        Ok(())
    }

    fn posting(&mut self, number: u16, entry: &Entry, row: Row, value: Option<Vec<u8>>) {
        let (key, row_at) =
            Key::new(Space::Posting).short(number).word(entry.param).bytes(&entry.value).stamped();
        let mut write = Write { key: key.into_bytes(), value, stamps: Vec::new() };
        match row {
            Row::Known(row) => fill(&mut write.key, row_at, row),
            Row::New(_) => write.stamps.extend(stamp_row(Place::Key, row_at, row)),
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

    fn put(&mut self, key: Key, value: Vec<u8>, stamps: &[Option<Stamp>]) {
        let stamps = stamps.iter().copied().flatten().collect();
        self.batch.writes.push(Write { key: key.into_bytes(), value: Some(value), stamps });
    }
}

fn stamp_row(place: Place, offset: usize, row: Row) -> Option<Stamp> {
    match row {
        Row::New(number) => Some(Stamp { place, offset, what: Stamped::Row(number) }),
        Row::Known(_) => None,
    }
}

fn sequence(place: Place, offset: usize) -> Option<Stamp> {
    Some(Stamp { place, offset, what: Stamped::Sequence })
}

fn fill(key: &mut [u8], at: usize, number: u64) {
    if let Some(place) = key.get_mut(at..at + 8) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// The entry that every resource has which is not deleted: it finds all of a type.
pub(super) fn every() -> Entry {
    Entry::new(0, Form::Present)
}

/// `parameter (4) | value length (2), value` one after the other.
fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        out.extend_from_slice(&entry.param.to_be_bytes());
        out.extend_from_slice(&u16::try_from(entry.value.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&entry.value);
    }
    out
}

/// The entries that the newest version of a row is indexed by, sorted.
pub(super) fn entries_of(snapshot: &dyn Snapshot, row: u64) -> Result<Vec<Entry>, StoreError> {
    let key = Key::new(Space::Entries).number(row).into_bytes();
    let Some((value, _)) = snapshot.get(&key)? else { return Ok(Vec::new()) };
    let corrupt = || StoreError::Corrupt(format!("the entries of row {row}"));
    let mut entries = Vec::new();
    let mut rest = &*value;
    while !rest.is_empty() {
        let (param, after) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let (len, after) = after.split_first_chunk::<2>().ok_or_else(corrupt)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (value, after) = after.split_at_checked(len).ok_or_else(corrupt)?;
        entries.push(Entry { param: u32::from_be_bytes(*param), value: value.to_vec() });
        rest = after;
    }
    Ok(entries)
}

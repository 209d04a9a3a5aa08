//! Reads resources from a snapshot.
use crate::definitions::{TypeDef, r4};
use crate::model::ResourceId;
use crate::search::Entry;
use crate::store::key::{Key, Space, belongs_prefix, number_at, writers_of_row};
use crate::store::kv::{Direction, Flow, Snapshot, StoreError};

use super::super::batch::{Expectation, KeyRange, Sequence};
use super::current::{self, Current};
use super::entries::entries_of;
use super::record::{self, Stored};
use super::writer::{TAKEN_OFF, Writer};

/// The resources of one snapshot.
pub struct Repository<'s> {
    pub(super) snapshot: &'s dyn Snapshot,
}

impl<'s> Repository<'s> {
    #[must_use]
    pub fn new(snapshot: &'s dyn Snapshot) -> Self {
        Self { snapshot }
    }

    /// The snapshot that is read.
    #[must_use]
    pub fn snapshot(&self) -> &'s dyn Snapshot {
        self.snapshot
    }

    /// The state of a resource, which may be deleted; `None` for an id that was never used or was erased.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn current(&self, def: &TypeDef, id: &ResourceId) -> Result<Option<Current>, StoreError> {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        let key = Key::new(Space::Id).short(number).text(id.as_str().as_bytes()).into_bytes();
        let Some((row, _)) = self.snapshot.get(&key)? else { return Ok(None) };
        let row = number_at(&row, 0).ok_or_else(|| StoreError::Corrupt("the row of an id".to_owned()))?;
        self.current_of_row(row)
    }

    /// The row of a resource that exists and is not deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn row_of(&self, def: &TypeDef, id: &ResourceId) -> Result<Option<u64>, StoreError> {
        Ok(self.current(def, id)?.filter(|current| !current.deleted).map(|current| current.row))
    }

    /// The state of a row.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn current_of_row(&self, row: u64) -> Result<Option<Current>, StoreError> {
        let found = self.snapshot.get(&Key::new(Space::Current).number(row).into_bytes())?;
        found.map(|(value, written)| current::decode(row, &value, written)).transpose()
    }

    /// The states of several rows, in their order; rows that are not there are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn current_of_rows(&self, rows: &[u64]) -> Result<Vec<Current>, StoreError> {
        let keys: Vec<Vec<u8>> =
            rows.iter().map(|row| Key::new(Space::Current).number(*row).into_bytes()).collect();
        let mut found = Vec::with_capacity(rows.len());
        for (row, state) in rows.iter().zip(self.snapshot.get_each(&keys)?) {
            if let Some((value, written)) = state {
                found.push(current::decode(*row, &value, written)?);
            }
        }
        Ok(found)
    }

    /// A version of a row.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn version(&self, row: u64, sequence: Sequence) -> Result<Option<Stored>, StoreError> {
        if sequence > self.snapshot.sequence() {
            return Ok(None);
        }
        let key = Key::new(Space::Record).number(row).number(sequence.0).into_bytes();
        let found = self.snapshot.get(&key)?;
        found.map(|(value, _)| record::decode(self.snapshot, row, sequence, &value)).transpose()
    }

    /// Announces that the rows of these patients, given by their ids, will be asked for.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn announce_patients(&self, ids: &[String]) -> Result<(), StoreError> {
        let Some(number) = r4().resource("Patient").and_then(|def| r4().resource_number(def.id)) else {
            return Ok(());
        };
        let key = |id: &String| Key::new(Space::Id).short(number).text(id.as_bytes()).into_bytes();
        self.snapshot.announce(&mut ids.iter().map(key))
    }

    /// Announces that the newest versions of these rows will be read.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn announce(&self, rows: &[u64]) -> Result<(), StoreError> {
        self.snapshot
            .announce(&mut rows.iter().map(|row| Key::new(Space::Current).number(*row).into_bytes()))?;
        // Made only if the store asks for it.
        let mut versions = rows.iter().filter_map(|row| {
            let current = self.current_of_row(*row).ok()??;
            Some(Key::new(Space::Record).number(*row).number(current.sequence.0).into_bytes())
        });
        self.snapshot.announce(&mut versions)
    }

    /// Who wrote a version. Stored only if references in the version may be masked for that party.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn writer(&self, row: u64, sequence: Sequence) -> Result<Option<Writer>, StoreError> {
        let key = writers_of_row(row).number(sequence.0).into_bytes();
        let Some((value, _)) = self.snapshot.get(&key)? else { return Ok(None) };
        Ok(writer_of(&value))
    }

    /// Who wrote the versions of a row, as far as that is stored.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn writers(&self, row: u64) -> Result<Vec<Writer>, StoreError> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(writers_of_row(row).into_bytes());
        self.snapshot.scan(&range, Direction::Forward, &mut |_, value| {
            found.extend(writer_of(value));
            Flow::Next
        })?;
        Ok(found)
    }

    /// The ids of the patients who are subjects of a resource (`Type/id`) because another resource refers to it, or ever did.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn subjects_kept(&self, reference: &str) -> Result<Vec<String>, StoreError> {
        let all = self.subjects_ever(reference)?;
        Ok(all.into_iter().filter(|(_, taken_off)| !taken_off).map(|(id, _)| id).collect())
    }

    /// Like [`Self::subjects_kept`], including patients whom a correction took off; `true` marks those.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn subjects_ever(&self, reference: &str) -> Result<Vec<(String, bool)>, StoreError> {
        let prefix = belongs_prefix(reference).into_bytes();
        let mut found = Vec::new();
        self.snapshot.scan(&KeyRange::prefix(prefix.clone()), Direction::Forward, &mut |key, value| {
            // Ids contain no zero bytes, so the id and its terminator follow the prefix.
            let id = key.get(prefix.len()..key.len().saturating_sub(2));
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            found.extend(id.map(|id| (id.to_owned(), value == TAKEN_OFF)));
            Flow::Next
        })?;
        Ok(found)
    }

    /// The expectation that nobody else writes the resource.
    #[must_use]
    pub fn unchanged(&self, current: &Current) -> Expectation {
        let key = Key::new(Space::Current).number(current.row).into_bytes();
        Expectation::Key { key, sequence: Some(current.written) }
    }

    /// The newest version of a resource.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the version is missing.
    pub fn newest(&self, current: &Current) -> Result<Stored, StoreError> {
        let missing = || StoreError::Corrupt(format!("the newest version of row {} is missing", current.row));
        self.version(current.row, current.sequence)?.ok_or_else(missing)
    }

    /// All versions of a row, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn versions(&self, row: u64) -> Result<Vec<Sequence>, StoreError> {
        let range = KeyRange::prefix(Key::new(Space::Record).number(row).into_bytes());
        let mut found = Vec::new();
        self.snapshot.scan(&range, Direction::Reverse, &mut |key, _| {
            found.extend(number_at(key, 9).map(Sequence));
            Flow::Next
        })?;
        found.retain(|sequence| *sequence <= self.snapshot.sequence());
        Ok(found)
    }

    /// The index entries of the newest version of a row.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn entries(&self, row: u64) -> Result<Vec<Entry>, StoreError> {
        entries_of(self.snapshot, row)
    }
}

fn writer_of(value: &[u8]) -> Option<Writer> {
    value.split_first_chunk().map(|(fingerprint, rest)| Writer {
        fingerprint: *fingerprint,
        sees_binaries: rest.first() == Some(&1),
        confined_to: rest.get(1..).and_then(<[u8]>::first_chunk).copied(),
    })
}

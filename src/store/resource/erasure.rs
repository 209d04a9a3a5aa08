//! Erasure: finds the rows that were ever about a patient, and writes the removal of a row, of which only its mark remains.
use std::collections::BTreeSet;

use crate::definitions::{TypeDef, r4};
use crate::model::{ResourceId, parse};
use crate::search::Facts;
use crate::store::key::{
    Key, Space, belongs_prefix, consents_key, erased_key, governing_key, number_at, persons_key, row_of,
    writers_of_row,
};
use crate::store::kv::{Direction, Flow, Snapshot, StoreError};

use super::super::batch::{Expectation, KeyRange, Write};
use super::change::Draft;
use super::current::{self, Current};
use super::entries::{entries_of, posting_type};
use super::repository::Repository;

/// All resources that are, or ever were, about a patient.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Resources with any version about the patient, each with the ids of all patients that any of its versions is about.
    pub about: Vec<(Current, BTreeSet<String>)>,
    /// Resources of the requested types that name no patient.
    pub of_nobody: Vec<Current>,
}

impl Repository<'_> {
    /// All resources, deleted or not, with a version about the patient, and those of the given types that name no patient. Reads
    /// the state of every resource in the store.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or a resource cannot be read.
    pub fn file_of(&self, patient: &str, types: &[&str]) -> Result<File, StoreError> {
        let changed = self.changed_rows()?;
        let mut file = File::default();
        let mut rows = Vec::new();
        let mut failed = None;
        let range = KeyRange::prefix(vec![Space::Current.byte()]);
        self.snapshot.scan(&range, Direction::Forward, &mut |key, value| {
            let row = row_of(key).unwrap_or(0);
            match current::decode(row, value, self.snapshot.sequence()) {
                Ok(current) => {
                    let patients = &current.facts.patients;
                    let is_about = patients.iter().any(|id| id == patient);
                    let is_of_nobody = patients.is_empty() && types.contains(&&*current.def.name);
                    if is_about || is_of_nobody || changed.contains(&row) {
                        rows.push(row);
                    }
                    Flow::Next
                }
                Err(error) => {
                    failed = Some(error);
                    Flow::Stop
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for row in rows {
            // Read again, because the scan does not tell the commit that wrote the state.
            let Some(current) = self.current_of_row(row)? else { continue };
            let mut patients: BTreeSet<String> = current.facts.patients.iter().cloned().collect();
            if changed.contains(&row) {
                self.patients_of_versions(row, patient, &mut patients)?;
            }
            if patients.contains(patient) {
                file.about.push((current, patients));
            } else if patients.is_empty() && types.contains(&&*current.def.name) {
                file.of_nobody.push(current);
            }
        }
        Ok(file)
    }

    /// The rows that have more than one version.
    fn changed_rows(&self) -> Result<BTreeSet<u64>, StoreError> {
        let mut rows = Vec::new();
        let range = KeyRange::prefix(vec![Space::History.byte()]);
        self.snapshot.scan(&range, Direction::Forward, &mut |key, _| {
            rows.extend(row_of(key));
            Flow::Next
        })?;
        rows.sort_unstable();
        let again = rows.windows(2).filter_map(|pair| match pair {
            [row, next] if row == next => Some(*row),
            _ => None,
        });
        Ok(again.collect())
    }

    /// Adds the patients of all versions of a row, if any version is about `patient`.
    fn patients_of_versions(
        &self,
        row: u64,
        patient: &str,
        patients: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let mut texts = Vec::new();
        for sequence in self.versions(row)? {
            texts.extend(self.version(row, sequence)?.map(|stored| (stored.def, stored.text)));
        }
        // JSON may escape characters of an id; such a text must be parsed to find out.
        let may_name = |text: &str| text.contains(patient) || text.contains("\\u");
        if !patients.contains(patient) && !texts.iter().any(|(_, text)| may_name(text)) {
            return Ok(());
        }
        for (def, text) in texts {
            if let Ok(tree) = parse(text.into_bytes()) {
                patients.extend(Facts::of(def, tree.root()).patients);
            }
        }
        Ok(())
    }

    /// The row of an id, even if the resource was deleted or erased.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn row_ever(&self, def: &TypeDef, id: &ResourceId) -> Result<Option<u64>, StoreError> {
        let number = r4().resource_number(def.id).unwrap_or(u16::MAX);
        let key = Key::new(Space::Id).short(number).text(id.as_str().as_bytes()).into_bytes();
        Ok(self.snapshot.get(&key)?.and_then(|(row, _)| number_at(&row, 0)))
    }

    /// Whether the resource with this id was erased: an erased id stays taken.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn is_erased(&self, def: &TypeDef, id: &ResourceId) -> Result<bool, StoreError> {
        Ok(match self.row_ever(def, id)? {
            Some(row) => self.snapshot.get(&erased_key(row))?.is_some(),
            None => false,
        })
    }
}

impl Draft {
    /// Adds the erasure of a resource: removes every key of its row, while its id stays taken. Returns the number of its
    /// versions. The commit fails if the resource has changed since the snapshot.
    ///
    /// # Errors
    /// [`StoreError`] if the resource's keys cannot be read.
    pub fn erase(&mut self, snapshot: &dyn Snapshot, current: &Current) -> Result<usize, StoreError> {
        let number = r4().resource_number(current.def.id).unwrap_or(u16::MAX);
        let row = current.row;
        let current_key = Key::new(Space::Current).number(row);
        self.expect(Expectation::Key {
            key: current_key.clone().into_bytes(),
            sequence: Some(current.written),
        });
        let versions = Repository::new(snapshot).versions(row)?;
        let mut keys = vec![current_key, Key::new(Space::Entries).number(row)];
        for sequence in &versions {
            keys.push(Key::new(Space::Record).number(row).number(sequence.0));
            keys.push(Key::new(Space::History).short(number).number(sequence.0).number(row));
            keys.push(writers_of_row(row).number(sequence.0));
        }
        for entry in entries_of(snapshot, row)? {
            let key = Key::new(Space::Posting).short(posting_type(number, &entry)).word(entry.param);
            keys.push(key.bytes(&entry.value).number(row));
        }
        let reference = format!("{}/{}", current.def.name, current.id);
        for (patient, _) in Repository::new(snapshot).subjects_ever(&reference)? {
            keys.push(belongs_prefix(&reference).text(patient.as_bytes()));
        }
        let removals = keys.into_iter().map(|key| Write { key: key.into_bytes(), ..Write::default() });
        self.batch.writes.extend(removals);
        self.put(Key::from_bytes(erased_key(row)), Vec::new(), &[]);
        match &*current.def.name {
            "Consent" => self.outdate(consents_key()),
            "Patient" => self.outdate(persons_key()),
            "Organization" | "Practitioner" => self.outdate(governing_key()),
            _ => {}
        }
        Ok(versions.len())
    }
}

//! The access log: access records as writes of a batch, with keys to find them by patient, and the ways to read them.
//!
//! The key of a record is its commit and its number within the commit. Each patient whom it concerns, and a patient who asked,
//! has a key `patient id, sequence, number` without a value. A record of very many patients lists none of them: it has one such
//! key under an id that no patient has. Whoever reads a patient's records looks whether those records include the patient.
use crate::store::{
    At, Batch, Direction, Expectation, Flow, Key, KeyRange, Kv, Sequence, Snapshot, Space, Stamp, StampPlace,
    Stamped, StoreError, Write,
};

use super::concern::row_of_patient;
use super::place::{RecordPlace, place_of, record_key};
use super::record::Access;

/// The id under which records of many patients are found. No FHIR id contains this character.
const OF_MANY: &str = "*";

/// How many records one scan reads.
const RECORDS_READ: usize = 256;
/// How many records one commit indexes where the keys by patient are missing.
const RECORDS_INDEXED: usize = 1_000;

/// A record as writes of a batch. `number` distinguishes the records of one batch.
#[must_use]
pub fn writes(access: &Access, number: u32) -> Vec<Write> {
    let (key, sequence_at) = Key::new(Space::Audit).stamped();
    let key = key.word(number).into_bytes();
    // INVARIANT: a struct of texts and numbers always has a JSON form.
    let value = serde_json::to_vec(access).unwrap_or_default();
    let mut writes = vec![Write { key, value: Some(value), stamps: [sequence_stamp(sequence_at)].into() }];
    for patient in concerned(access) {
        let (key, sequence_at) = Key::new(Space::AuditPatient).text(patient.as_bytes()).stamped();
        let key = key.word(number).into_bytes();
        writes.push(Write { key, value: Some(Vec::new()), stamps: [sequence_stamp(sequence_at)].into() });
    }
    writes
}

fn sequence_stamp(offset: usize) -> Stamp {
    Stamp { place: StampPlace::Key, offset, what: Stamped::Sequence }
}

/// The ids of the patients under whom a record is found.
fn concerned(access: &Access) -> Vec<&str> {
    let about = access.patients.iter().map(String::as_str);
    let mut ids: Vec<&str> =
        about.chain(access.fhir_user.as_deref()).filter_map(|user| user.strip_prefix("Patient/")).collect();
    ids.extend(access.is_of_many().then_some(OF_MANY));
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Reads records in order, some at a time: all of them, or those that concern a patient.
pub struct Records<'s> {
    snapshot: &'s dyn Snapshot,
    patient: Option<String>,
    direction: Direction,
    /// The place at which to continue, inclusive; `None` at the end.
    next: Option<RecordPlace>,
    /// Only records after this place are read.
    after: Option<RecordPlace>,
    read: std::vec::IntoIter<(RecordPlace, Access)>,
}

/// Records, and the last place that was looked at if there may be more.
type PageOfRecords = (Vec<(RecordPlace, Access)>, Option<RecordPlace>);

const FIRST: RecordPlace = (Sequence(0), 0);
const LAST: RecordPlace = (Sequence(u64::MAX), u32::MAX);

impl<'s> Records<'s> {
    /// All records, or those of a patient (by id). They begin at an end of the log, or at the place `from`, inclusive.
    #[must_use]
    pub fn new(
        snapshot: &'s dyn Snapshot,
        patient: Option<&str>,
        direction: Direction,
        from: Option<RecordPlace>,
    ) -> Self {
        let end = if direction == Direction::Forward { FIRST } else { LAST };
        let patient = patient.map(str::to_owned);
        Self {
            snapshot,
            patient,
            direction,
            next: Some(from.unwrap_or(end)),
            after: None,
            read: Vec::new().into_iter(),
        }
    }

    /// Leaves out the records up to this place, inclusive.
    #[must_use]
    pub fn after(self, place: Option<RecordPlace>) -> Self {
        Self { after: place, ..self }
    }

    /// The next record.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or a record cannot be read.
    pub fn read(&mut self) -> Result<Option<(RecordPlace, Access)>, StoreError> {
        loop {
            if let Some(record) = self.read.next() {
                return Ok(Some(record));
            }
            let Some(from) = self.next else { return Ok(None) };
            let (found, looked_at) = match &self.patient {
                Some(patient) => self.of_patient(patient, from)?,
                None => self.of_all(from)?,
            };
            self.next = looked_at.and_then(|(Sequence(sequence), number)| match self.direction {
                Direction::Forward => Some((Sequence(sequence), number.checked_add(1)?)),
                Direction::Reverse if number > 0 => Some((Sequence(sequence), number - 1)),
                Direction::Reverse => Some((Sequence(sequence.checked_sub(1)?), u32::MAX)),
            });
            self.read = found.into_iter();
        }
    }

    /// The range of keys from a place on. All of the keys begin with `prefix`.
    fn range(&self, prefix: Vec<u8>, (Sequence(sequence), number): RecordPlace) -> KeyRange {
        let mut range = KeyRange::prefix(prefix.clone());
        let mut at = Key::from_bytes(prefix.clone()).number(sequence).word(number).into_bytes();
        match self.direction {
            Direction::Forward => range.start = at,
            Direction::Reverse => {
                // A range excludes its end, so the end is just after this key.
                at.push(0);
                range.end = at;
            }
        }
        if let Some((Sequence(sequence), number)) = self.after {
            let mut after = Key::from_bytes(prefix).number(sequence).word(number).into_bytes();
            after.push(0);
            range.start = range.start.max(after);
        }
        range
    }

    fn of_all(&self, from: RecordPlace) -> Result<PageOfRecords, StoreError> {
        let mut found = Vec::new();
        let mut corrupt = None;
        let range = self.range(vec![Space::Audit.byte()], from);
        self.snapshot.scan(&range, self.direction, &mut |key, value| {
            match (place_of(key), serde_json::from_slice(value)) {
                (Some(place), Ok(access)) => found.push((place, access)),
                (place, _) => corrupt = Some(unreadable(place)),
            }
            if corrupt.is_some() || found.len() >= RECORDS_READ { Flow::Stop } else { Flow::Next }
        })?;
        let end = found.last().map(|(place, _)| *place).filter(|_| found.len() >= RECORDS_READ);
        corrupt.map_or(Ok((found, end)), Err)
    }

    /// Some places under an id, not beyond `end` (inclusive) in the direction of reading.
    fn places(
        &self,
        id: &str,
        from: RecordPlace,
        end: Option<RecordPlace>,
    ) -> Result<Vec<RecordPlace>, StoreError> {
        let mut places = Vec::new();
        let prefix = Key::new(Space::AuditPatient).text(id.as_bytes()).into_bytes();
        self.snapshot.scan(&self.range(prefix, from), self.direction, &mut |key, _| {
            let place = place_of(key).filter(|place| end.is_none_or(|end| self.is_within(*place, end)));
            places.extend(place);
            if place.is_none() || places.len() >= RECORDS_READ { Flow::Stop } else { Flow::Next }
        })?;
        Ok(places)
    }

    /// Whether a place is not beyond another one in the direction of reading.
    fn is_within(&self, place: RecordPlace, end: RecordPlace) -> bool {
        match self.direction {
            Direction::Forward => place <= end,
            Direction::Reverse => place >= end,
        }
    }

    fn of_patient(&self, id: &str, from: RecordPlace) -> Result<PageOfRecords, StoreError> {
        let full = |places: &[RecordPlace]| places.last().copied().filter(|_| places.len() >= RECORDS_READ);
        let mut own = self.places(id, from, None)?;
        let mut end = full(&own);
        let mut of_many = Vec::new();
        let row = row_of_patient(self.snapshot, id)?;
        if row.is_some() {
            of_many = self.places(OF_MANY, from, end)?;
            end = full(&of_many).or(end);
            own.retain(|place| end.is_none_or(|end| self.is_within(*place, end)));
        }
        let patient = format!("Patient/{id}");
        let read = |place| record(self.snapshot, place)?.ok_or_else(|| unreadable(Some(place)));
        let mut found = Vec::new();
        for place in own {
            found.push((place, read(place)?));
        }
        for place in of_many {
            // Of a record of many patients only the part of this patient is returned.
            let part =
                row.map(|row| read(place).map(|access| access.part_of_row(row, &patient))).transpose()?;
            found.extend(part.flatten().map(|part| (place, part)));
        }
        found.sort_by_key(|(place, _)| *place);
        if self.direction == Direction::Reverse {
            found.reverse();
        }
        Ok((found, end))
    }
}

pub(super) fn unreadable(place: Option<RecordPlace>) -> StoreError {
    let (Sequence(sequence), number) = place.unwrap_or(FIRST);
    StoreError::Corrupt(format!("access record {sequence}-{number} cannot be read"))
}

/// The record at a place, if there is one.
///
/// # Errors
/// [`StoreError`] if the disk fails or the record cannot be read.
pub fn record(snapshot: &dyn Snapshot, place: RecordPlace) -> Result<Option<Access>, StoreError> {
    let Some((value, _)) = snapshot.get(&record_key(place))? else { return Ok(None) };
    serde_json::from_slice(&value).map(Some).map_err(|_| unreadable(Some(place)))
}

/// Writes the keys by patient in a store with records from before there were such keys.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn index_patients(kv: &dyn Kv) -> Result<(), StoreError> {
    let done = Key::new(Space::Meta).text(b"audit-patients").into_bytes();
    let failed = |error: crate::store::CommitError| StoreError::Io(error.to_string());
    let snapshot = kv.snapshot(At::Latest)?;
    if snapshot.get(&done)?.is_some() {
        return Ok(());
    }
    let mut batch = Batch::default();
    let mut records = Records::new(&*snapshot, None, Direction::Forward, None);
    let mut gathered = 0;
    while let Some(((Sequence(sequence), number), access)) = records.read()? {
        for patient in concerned(&access) {
            let key = Key::new(Space::AuditPatient).text(patient.as_bytes()).number(sequence).word(number);
            batch.writes.push(Write { key: key.into_bytes(), value: Some(Vec::new()), ..Write::default() });
        }
        gathered += 1;
        if gathered % RECORDS_INDEXED == 0 {
            kv.commit(std::mem::take(&mut batch)).wait().map_err(failed)?;
        }
    }
    batch.expectations.push(Expectation::Key { key: done.clone(), sequence: None });
    batch.writes.push(Write { key: done, value: Some(Vec::new()), ..Write::default() });
    match kv.commit(batch).wait() {
        Ok(_) | Err(crate::store::CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Checks that every record is found under its own patients and no others. The texts name records, never contents.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn verify_index(snapshot: &dyn Snapshot) -> Result<Vec<String>, StoreError> {
    let mut expected = std::collections::BTreeSet::new();
    let mut records = Records::new(snapshot, None, Direction::Forward, None);
    while let Some(((Sequence(sequence), number), access)) = records.read()? {
        for patient in concerned(&access) {
            let key = Key::new(Space::AuditPatient).text(patient.as_bytes()).number(sequence).word(number);
            expected.insert(key.into_bytes());
        }
    }
    let mut faults = Vec::new();
    let name = |key: &[u8]| place_of(key).map_or((0, 0), |(Sequence(sequence), number)| (sequence, number));
    snapshot.scan(
        &KeyRange::prefix(vec![Space::AuditPatient.byte()]),
        Direction::Forward,
        &mut |key, _| {
            if !expected.remove(key) {
                let (sequence, number) = name(key);
                faults.push(format!(
                    "access record {sequence}-{number} is found by a patient whom it does not name"
                ));
            }
            Flow::Next
        },
    )?;
    faults.extend(expected.iter().map(|key| {
        let (sequence, number) = name(key);
        format!("access record {sequence}-{number} is not found by its patient")
    }));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Records, index_patients, verify_index, writes};
    use crate::audit::record::{Access, Action};
    use crate::auth::Party;
    use crate::store::{At, Batch, Direction, Kv as _, Memory, Snapshot, SystemClock, Write};

    fn access(patients: &[&str]) -> Access {
        let mut access = Access::of(&Party::nobody(), "read", Action::Read, "GET /".to_owned(), 1);
        access.patients = patients.iter().map(|id| format!("Patient/{id}")).collect();
        access
    }

    fn count(snapshot: &dyn Snapshot, patient: Option<&str>, direction: Direction) -> usize {
        let mut records = Records::new(snapshot, patient, direction, None);
        let mut places = Vec::new();
        while let Some((place, _)) = records.read().unwrap() {
            places.push(place);
        }
        let mut sorted = places.clone();
        sorted.sort_unstable();
        if direction == Direction::Reverse {
            sorted.reverse();
        }
        assert_eq!(places, sorted);
        places.len()
    }

    #[test]
    fn records_are_found_by_patient_in_both_directions_and_in_pieces() {
        let memory = Memory::new(Arc::new(SystemClock));
        for number in 0..700_u32 {
            let patients: &[&str] = if number % 2 == 0 { &["a", "b"] } else { &["ab"] };
            let mut batch = Batch { writes: writes(&access(patients), 0), ..Batch::default() };
            batch.writes.extend(writes(&access(&[]), 1));
            memory.commit(batch).wait().unwrap();
        }
        let snapshot = memory.snapshot(At::Latest).unwrap();
        for direction in [Direction::Forward, Direction::Reverse] {
            assert_eq!(count(&*snapshot, None, direction), 1_400);
            assert_eq!(count(&*snapshot, Some("a"), direction), 350);
            assert_eq!(count(&*snapshot, Some("ab"), direction), 350);
            assert_eq!(count(&*snapshot, Some("c"), direction), 0);
        }
        assert_eq!(verify_index(&*snapshot).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_index_is_made_and_a_wrong_one_is_noticed() {
        let memory = Memory::new(Arc::new(SystemClock));
        let record: Vec<Write> = writes(&access(&["a"]), 0).into_iter().take(1).collect();
        memory.commit(Batch { writes: record.clone(), ..Batch::default() }).wait().unwrap();
        assert_eq!(verify_index(&*memory.snapshot(At::Latest).unwrap()).unwrap().len(), 1);
        index_patients(&memory).unwrap();
        let snapshot = memory.snapshot(At::Latest).unwrap();
        assert_eq!(verify_index(&*snapshot).unwrap(), Vec::<String>::new());
        assert_eq!(count(&*snapshot, Some("a"), Direction::Reverse), 1);
        let stray = writes(&access(&["z"]), 7).into_iter().skip(1).collect();
        memory.commit(Batch { writes: stray, ..Batch::default() }).wait().unwrap();
        assert_eq!(verify_index(&*memory.snapshot(At::Latest).unwrap()).unwrap().len(), 1);
    }
}

//! What is added later to the record of a request: of whom it asked, or whom it counted, beyond what its answer showed. A look-up
//! finds that out after the answer; until it is done a key beside the record says that it is due, so that a crash loses none.
//!
//! Key in `meta`: `audit-due`, sequence and number of the record; value: what the look-up needs, in JSON.

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::auth::Party;
use crate::model::Millis;
use crate::model::{decode_base64, encode_base64};
use crate::store::{
    Direction, Expectation, Flow, Key, KeyRange, Repository, Sequence, Snapshot, Space, Stamp, StampPlace,
    Stamped, StoreError, Write,
};

use super::concern::{Addition, Concern, LISTED_MAX, Patients, row_of_patient};
use super::place::{RecordPlace, place_of};
use super::record::{Access, Action};

impl Access {
    /// The record that adds to those of requests alike, of which this is the first, whom else they concerned. `now` is when it is
    /// added, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn added(
        &self,
        (concern, times, last): (Concern, usize, Millis),
        (Sequence(sequence), number): RecordPlace,
        patients: &Patients,
        (snapshot, now): (&dyn Snapshot, Millis),
    ) -> Result<Self, StoreError> {
        let mut added = Self {
            time: now,
            interaction: "search-type".to_owned(),
            action: Action::Execute,
            released: Vec::new(),
            withheld: Vec::new(),
            patients: patients.ids.iter().cloned().collect(),
            consents: Vec::new(),
            criteria: self.criteria.clone(),
            status: 200,
            ..self.clone()
        };
        let mut rows = None;
        if patients.rows.len() > u64::try_from(LISTED_MAX).unwrap_or(u64::MAX) {
            let mut bytes = Vec::new();
            patients.rows.serialize_into(&mut bytes).map_err(|error| StoreError::Io(error.to_string()))?;
            rows = Some(encode_base64(&bytes));
        } else {
            let repository = Repository::new(snapshot);
            for row in &patients.rows {
                let current = repository.current_of_row(row)?;
                added.patients.extend(current.map(|current| format!("Patient/{}", current.id)));
            }
        }
        let (of, first) = ((sequence, number), self.time);
        added.addition = Some(Addition { concern, times, first, last, of, rows, part: None });
        Ok(added)
    }

    /// Whether it stands for patients whom it does not list.
    pub(super) fn is_of_many(&self) -> bool {
        self.addition.as_ref().is_some_and(|addition| addition.rows.is_some())
    }

    /// Whether a row is among those of the patients whom it does not list.
    fn has_row(&self, row: u64) -> bool {
        let rows =
            self.addition.as_ref().and_then(|addition| addition.rows.as_deref()).and_then(decode_base64);
        let rows = rows.and_then(|bytes| RoaringTreemap::deserialize_from(bytes.as_slice()).ok());
        rows.is_some_and(|rows| rows.contains(row))
    }

    /// The part of a record of many that is about the patient of a row (`Patient/id`), if one is.
    #[must_use]
    pub fn part_of_row(mut self, row: u64, patient: &str) -> Option<Self> {
        if !self.has_row(row) {
            return None;
        }
        self.patients = vec![patient.to_owned()];
        if let Some(addition) = &mut self.addition {
            (addition.rows, addition.part) = (None, Some(row));
        }
        Some(self)
    }

    /// The record, or of one of many the part that is about the patient (by id), if one is.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub(super) fn part_of(self, snapshot: &dyn Snapshot, id: &str) -> Result<Option<Self>, StoreError> {
        if !self.is_of_many() {
            return Ok(Some(self));
        }
        let row = row_of_patient(snapshot, id)?;
        Ok(row.and_then(|row| self.part_of_row(row, &format!("Patient/{id}"))))
    }

    /// The row of the patient as whose part the record was read, where it is one of many.
    #[must_use]
    pub fn row_of_part(&self) -> Option<u64> {
        self.addition.as_ref().and_then(|addition| addition.part)
    }
}

/// What a look-up needs beside the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Who searched: what the party may see was counted, and types that its scopes reach were searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// Whether more was counted than shown.
    #[serde(default)]
    pub counted: bool,
    /// The commit whose state was searched; where nothing is said the newest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<u64>,
}

impl Due {
    /// That a look-up is due, as a write of the batch that the record stands in; `number` is that of the record.
    #[must_use]
    pub fn write(&self, number: u32) -> Write {
        let (key, offset) = Key::new(Space::Meta).text(DUE).stamped();
        let stamp = Stamp { place: StampPlace::Key, offset, what: Stamped::Sequence };
        // INVARIANT: a struct of texts and numbers always has a JSON form.
        let value = serde_json::to_vec(self).unwrap_or_default();
        Write { key: key.word(number).into_bytes(), value: Some(value), stamps: vec![stamp] }
    }
}

const DUE: &[u8] = b"audit-due";

fn due_key((Sequence(sequence), number): RecordPlace) -> Vec<u8> {
    Key::new(Space::Meta).text(DUE).number(sequence).word(number).into_bytes()
}

/// Some of the look-ups that are due, the oldest first, at most `len` after a place.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn due(
    snapshot: &dyn Snapshot,
    after: Option<RecordPlace>,
    len: usize,
) -> Result<Vec<(RecordPlace, Due)>, StoreError> {
    let mut found = Vec::new();
    let mut range = KeyRange::prefix(Key::new(Space::Meta).text(DUE).into_bytes());
    if let Some(after) = after {
        range.start = due_key(after);
        range.start.push(0);
    }
    snapshot.scan(&range, Direction::Forward, &mut |key, value| {
        // A value that another release has written in another form must not stop all that come after it: then only what the record
        // itself says is looked up.
        found.extend(place_of(key).map(|place| (place, serde_json::from_slice(value).unwrap_or_default())));
        if found.len() >= len { Flow::Stop } else { Flow::Next }
    })?;
    Ok(found)
}

/// That a look-up is done: the write, and that nobody else has done it meanwhile.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn done(snapshot: &dyn Snapshot, place: RecordPlace) -> Result<(Write, Expectation), StoreError> {
    let key = due_key(place);
    let sequence = snapshot.get(&key)?.map(|(_, sequence)| sequence);
    Ok((Write { key: key.clone(), ..Write::default() }, Expectation::Key { key, sequence }))
}

//! Additions to the record of a request: the patients whom it sought or counted beyond those that its answer showed. A look-up
//! finds them after the answer. Until it is done, a key beside the record marks it as due, so that a crash loses none.
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
use super::place::{RecordPlace, place_of, record_key};
use super::record::{Access, Action};

impl Access {
    /// The record that adds the other patients whom requests of the same party with the same query concerned. `self` is the
    /// record of the first of these requests, and `now` the time of the addition, in milliseconds since 1970.
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

    /// Whether it stands for many patients, whom it does not list.
    pub(super) fn is_of_many(&self) -> bool {
        self.addition.as_ref().is_some_and(|addition| addition.rows.is_some())
    }

    /// Whether the patient with this row is among those whom it does not list.
    fn has_row(&self, row: u64) -> bool {
        let rows =
            self.addition.as_ref().and_then(|addition| addition.rows.as_deref()).and_then(decode_base64);
        let rows = rows.and_then(|bytes| RoaringTreemap::deserialize_from(bytes.as_slice()).ok());
        rows.is_some_and(|rows| rows.contains(row))
    }

    /// The part of a record of many patients that is about one (by row and `Patient/id`), if it concerns that patient.
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

    /// The record itself; or, of a record of many patients, the part about this one (by id), if it concerns that patient.
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

    /// The row of the patient for whom this part of a record of many patients was read.
    #[must_use]
    pub fn row_of_part(&self) -> Option<u64> {
        self.addition.as_ref().and_then(|addition| addition.part)
    }
}

/// What a look-up needs besides the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The party that searched. Counts covered what this party may see, and searches the types that its scopes reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// Whether more was counted than shown.
    #[serde(default)]
    pub counted: bool,
    /// The commit whose snapshot was searched; `None` means the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<u64>,
}

impl Due {
    /// Marks a look-up as due, as a write of the batch that contains the record with this number.
    #[must_use]
    pub fn write(&self, number: u32) -> Write {
        let (key, offset) = Key::new(Space::Meta).text(DUE).stamped();
        let stamp = Stamp { place: StampPlace::Key, offset, what: Stamped::Sequence };
        // INVARIANT: a struct of texts and numbers always has a JSON form.
        let value = serde_json::to_vec(self).unwrap_or_default();
        Write { key: key.word(number).into_bytes(), value: Some(value), stamps: [stamp].into() }
    }
}

const DUE: &[u8] = b"audit-due";

fn due_key((Sequence(sequence), number): RecordPlace) -> Vec<u8> {
    Key::new(Space::Meta).text(DUE).number(sequence).word(number).into_bytes()
}

/// At most `len` of the due look-ups after a place, the oldest first.
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
        // A value in the format of another release must not block all later ones: then only what the record itself says is looked
        // up.
        found.extend(place_of(key).map(|place| (place, serde_json::from_slice(value).unwrap_or_default())));
        if found.len() >= len { Flow::Stop } else { Flow::Next }
    })?;
    // Each is read again when it is marked as done, and its record before that.
    snapshot.announce(&mut found.iter().flat_map(|(place, _)| [due_key(*place), record_key(*place)]))?;
    Ok(found)
}

/// Marks a look-up as done: the removal of its key, and the expectation that nobody else has done it meanwhile.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn done(snapshot: &dyn Snapshot, place: RecordPlace) -> Result<(Write, Expectation), StoreError> {
    let key = due_key(place);
    let sequence = snapshot.get(&key)?.map(|(_, sequence)| sequence);
    Ok((Write { key: key.clone(), ..Write::default() }, Expectation::Key { key, sequence }))
}

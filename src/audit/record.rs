//! Access records: who did what to which versions, for which patients, and on what it rested. They are never changed
//! and never dropped; the chain of the journal seals them.
use serde::{Deserialize, Serialize};

use crate::auth::Party;
use crate::model::Millis;
use crate::store::{
    Direction, Flow, Key, KeyRange, Place, Sequence, Snapshot, Space, Stamp, Stamped, StoreError, Write,
};

/// What was done (R4 valueset-audit-event-action.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    #[serde(rename = "C")]
    Create,
    #[serde(rename = "R")]
    Read,
    #[serde(rename = "U")]
    Update,
    #[serde(rename = "D")]
    Delete,
    #[serde(rename = "E")]
    Execute,
}

impl Action {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Execute => "E",
        }
    }
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Milliseconds since 1970.
    pub time: Millis,
    /// The code of the interaction.
    pub interaction: String,
    pub action: Action,
    pub subject: String,
    pub client: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    pub purposes: Vec<String>,
    pub token_id: String,
    /// Method and path with query, as it was asked.
    pub request: String,
    /// `Type/id/_history/version` of what was released or written.
    pub released: Vec<String>,
    /// `Patient/id` of everybody concerned.
    pub patients: Vec<String>,
    /// Consents that decided, by `Consent/id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// The status code of the answer.
    pub status: u16,
}

impl Access {
    /// The record of a party's request, with nothing released yet.
    #[must_use]
    pub fn of(party: &Party, interaction: &str, action: Action, request: String, time: Millis) -> Self {
        Self {
            time,
            interaction: interaction.to_owned(),
            action,
            subject: party.subject.clone(),
            client: party.client.clone(),
            role: party.role.code().to_owned(),
            organization: party.organization.clone(),
            fhir_user: party.fhir_user.clone(),
            purposes: party.purposes.clone(),
            token_id: party.token_id.clone(),
            request,
            released: Vec::new(),
            patients: Vec::new(),
            consents: Vec::new(),
            status: 200,
        }
    }
}

/// The record as a write of a batch; `number` tells apart several of one batch.
#[must_use]
pub fn write(access: &Access, number: u32) -> Write {
    let (key, sequence_at) = Key::new(Space::Audit).stamped();
    let key = key.word(number).into_bytes();
    let stamps = vec![Stamp { place: Place::Key, offset: sequence_at, what: Stamped::Sequence }];
    // INVARIANT: a struct of texts and numbers always has a JSON form.
    let value = serde_json::to_vec(access).unwrap_or_default();
    Write { key, value: Some(value), stamps }
}

/// Where a record stands: the commit, and its number within it.
pub type RecordPlace = (Sequence, u32);

/// All records, oldest first, each with its place.
///
/// # Errors
/// [`StoreError`] if the disk fails or a record cannot be read.
pub fn read_all(snapshot: &dyn Snapshot) -> Result<Vec<(RecordPlace, Access)>, StoreError> {
    let mut found = Vec::new();
    let mut corrupt = false;
    snapshot.scan(&KeyRange::prefix(vec![Space::Audit.byte()]), Direction::Forward, &mut |key, value| {
        let sequence =
            key.get(1..9).and_then(|bytes| bytes.first_chunk::<8>()).map(|bytes| u64::from_be_bytes(*bytes));
        let number =
            key.get(9..13).and_then(|bytes| bytes.first_chunk::<4>()).map(|bytes| u32::from_be_bytes(*bytes));
        match (sequence, number, serde_json::from_slice(value)) {
            (Some(sequence), Some(number), Ok(access)) => found.push(((Sequence(sequence), number), access)),
            _ => corrupt = true,
        }
        Flow::Next
    })?;
    if corrupt { Err(StoreError::Corrupt("an access record".to_owned())) } else { Ok(found) }
}

//! Suspensions of the right to an accounting: while an agency for health oversight or of law enforcement says that it would
//! impede its work, disclosures to it are not told to the patient (45 CFR 164.528(a)(2)).
//!
//! Key in `meta`: `audit-suspension`, patient id, agency; value: the suspension in JSON.
use serde::{Deserialize, Serialize};

use crate::model::Millis;
use crate::store::{Direction, Flow, Key, KeyRange, Snapshot, Space, StoreError, Write};

use super::record::Access;

/// A statement that was only spoken suspends for no longer, in days (45 CFR 164.528(a)(2)(ii)).
pub const SPOKEN_DAYS_MAX: Millis = 30;

/// A suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// `Organization/id`.
    pub agency: String,
    /// Milliseconds since 1970 at which it ends.
    pub until: Millis,
    /// Who has entered it: the subject of the token.
    pub by: String,
    pub time: Millis,
}

impl Suspension {
    /// The suspension for a patient (by id) as a write of a batch; it takes the place of an earlier one for the same agency.
    #[must_use]
    pub fn write(&self, patient: &str) -> Write {
        let key = Key::new(Space::Meta).text(b"audit-suspension").text(patient.as_bytes());
        let key = key.text(self.agency.as_bytes()).into_bytes();
        // INVARIANT: a struct of texts and numbers always has a JSON form.
        Write { key, value: Some(serde_json::to_vec(self).unwrap_or_default()), stamps: Vec::new() }
    }
}

/// The interaction by which one is entered.
pub const SUSPEND_ACCOUNTING: &str = "$suspend-accounting";

/// Whether the patient is told of an access, while it is not told of what these agencies do: neither of that nor that it is so.
#[must_use]
pub fn is_told(access: &Access, agencies: &[String]) -> bool {
    let recipient = access.entered.iter().map(|entered| &entered.recipient);
    let mut actors = [&access.organization, &access.fhir_user].into_iter().flatten().chain(recipient);
    let is_suspending = access.interaction == SUSPEND_ACCOUNTING && !agencies.is_empty();
    !is_suspending && !actors.any(|actor| agencies.contains(actor))
}

/// The agencies to which disclosures of a patient's data (by id) are not told at a moment.
///
/// # Errors
/// [`StoreError`] if the disk fails or a suspension cannot be read.
pub fn suspended(snapshot: &dyn Snapshot, patient: &str, now: Millis) -> Result<Vec<String>, StoreError> {
    let key = Key::new(Space::Meta).text(b"audit-suspension").text(patient.as_bytes());
    let mut agencies = Vec::new();
    let mut is_corrupt = false;
    snapshot.scan(&KeyRange::prefix(key.into_bytes()), Direction::Forward, &mut |_, value| {
        match serde_json::from_slice::<Suspension>(value) {
            Ok(suspension) if now < suspension.until => agencies.push(suspension.agency),
            Ok(_) => {}
            Err(_) => is_corrupt = true,
        }
        Flow::Next
    })?;
    if is_corrupt { Err(StoreError::Corrupt("a suspension of accounting".to_owned())) } else { Ok(agencies) }
}

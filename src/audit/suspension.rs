//! Suspensions of the right to an accounting: while an agency for health oversight or law enforcement states that it would impede
//! its work, the patient is not told of disclosures to it (45 CFR 164.528(a)(2)).
//!
//! Key in `meta`: `audit-suspension`, patient id, agency; value: the suspension in JSON.
use serde::{Deserialize, Serialize};

use crate::model::Millis;
use crate::store::{Direction, Flow, Key, KeyRange, Snapshot, Space, StoreError, Write};

use super::record::Access;

/// The longest suspension on a spoken statement, in days (45 CFR 164.528(a)(2)(ii)).
pub const SPOKEN_DAYS_MAX: Millis = 30;

/// A suspension for one agency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// `Organization/id`.
    pub agency: String,
    /// When it ends, in milliseconds since 1970.
    pub until: Millis,
    /// The subject of the token of whoever entered it.
    pub by: String,
    pub time: Millis,
}

impl Suspension {
    /// The suspension for a patient (by id) as a write of a batch. It replaces an earlier one for the same agency.
    #[must_use]
    pub fn write(&self, patient: &str) -> Write {
        let key = Key::new(Space::Meta).text(b"audit-suspension").text(patient.as_bytes());
        let key = key.text(self.agency.as_bytes()).into_bytes();
        // INVARIANT: a struct of texts and numbers always has a JSON form.
        Write { key, value: Some(serde_json::to_vec(self).unwrap_or_default()), ..Write::default() }
    }
}

/// The interaction that enters a suspension.
pub const SUSPEND_ACCOUNTING: &str = "$suspend-accounting";

/// Whether the patient may be told of an access while accounting to these agencies is suspended. The patient is told neither of
/// accesses by them nor of the suspension.
#[must_use]
pub fn is_told(access: &Access, agencies: &[String]) -> bool {
    let recipient = access.entered.iter().map(|entered| &entered.recipient);
    let mut actors = [&access.organization, &access.fhir_user].into_iter().flatten().chain(recipient);
    let is_suspending = access.interaction == SUSPEND_ACCOUNTING && !agencies.is_empty();
    !is_suspending && !actors.any(|actor| agencies.contains(actor))
}

/// The agencies for which accounting to a patient (by id) is suspended at a moment.
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

//! Who may write what: by role, by whose it is, and by the Consents of whom it is about.
use crate::auth::{Role, Writes};
use crate::model::Node;
use crate::store::StoreError;

use super::data::DataFacts;
use super::decide::Requester;
use super::lens::Lens;

/// What feeds identities and subjects of decisions is written by the own staff alone.
const FEEDS_IDENTITIES: [&str; 6] =
    ["Organization", "Practitioner", "PractitionerRole", "Group", "CareTeam", "RelatedPerson"];

/// What patients make themselves; of all that is there already they change their Consents alone.
/// CHOICE: what professionals have recorded is not theirs to change (45 CFR 164.526 lets them ask for an amendment).
const PATIENTS_WRITE: [&str; 4] = ["Consent", "Communication", "QuestionnaireResponse", "DocumentReference"];

/// Whether a write makes something, or changes what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    New,
    Change,
}

impl Lens<'_> {
    /// Whether the party may write a resource: to collect and correct is another action than to read. What is
    /// overwritten is asked for as well as what it is overwritten with.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn may_write(&self, resource: Node<'_>, writing: Writing) -> Result<bool, StoreError> {
        let data = DataFacts::of(resource);
        let name = data.type_name.as_str();
        let row = self.party.role.row();
        // Staff acts for a purpose that its role has, or not at all.
        if row.writes != Writes::OwnMatters && self.requester.purposes.is_empty() {
            return Ok(false);
        }
        if data.is_work() {
            return Ok(self.is_own() && row.does_work);
        }
        let feeds = FEEDS_IDENTITIES.contains(&name) || (name == "Patient" && resource.get("link").is_some());
        match row.writes {
            Writes::Nothing => Ok(false),
            Writes::Work => Ok(self.is_own() && name == "Consent"),
            // CareTeams and RelatedPersons are of a patient: who runs the server does not decide about one.
            Writes::Administration => Ok(self.is_own() && data.owners.is_empty()),
            Writes::OwnMatters => self.may_write_own(&data, writing),
            Writes::Anything if feeds || name == "Consent" || data.owners.is_empty() => Ok(self.is_own()),
            // Somebody else's new file is theirs to make; whether it may be seen is decided when it is read.
            Writes::Anything if !self.is_own() && name == "Patient" && writing == Writing::New => {
                Ok(self.party.role == Role::System)
            }
            Writes::Anything => self.may_collect(&data),
        }
    }

    /// What patients, and who acts for them, write: about the one patient alone.
    fn may_write_own(&self, data: &DataFacts, writing: Writing) -> Result<bool, StoreError> {
        let name = data.type_name.as_str();
        let is_own = data.owners.len() == 1 && data.owners.iter().all(|owner| self.is_subject(owner));
        if name == "Consent" {
            // Who is named by a Consent does not write it: the patient does, or the own staff that records it.
            return Ok(is_own);
        }
        if !is_own || writing == Writing::Change || !PATIENTS_WRITE.contains(&name) {
            return Ok(false);
        }
        self.may_collect(data)
    }

    fn may_collect(&self, data: &DataFacts) -> Result<bool, StoreError> {
        let requester = Requester { actions: vec!["correct", "collect"], ..self.requester.clone() };
        self.decide_as(data, &requester).map(|decision| decision.permit)
    }

    /// Whether the party may write about a patient whom the same transaction registers: a referral comes with the patient.
    #[must_use]
    pub fn may_write_about_new(&self, resource: Node<'_>) -> bool {
        let name = resource.str_at("resourceType").unwrap_or_default();
        self.party.role == Role::System
            && !FEEDS_IDENTITIES.contains(&name)
            && !matches!(name, "Consent" | "Patient")
    }
}

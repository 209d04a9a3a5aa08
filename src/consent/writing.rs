//! Who may write what: by role, by data subject, and by the Consents of the subjects.
use crate::auth::{Recording, Role, Writes};
use crate::definitions::r4;
use crate::model::Node;
use crate::store::StoreError;

use super::compiled_consent::{Criterion, Effect, compile};
use super::data::DataFacts;
use super::decision::Basis;
use super::identities::{Membership, membership};
use super::lens::Lens;
use super::matching::{CriterionMatch, matches};
use super::requester::{Counting, Requester};

/// Types on which decisions about identities and subjects rest. Only own staff whose role feeds identities writes them.
const FEEDS_IDENTITIES: [&str; 7] =
    ["Organization", "Practitioner", "PractitionerRole", "Group", "CareTeam", "RelatedPerson", "Person"];

/// Types that patients create. Of stored resources they change only their Consents.
/// CHOICE: what professionals have recorded is not theirs to change (45 CFR 164.526 lets them ask for an amendment).
const PATIENTS_WRITE: [&str; 4] = ["Consent", "Communication", "QuestionnaireResponse", "DocumentReference"];

/// Whether a write creates a resource or changes a stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    New,
    Change,
}

impl Lens<'_> {
    /// Whether the party may write a resource. Collecting and correcting are other actions than reading. For an update the caller
    /// asks about the stored version as well as about the new one.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn may_write(&self, resource: Node<'_>, writing: Writing) -> Result<bool, StoreError> {
        let data = self.facts_of(resource);
        let name = data.type_name.as_str();
        let row = self.party.role.row();
        // A party confined to one patient, as by an emergency, writes about no other.
        if self.reach.is_outside_confinement(&data.owners) {
            return Ok(false);
        }
        // All but patients and representatives need a purpose that their role has.
        if row.writes != Writes::OwnMatters && self.requester.purposes.is_empty() {
            return Ok(false);
        }
        if data.is_work() {
            return Ok(self.is_own() && row.does_work);
        }
        if r4().resource(name).is_some_and(|def| def.rules.is_access_record) {
            // Other systems of the own organization feed AuditEvents (IHE ATNA ITI-20).
            return Ok(self.is_own() && self.party.role == Role::System && writing == Writing::New);
        }
        let feeds = FEEDS_IDENTITIES.contains(&name) || (name == "Patient" && resource.get("link").is_some());
        if self.party.break_glass.is_some() && (feeds || name == "Consent") {
            return Ok(false);
        }
        match row.writes {
            Writes::Nothing => Ok(false),
            Writes::OwnMatters => self.may_write_own(resource, &data, writing),
            _ if feeds => Ok(self.may_feed(resource, &data)),
            // An organization-wide policy, which names no patient.
            _ if name == "Consent" && row.administers => {
                Ok(self.is_own() && self.party.may_administer() && resource.get("patient").is_none())
            }
            _ if name == "Consent" => self.may_record(resource),
            Writes::Work => Ok(false),
            Writes::Administration => Ok(self.is_own() && data.owners.is_empty() && !data.of_unknown),
            Writes::Anything if data.owners.is_empty() => Ok(self.is_own()),
            // Systems of other organizations may create Patients. Whether a Patient may be seen is decided on reading.
            Writes::Anything if !self.is_own() && name == "Patient" => {
                Ok(self.party.role == Role::System && writing == Writing::New)
            }
            Writes::Anything => self.may_collect(&data, writing),
        }
    }

    /// Whether the party may write a resource on which identities rest. Administrators write none that has a patient as a
    /// subject. `Organization.partOf` is for administrators and for clients that load data under ids of their own.
    fn may_feed(&self, resource: Node<'_>, data: &DataFacts) -> bool {
        let row = self.party.role.row();
        let is_allowed =
            self.is_own() && row.feeds_identities && (!row.administers || data.owners.is_empty());
        let is_part = data.type_name == "Organization" && resource.get("partOf").is_some();
        is_allowed && (!is_part || row.administers || self.party.assign_ids)
    }

    /// Whether the party may record a Consent for a patient. Nobody records a permit for themselves.
    fn may_record(&self, consent: Node<'_>) -> Result<bool, StoreError> {
        let row = self.party.role.row();
        Ok(self.is_own() && row.records_consents && !self.permits_itself(consent)?)
    }

    /// Whether a permit names the party as a person, by the same matching that decides: by user, identifier, role, or a group or
    /// team of which the person is a member. A permit for the organization, or for anybody, does not count.
    fn permits_itself(&self, consent: Node<'_>) -> Result<bool, StoreError> {
        let person = Requester {
            actors: self.requester.person.clone(),
            identifiers: self.requester.person_identifiers.clone(),
            ..self.requester.clone()
        };
        self.is_picked_out(consent, &person, Some(Effect::Permit))
    }

    /// Whether a rule of a Consent, with this effect if one is given, names somebody as a recipient.
    fn is_picked_out(
        &self,
        consent: Node<'_>,
        somebody: &Requester,
        effect: Option<Effect>,
    ) -> Result<bool, StoreError> {
        let compiled = compile(consent);
        let owner = compiled.patient.clone().unwrap_or_default();
        let mut known = somebody.clone();
        for team in &compiled.teams {
            if membership(&self.repository, team, &owner, somebody)? == Membership::Member {
                known.actors.insert(team.clone());
            }
        }
        let nothing = DataFacts::default();
        let mut rules = compiled.readings.iter().flatten();
        Ok(rules.any(|rule| {
            let names = |criterion: &Criterion| {
                matches!(criterion.known(), Criterion::Actor(_))
                    && matches(criterion.known(), rule.effect, &nothing, &known, &self.settings)
                        == CriterionMatch::Yes
            };
            effect.is_none_or(|effect| rule.effect == effect) && rule.criteria.iter().any(names)
        }))
    }

    /// Whether patients, and their representatives, may write a resource. It must be about this one patient alone.
    fn may_write_own(
        &self,
        resource: Node<'_>,
        data: &DataFacts,
        writing: Writing,
    ) -> Result<bool, StoreError> {
        let name = data.type_name.as_str();
        let is_own = data.owners.len() == 1 && data.owners.iter().all(|owner| self.is_subject(owner));
        if name == "Consent" {
            // A representative whom a Consent names does not write it; the patient does, or own staff that records it. So
            // representatives neither grant nor take away rights of their own.
            let is_named = self.party.role == Role::Representative
                && self.is_picked_out(resource, &self.requester, None)?;
            return Ok(is_own && !is_named);
        }
        if !is_own || writing == Writing::Change || !PATIENTS_WRITE.contains(&name) {
            return Ok(false);
        }
        self.may_collect(data, writing)
    }

    /// Whether the party keeps the record: its writes and their criteria apply to what is stored, even if it may not read that.
    /// Scopes and launch context bind it all the same.
    #[must_use]
    pub fn keeps_record(&self) -> bool {
        self.is_own() && self.party.role.row().recording == Recording::KeepsRecord
    }

    /// Whether this write of the own organization ignores patients' Consents, except for rules that name the action.
    #[must_use]
    pub fn records(&self, writing: Writing) -> bool {
        self.is_own()
            && match self.party.role.row().recording {
                Recording::KeepsRecord => true,
                Recording::AddsData => writing == Writing::New,
                Recording::AsConsented => false,
            }
    }

    /// Whether the Consents permit a write. Other organizations change stored data only where a rule names the action: a permit
    /// to see a file is no permit to overwrite it.
    fn may_collect(&self, data: &DataFacts, writing: Writing) -> Result<bool, StoreError> {
        let changes_others = writing == Writing::Change && !self.is_own();
        let counting = if self.records(writing) {
            Counting::ByAction
        } else if changes_others {
            Counting::PermitsByAction
        } else {
            Counting::All
        };
        let requester = Requester {
            actions: if changes_others { vec!["correct"] } else { vec!["correct", "collect"] },
            counting,
            collects: true,
            ..self.requester.clone()
        };
        let decision = self.decide_as(data, &requester)?;
        // The default policy does not stop the own organization from keeping its record.
        let is_of_policy = counting == Counting::ByAction && decision.basis == Basis::DefaultPolicy;
        Ok(decision.permit || is_of_policy)
    }

    /// Whether the party may write about a patient whom the same transaction creates: a referral arrives together with its
    /// patient.
    #[must_use]
    pub fn may_write_about_new(&self, resource: Node<'_>) -> bool {
        let data = self.facts_of(resource);
        let name = data.type_name.as_str();
        self.party.role == Role::System
            && !self.requester.purposes.is_empty()
            && !data.is_work()
            && !FEEDS_IDENTITIES.contains(&name)
            && !matches!(name, "Consent" | "Patient" | "Task" | "Provenance")
    }
}

//! The order of the rules of a decision, in one place. The ladder runs on the facts of a row or on the whole resource, and
//! reports when facts are not enough; so no rule can apply to searches without applying to reads.
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use crate::auth::Writes;
use crate::definitions::r4;
use crate::model::Millis;
use crate::store::StoreError;

use super::codes::{Code, CodeSystem};
use super::compiled_consent::CompiledConsent;
use super::data::DataFacts;
use super::decide::{decide_for, denies_by_name};
use super::decision::{Basis, Decision};
use super::decision_cache::Span;
use super::identities::{Membership, membership};
use super::lens::Lens;
use super::matching::{Needs, needs};
use super::naming::depends_on_others;
use super::requester::Requester;
use super::scope_reach::ADMINISTRATIVE;

/// What is known about the resource that a decision is about.
pub(super) enum Known<'d> {
    /// The facts stored with its row.
    Row(&'d DataFacts),
    Resource(&'d DataFacts),
}

/// The result of the ladder.
pub(super) struct LadderOutcome {
    /// `None` if the facts are not enough and the resource must be read.
    pub(super) decision: Option<Decision>,
    /// How much of what is known the decision depends on.
    pub(super) needs: Needs,
    /// Whether later requests may reuse the decision.
    pub(super) stands: bool,
    /// The next moment at which a Consent begins or ends.
    pub(super) until: Millis,
}

impl LadderOutcome {
    /// A decision that depends on type, subjects and labels alone.
    fn of_type(decision: Decision) -> Self {
        Self { decision: Some(decision), needs: Needs::Type, stands: true, until: Millis::MAX }
    }

    pub(super) fn refused() -> Self {
        Self::of_type(Decision { permit: false, basis: Basis::NotGoverned })
    }

    pub(super) fn needs_resource() -> Self {
        Self { decision: None, needs: Needs::Content, stands: true, until: Millis::MAX }
    }
}

/// The Consents of a subject, and the requester as these Consents see it.
struct SubjectConsents<'r> {
    consents: Arc<Vec<CompiledConsent>>,
    requester: Cow<'r, Requester>,
}

const PHYSICAL_TYPE: &str = "http://terminology.hl7.org/CodeSystem/location-physical-type";

impl Lens<'_> {
    /// Decides about a resource for the party, acting as this requester. The caller checks the scopes.
    pub(super) fn rule(&self, known: &Known<'_>, requester: &Requester) -> Result<LadderOutcome, StoreError> {
        let (data, is_whole) = match known {
            Known::Row(data) => (*data, false),
            Known::Resource(data) => (*data, true),
        };
        let name = data.type_name.as_str();
        let is_access_record = r4().resource(name).is_some_and(|def| def.rules.is_access_record);
        if is_access_record && !self.may_audit() {
            return Ok(LadderOutcome::refused());
        }
        // Only the resource tells the subjects of these types, and whether a Task is internal work.
        if depends_on_others(name) && !is_whole {
            return Ok(LadderOutcome::needs_resource());
        }
        // Internal work (Tasks) names resources that are hidden from others. Roles that do this work see all of it.
        if data.is_work() {
            let permit = self.is_own()
                && self.party.role.row().does_work
                && !self.reach.is_outside_confinement(&data.owners);
            return Ok(LadderOutcome::of_type(Decision { permit, basis: Basis::DefaultPolicy }));
        }
        if name == "Binary" {
            return self.decide_binary(data, requester).map(LadderOutcome::of_type);
        }
        let data = if is_whole { Cow::Owned(self.with_what_it_names(data)?) } else { Cow::Borrowed(data) };
        if self.reach.is_outside_confinement(&data.owners) {
            return Ok(LadderOutcome::refused());
        }
        // Own staff who record Consents see every Consent, even one that denies them, because they must heed it.
        if name == "Consent" && self.is_own() && self.party.role.row().records_consents {
            return Ok(LadderOutcome::of_type(Decision { permit: true, basis: Basis::DefaultPolicy }));
        }
        // An unknown patient may have denied anybody. Only roles that keep the record, and can find the patient, see the
        // resource.
        if data.of_unknown && !is_access_record && !self.keeps_record() {
            return Ok(LadderOutcome::refused());
        }
        if data.owners.is_empty() {
            return Ok(self.rule_on_nobodys(&data, is_whole));
        }
        self.rule_by_consents(data, is_whole, requester)
    }

    /// Decides about a resource of no patient by its type. A Location may be a patient's home.
    fn rule_on_nobodys(&self, data: &DataFacts, is_whole: bool) -> LadderOutcome {
        let is_location = data.type_name == "Location" && !self.is_staff();
        if is_location && !is_whole {
            return LadderOutcome::needs_resource();
        }
        let house = Code::new(CodeSystem::of(PHYSICAL_TYPE), "ho");
        let is_house = is_location && data.codes.contains(&house);
        let permit = !is_house && self.may_see_ungoverned(&data.type_name);
        LadderOutcome::of_type(Decision { permit, basis: Basis::NotGoverned })
    }

    /// Every subject must permit, each by its own Consents.
    pub(super) fn rule_by_consents(
        &self,
        mut data: Cow<'_, DataFacts>,
        is_whole: bool,
        requester: &Requester,
    ) -> Result<LadderOutcome, StoreError> {
        let mut subjects = Vec::new();
        for owner in &data.owners {
            let consents = self.consents(owner)?;
            let requester = self.requester_for(owner, &consents, requester)?;
            subjects.push((owner.clone(), SubjectConsents { consents, requester }));
        }
        let consents = || subjects.iter().flat_map(|(_, of)| of.consents.iter());
        let asked = subjects.iter().flat_map(|(_, of)| {
            of.consents.iter().map(move |compiled| needs(compiled, &of.requester, &self.settings))
        });
        let mut ruling = LadderOutcome {
            decision: None,
            needs: if is_whole { Needs::Content } else { asked.max().unwrap_or(Needs::Type) },
            // Who belongs to a team may change without a Consent being written.
            stands: consents().all(|compiled| compiled.teams.is_empty()),
            until: Span::of(consents(), requester.now).until,
        };
        if is_whole {
            self.add_incoming(data.to_mut(), consents())?;
        } else if ruling.needs == Needs::Content {
            return Ok(ruling);
        }
        for (owner, of) in &subjects {
            let decision = decide_for(owner, &of.consents, &data, &of.requester, &self.settings);
            let is_refused = !decision.permit;
            ruling.decision = Some(decision);
            if is_refused {
                break;
            }
        }
        Ok(ruling)
    }

    /// Adds the resources that Consents name as `related` and that refer to this resource. CHOICE: not to a Patient. Nearly every
    /// resource refers to its patient, and naming an Encounter does not make the Patient part of it.
    fn add_incoming<'p>(
        &self,
        data: &mut DataFacts,
        consents: impl Iterator<Item = &'p CompiledConsent>,
    ) -> Result<(), StoreError> {
        if data.type_name == "Patient" {
            return Ok(());
        }
        for related in consents.flat_map(|compiled| &compiled.related) {
            if self.references_of(related)?.contains(&data.reference) {
                data.incoming.insert(related.clone());
            }
        }
        Ok(())
    }

    /// The requester as the Consents of one patient see it: with the Groups and CareTeams that they name and it belongs to.
    pub(super) fn requester_for<'r>(
        &self,
        owner: &str,
        consents: &[CompiledConsent],
        requester: &'r Requester,
    ) -> Result<Cow<'r, Requester>, StoreError> {
        let has_teams = consents.iter().any(|compiled| !compiled.teams.is_empty());
        if !has_teams && !requester.represents.contains(owner) {
            return Ok(Cow::Borrowed(requester));
        }
        let mut known = requester.clone();
        for team in consents.iter().flat_map(|compiled| &compiled.teams) {
            let key = (team.clone(), owner.to_owned());
            let lock = || self.memberships.lock().unwrap_or_else(PoisonError::into_inner);
            let found = lock().get(&key).copied();
            let found = match found {
                Some(found) => found,
                None => {
                    let found = membership(&self.repository, team, owner, requester)?;
                    lock().insert(key, found);
                    found
                }
            };
            match found {
                Membership::Member => drop(known.actors.insert(team.clone())),
                Membership::Unknown => drop(known.unresolved.insert(team.clone())),
                Membership::Stranger => {}
            }
        }
        // A representative whom a denial names no longer acts for the patient (45 CFR 164.502(g)(5)).
        if known.represents.contains(owner) && denies_by_name(consents, &known, &self.settings) {
            known.represents.remove(owner);
        }
        Ok(Cow::Owned(known))
    }

    pub(super) fn may_see_ungoverned(&self, type_name: &str) -> bool {
        ADMINISTRATIVE.contains(&type_name) || self.is_staff()
    }

    pub(super) fn is_staff(&self) -> bool {
        let row = self.party.role.row();
        self.is_own() && matches!(row.writes, Writes::Anything | Writes::Administration | Writes::Work)
    }
}

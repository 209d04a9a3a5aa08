//! The parties that an explanation or a preview covers: anybody; every organization, professional, group and team that Consents
//! of the patient or a registration name; each role of the own organization. Each with every purpose that its role may assert.
use std::collections::{BTreeSet, HashSet};

use crate::auth::Role;
use crate::consent::{Actor, Code, CompiledConsent, Criterion};
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, Node, ResourceId, Tree, parse};
use crate::search::{Filter, plain};

use super::super::answer::{Refusal, RefusalKind};
use super::super::session::Session;
use super::hypothetical_party::HypotheticalParty;

/// At most so many parties are covered at once.
const PARTIES_MAX: usize = 10_000;
/// How many resources with an identifier, and how many members of a group, are looked at.
const NAMED_MAX: usize = 1_000;

/// Purposes that are covered in addition to those that Consents name.
const USUAL: [&str; 4] = ["TREAT", "HPAYMT", "HOPERAT", "HRESCH"];
/// The roles that a party outside the own organization may have.
const OUTSIDE: [Role; 4] = [Role::System, Role::Clinician, Role::Insurer, Role::Researcher];
/// The roles that anybody may have: also that of another patient.
const ANYBODY: [Role; 5] = [Role::System, Role::Clinician, Role::Insurer, Role::Researcher, Role::Patient];
/// The roles of the own organization.
const HOUSE: [Role; 5] =
    [Role::System, Role::Clinician, Role::Technician, Role::Administrator, Role::PrivacyOfficer];

/// The parties to whom these Consents of a patient, or a registration, could open something, and persons related to the patient.
///
/// # Errors
/// 422 `too-costly` if there are too many.
pub(super) fn parties_of(
    session: &Session<'_>,
    patient: &ResourceId,
    consents: &[CompiledConsent],
) -> Result<Vec<HypotheticalParty>, Refusal> {
    let criteria = || {
        consents
            .iter()
            .flat_map(|compiled| compiled.readings.iter().flatten())
            .flat_map(|rule| &rule.criteria)
    };
    let mut purposes: BTreeSet<String> = USUAL.iter().map(|code| (*code).to_owned()).collect();
    let mut actors: Vec<&Actor> = Vec::new();
    for criterion in criteria() {
        match criterion.known() {
            Criterion::Purpose(codes) => purposes.extend(codes.iter().map(|code| code.code.clone())),
            Criterion::Actor(named) => actors.extend(named.iter().filter(|actor| actor.role != "performer")),
            _ => {}
        }
    }
    let own: Vec<String> = session.context.settings.own.iter().cloned().collect();
    let mut parties = Parties { session, own, purposes, found: Vec::new(), known: HashSet::new() };
    for role in ANYBODY {
        parties.add(role, None, None)?;
    }
    for organization in parties.own.clone() {
        for role in HOUSE {
            parties.add(role, Some(&organization), None)?;
        }
    }
    for actor in actors {
        for reference in parties.references_of(actor)? {
            parties.add_named(&reference, &mut BTreeSet::new())?;
        }
    }
    parties.add_related(patient)?;
    for (role, organization, user) in session.context.registered()? {
        parties.add(role, organization.as_deref(), user.as_deref())?;
    }
    Ok(parties.found)
}

struct Parties<'p, 's> {
    session: &'p Session<'s>,
    own: Vec<String>,
    purposes: BTreeSet<String>,
    found: Vec<HypotheticalParty>,
    known: HashSet<HypotheticalParty>,
}

impl Parties<'_, '_> {
    /// Adds a party, once for each purpose that its role may assert.
    fn add(&mut self, role: Role, organization: Option<&str>, user: Option<&str>) -> Result<(), Refusal> {
        let allowed =
            |purpose: &Code| role.row().purposes.iter().any(|code| purpose.is_within(&Code::purpose(code)));
        let patients = ["PATRQT".to_owned()];
        let is_of_patients = matches!(role, Role::Patient | Role::Representative);
        let purposes: Vec<String> =
            if is_of_patients { patients.to_vec() } else { self.purposes.iter().cloned().collect() };
        for purpose in purposes.into_iter().filter(|code| allowed(&Code::purpose(code))) {
            let somebody = HypotheticalParty {
                organization: organization.map(str::to_owned),
                user: user.map(str::to_owned),
                role,
                purposes: vec![purpose],
            };
            if self.known.insert(somebody.clone()) {
                self.found.push(somebody);
            }
        }
        if self.found.len() > PARTIES_MAX {
            let message =
                format!("more than {PARTIES_MAX} parties are named; ask about one of them with `actor`");
            let issue = Issue::error(IssueCode::TooCostly, message);
            return Err(Refusal::new(RefusalKind::Unprocessable, issue));
        }
        Ok(())
    }

    /// The resources that an actor names, by its reference and by its identifiers.
    fn references_of(&self, actor: &Actor) -> Result<Vec<String>, Refusal> {
        let mut found: Vec<String> = actor.reference.iter().cloned().collect();
        for name in ["Organization", "Practitioner", "PractitionerRole", "RelatedPerson", "Patient"] {
            let def = r4().resource(name).ok_or_else(Refusal::not_found)?;
            let Some(param) = self.session.params.find(def, "identifier") else { continue };
            for (system, value) in actor.identifiers.iter().filter(|(_, value)| !value.is_empty()) {
                let system = Some(system.clone()).filter(|system| !system.is_empty());
                let filter = Filter::codes(param, &[(system, value.clone())]);
                let stored = self.session.stored(def, &filter, NAMED_MAX)?;
                found.extend(stored.iter().map(|current| format!("{name}/{}", current.id)));
            }
        }
        Ok(found)
    }

    /// Adds all who act under a reference: an organization in any role, a professional where it works, the members of a group.
    fn add_named(&mut self, reference: &str, seen: &mut BTreeSet<String>) -> Result<(), Refusal> {
        if !seen.insert(reference.to_owned()) || seen.len() > NAMED_MAX {
            return Ok(());
        }
        match reference.split('/').next().unwrap_or_default() {
            "Organization" if self.own.iter().any(|own| own == reference) => Ok(()),
            "Organization" => {
                for role in OUTSIDE {
                    self.add(role, Some(reference), None)?;
                }
                Ok(())
            }
            "Practitioner" => self.add_practitioner(reference),
            "PractitionerRole" => {
                let Some(tree) = self.load(reference)? else { return Ok(()) };
                let at = |name: &str| reference_at(tree.root(), name);
                self.add(Role::Clinician, at("organization").as_deref(), at("practitioner").as_deref())
            }
            "Group" => self.add_members(reference, "member", "entity", seen),
            "CareTeam" => self.add_members(reference, "participant", "member", seen),
            "RelatedPerson" => self.add(Role::Representative, None, Some(reference)),
            "Patient" => self.add(Role::Patient, None, Some(reference)),
            "Device" => self.add(Role::System, None, Some(reference)),
            _ => Ok(()),
        }
    }

    fn add_members(
        &mut self,
        reference: &str,
        list: &str,
        who: &str,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Refusal> {
        let Some(tree) = self.load(reference)? else { return Ok(()) };
        let members: Vec<String> =
            tree.root().items_at(list).filter_map(|entry| reference_at(entry, who)).collect();
        for member in members {
            self.add_named(&member, seen)?;
        }
        Ok(())
    }

    /// Adds a professional for the own organization, and for the organizations where it has a role.
    fn add_practitioner(&mut self, reference: &str) -> Result<(), Refusal> {
        for own in self.own.clone() {
            self.add(Role::Clinician, Some(&own), Some(reference))?;
        }
        let found = r4()
            .resource("PractitionerRole")
            .and_then(|def| Some((def, self.session.params.find(def, "practitioner")?)));
        let Some(((def, param), (type_name, id))) = found.zip(reference.split_once('/')) else {
            return Ok(());
        };
        for row in self.session.repository().referrers(def, param, type_name, id)? {
            let current = self.session.repository().current_of_row(row)?.filter(|current| !current.deleted);
            let Some(current) = current else { continue };
            if let Some(tree) = self.load(&format!("PractitionerRole/{}", current.id))? {
                self.add(
                    Role::Clinician,
                    reference_at(tree.root(), "organization").as_deref(),
                    Some(reference),
                )?;
            }
        }
        Ok(())
    }

    /// Adds the persons who may act for the patient.
    fn add_related(&mut self, patient: &ResourceId) -> Result<(), Refusal> {
        let found = r4().resource("RelatedPerson");
        let found = found.and_then(|def| Some((def, self.session.params.find(def, "patient")?)));
        let Some((def, param)) = found else { return Ok(()) };
        for row in self.session.repository().referrers(def, param, "Patient", patient.as_str())? {
            let current = self.session.repository().current_of_row(row)?.filter(|current| !current.deleted);
            if let Some(current) = current {
                self.add(Role::Representative, None, Some(&format!("RelatedPerson/{}", current.id)))?;
            }
        }
        Ok(())
    }

    fn load(&self, reference: &str) -> Result<Option<Tree>, Refusal> {
        let found = reference
            .split_once('/')
            .and_then(|(name, id)| Some((r4().resource(name)?, ResourceId::parse(id)?)));
        let Some((def, id)) = found else { return Ok(None) };
        let current = self.session.repository().current(def, &id)?.filter(|current| !current.deleted);
        let Some(current) = current else { return Ok(None) };
        let text = self.session.repository().newest(&current)?.text;
        Ok(parse(text.into_bytes()).ok())
    }
}

fn reference_at(node: Node<'_>, name: &str) -> Option<String> {
    node.get(name).and_then(|reference| reference.str_at("reference")).map(plain)
}

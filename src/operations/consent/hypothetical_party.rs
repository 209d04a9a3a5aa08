//! Who may ask about decisions, and the hypothetical parties about whom they are asked.
use std::sync::Arc;

use crate::auth::{Party, Permission, Role, Scopes};
use crate::definitions::r4;
use crate::model::{IssueCode, Millis, ResourceId, ResourceKey};

use super::super::answer::Refusal;
use super::super::parameters::Parameters;
use super::super::session::{Seen, Session};

/// Checks that the party may ask about decisions at all.
///
/// # Errors
/// 403 for a role that may not.
pub(super) fn may_ask(session: &Session<'_>) -> Result<(), Refusal> {
    match session.lens.party().role {
        Role::Patient | Role::Representative => Ok(()),
        _ if session.lens.may_audit() => Ok(()),
        _ => Err(Refusal::forbidden("this is for administrators, privacy officers and the patient")),
    }
}

/// Lets privacy officers and administrators pass, and patients (or who acts for them) who ask about their own file.
///
/// # Errors
/// 403 for a role that may not ask at all, 404 for another patient's file.
pub(in super::super) fn may_ask_about(session: &Session<'_>, patient: &str) -> Result<(), Refusal> {
    may_ask(session)?;
    let is_open = session.lens.may_audit() || session.lens.is_subject(patient);
    if is_open && session.lens.reaches_file(patient) { Ok(()) } else { Err(Refusal::not_found()) }
}

/// Lets those pass who may ask about the file, and staff who record Consents, if they see the Patient.
///
/// # Errors
/// 403 for a role that neither asks nor records, 404 for another patient's file or a hidden Patient.
pub(super) fn may_preview(session: &Session<'_>, patient: &str) -> Result<(), Refusal> {
    let party = session.lens.party();
    if !party.role.row().records_consents || !session.lens.is_own() || session.lens.may_audit() {
        return may_ask_about(session, patient);
    }
    let key = r4().resource("Patient").zip(patient.strip_prefix("Patient/").and_then(ResourceId::parse));
    let (def, id) = key.ok_or_else(Refusal::not_found)?;
    match session.look_to(&Permission::SEEING, def, &id)? {
        Seen::Resource { .. } => Ok(()),
        Seen::Deleted(_) | Seen::Nothing { .. } => Err(Refusal::not_found()),
    }
}

/// The name of a party that is of no organization and nobody in particular.
const ANYBODY: &str = "anybody";

/// A party about which a decision is asked, as if it had a token with every scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HypotheticalParty {
    /// `Organization/id`.
    pub(super) organization: Option<String>,
    /// Any other actor, as `Type/id`.
    pub(super) user: Option<String>,
    pub(super) role: Role,
    pub(super) purposes: Vec<String>,
}

impl HypotheticalParty {
    /// The party of an actor such as `Organization/id` or `Practitioner/id`; its role follows from its type unless
    /// it is given.
    ///
    /// # Errors
    /// 400 if the actor is no reference to a resource.
    pub(super) fn of_actor(actor: &str, role: Option<Role>, purposes: Vec<String>) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::bad_request(
                IssueCode::Value,
                format!("the actor `{actor}` is no reference such as Organization/id"),
            )
        };
        let (type_name, id) = actor.split_once('/').ok_or_else(wrong)?;
        let key = ResourceKey::new(type_name, id).ok_or_else(wrong)?;
        let is_organization = key.type_name == "Organization";
        let of_type = match key.type_name {
            "Patient" => Role::Patient,
            "RelatedPerson" => Role::Representative,
            "Practitioner" | "PractitionerRole" => Role::Clinician,
            _ => Role::System,
        };
        Ok(Self {
            organization: is_organization.then(|| key.to_string()),
            user: (!is_organization).then(|| key.to_string()),
            role: role.unwrap_or(of_type),
            purposes,
        })
    }

    pub(super) fn party(&self) -> Arc<Party> {
        Arc::new(Party {
            subject: String::new(),
            client: String::new(),
            role: self.role,
            organization: self.organization.clone(),
            fhir_user: self.user.clone(),
            purposes: self.purposes.clone(),
            scopes: Scopes::parse("user/*.cruds"),
            expires: Millis::MAX,
            ..Party::nobody()
        })
    }

    /// Adds who the party is: a reference to the user or else the organization, or `anybody`; its role and its purposes.
    pub(super) fn told(&self, out: Parameters) -> Parameters {
        let out = match self.user.as_ref().or(self.organization.as_ref()) {
            Some(actor) => out.reference("actor", actor),
            None => out.display("actor", ANYBODY),
        };
        let out = match (&self.user, &self.organization) {
            (Some(_), Some(organization)) => out.reference("organization", organization),
            _ => out,
        };
        out.code("role", self.role.code()).code("purpose", &self.purposes.join(","))
    }
}

//! Who may ask about decisions, and the parties that they are asked about.
use std::sync::Arc;

use crate::auth::{Party, Role, Scopes};
use crate::consent::{Actor, Criterion, Program};
use crate::model::{IssueCode, Millis, ResourceKey};

use super::super::answer::Refusal;
use super::super::session::Session;

/// Lets privacy officers and administrators pass, and a patient who asks about the own file.
///
/// # Errors
/// 403 for a role that may not ask at all, 404 for another patient's file.
pub(in super::super) fn may_ask_about(session: &Session<'_>, patient: &str) -> Result<(), Refusal> {
    may_ask_at_all(session)?;
    if session.lens.may_audit() || session.lens.is_subject(patient) {
        Ok(())
    } else {
        Err(Refusal::not_found())
    }
}

/// Lets the roles pass that may ask about somebody.
///
/// # Errors
/// 403 for the others.
pub(super) fn may_ask_at_all(session: &Session<'_>) -> Result<(), Refusal> {
    match session.lens.party().role {
        Role::Patient | Role::Representative => Ok(()),
        _ if session.lens.may_audit() => Ok(()),
        _ => Err(Refusal::forbidden("this is for administrators, privacy officers and the patient")),
    }
}

/// Somebody about whom a decision is asked: as a token would have it, with every scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Somebody {
    /// `Organization/id`.
    pub(super) organization: Option<String>,
    /// Any other actor.
    pub(super) user: Option<String>,
    pub(super) role: Role,
    pub(super) purposes: Vec<String>,
}

impl Somebody {
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

    /// What people call it: `Organization/id` or the user.
    pub(super) fn name(&self) -> String {
        self.user.clone().or_else(|| self.organization.clone()).unwrap_or_default()
    }
}

/// More parties than this are not asked about at once.
pub(super) const PARTIES_MAX: usize = 64;

/// Everybody whom Consents name, for the purposes that they name beside them; and the own organization for treatment,
/// payment and operations.
pub(super) fn parties_of(programs: &[Program], own: &[String]) -> Vec<Somebody> {
    let mut found: Vec<Somebody> = Vec::new();
    let mut add = |actor: &str, purposes: &[String]| {
        for purpose in purposes {
            let Ok(somebody) = Somebody::of_actor(actor, None, vec![purpose.clone()]) else { continue };
            if !found.contains(&somebody) && found.len() < PARTIES_MAX {
                found.push(somebody);
            }
        }
    };
    let usual = ["TREAT", "HPAYMT", "HOPERAT"].map(str::to_owned);
    for organization in own {
        add(organization, &usual);
    }
    let rules = programs.iter().flat_map(|program| program.readings.iter().flatten());
    for rule in rules {
        let mut purposes: Vec<String> = rule.criteria.iter().flat_map(purposes_of).collect();
        if purposes.is_empty() {
            purposes = usual.to_vec();
        }
        for actor in rule.criteria.iter().flat_map(actors_of) {
            if let Some(reference) = &actor.reference {
                add(reference, &purposes);
            }
        }
    }
    found
}

fn purposes_of(criterion: &Criterion) -> Vec<String> {
    match criterion {
        Criterion::Purpose(codes) => codes.iter().map(|code| code.code.clone()).collect(),
        _ => Vec::new(),
    }
}

fn actors_of(criterion: &Criterion) -> Vec<&Actor> {
    match criterion {
        Criterion::Actor(actors) => actors.iter().collect(),
        _ => Vec::new(),
    }
}

//! The parties that send requests, each of a different kind.
use std::sync::Arc;

use chartward::auth::{Party, Role, Scopes};
use chartward::definitions::r4;

fn party(role: Role, organization: Option<&str>, user: Option<&str>, purpose: &str, scopes: &str) -> Party {
    Party {
        subject: "somebody".to_owned(),
        client: "client".to_owned(),
        role,
        organization: organization.map(str::to_owned),
        fhir_user: user.map(str::to_owned),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse(scopes),
        ..Party::nobody()
    }
}

pub fn insurer() -> Arc<Party> {
    Arc::new(party(Role::Insurer, Some("Organization/acme"), None, "HPAYMT", "system/*.cruds"))
}

/// The system of another hospital.
pub fn another_hospital() -> Arc<Party> {
    Arc::new(party(Role::System, Some("Organization/lakeside"), None, "TREAT", "system/*.cruds"))
}

pub fn patient() -> Arc<Party> {
    Arc::new(party(Role::Patient, None, Some("Patient/p2"), "PATRQT", "patient/*.cruds"))
}

pub fn representative() -> Arc<Party> {
    Arc::new(party(Role::Representative, None, Some("RelatedPerson/rep"), "PATRQT", "user/*.cruds"))
}

/// A clinician of the own hospital to whom some patients deny access.
pub fn denied_clinician() -> Arc<Party> {
    let own = Some("Organization/hospital");
    Arc::new(party(Role::Clinician, own, Some("Practitioner/d1"), "TREAT", "user/*.cruds"))
}

/// A clinician of the own hospital whose scopes cover only some resources of some types.
pub fn constrained_clinician() -> Arc<Party> {
    let scope = |name: &str| match name {
        "Observation" => "user/Observation.cruds?status=final".to_owned(),
        "Condition" => "user/Condition.cruds?clinical-status=active".to_owned(),
        "Communication" | "Coverage" | "Task" => String::new(),
        "Encounter" => "user/Encounter.rs?class=AMB".to_owned(),
        "DocumentReference" => "user/DocumentReference.c".to_owned(),
        name => format!("user/{name}.cruds"),
    };
    let scopes: Vec<String> = r4().resources().map(|def| scope(&def.name)).collect();
    let own = Some("Organization/hospital");
    Arc::new(party(Role::Clinician, own, Some("Practitioner/d2"), "TREAT", &scopes.join(" ")))
}

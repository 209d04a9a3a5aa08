//! AuditEvents as the Basic Audit Log Patterns of IHE have them, made of access records: one for every patient that a
//! request concerned.
use serde_json::{Value, json};

use crate::model::Temporal;
use crate::store::Sequence;

use super::record::{Access, Action};

/// The events of a record: id and JSON text. The ids follow from the record, so they are the same every time.
#[must_use]
pub fn audit_events(place: (Sequence, u32), access: &Access) -> Vec<(String, String)> {
    let (Sequence(sequence), number) = place;
    let patients: Vec<Option<&str>> = if access.patients.is_empty() {
        vec![None]
    } else {
        access.patients.iter().map(|patient| Some(patient.as_str())).collect()
    };
    patients
        .into_iter()
        .zip(0_usize..)
        .map(|(patient, index)| {
            let id = format!("{sequence:x}-{number:x}-{index:x}");
            let text = event(&id, access, patient).to_string();
            (id, text)
        })
        .collect()
}

fn event(id: &str, access: &Access, patient: Option<&str>) -> Value {
    let time = Temporal::from_millis(access.time).to_text();
    let failed = access.status >= 400;
    json!({
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {"lastUpdated": time},
        "type": coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest"),
        "subtype": [coding("http://hl7.org/fhir/restful-interaction", &access.interaction)],
        "action": access.action.code(),
        "recorded": time,
        "outcome": if failed { "8" } else { "0" },
        "purposeOfEvent": purposes(access),
        "agent": agents(access),
        "source": {"observer": {"display": "Chartward"}},
        "entity": entities(access, patient),
    })
}

fn coding(system: &str, code: &str) -> Value {
    json!({"system": system, "code": code})
}

fn purposes(access: &Access) -> Value {
    let system = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    let none = || json!([{"text": "none asserted"}]);
    let purposes: Vec<Value> =
        access.purposes.iter().map(|purpose| json!({"coding": [coding(system, purpose)]})).collect();
    if purposes.is_empty() { none() } else { Value::Array(purposes) }
}

/// Who sends data is the source, who gets them the destination: reads and writes differ (BALP, "Agents").
fn agents(access: &Access) -> Value {
    const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
    let (client, server) = match access.action {
        Action::Read => ("110152", "110153"),
        Action::Create | Action::Update | Action::Delete | Action::Execute => ("110153", "110152"),
    };
    let kind = |code: &str| json!({"coding": [coding(DCM, code)]});
    let mut user = json!({
        "type": {"coding": [coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")]},
        "who": {"identifier": {"value": access.subject}},
        "role": [{"text": access.role}],
        "requestor": true,
        "policy": [format!("urn:ietf:params:oauth:jti:{}", access.token_id)],
    });
    if let (Some(who), Some(reference)) = (user.get_mut("who"), &access.fhir_user) {
        *who = json!({"reference": reference});
    }
    let mut agents = vec![
        json!({"type": kind(client), "who": {"identifier": {"value": access.client}}, "requestor": false}),
        json!({"type": kind(server), "who": {"display": "Chartward"}, "requestor": false}),
        user,
    ];
    if let Some(organization) = &access.organization {
        agents.push(json!({"who": {"reference": organization}, "requestor": false}));
    }
    Value::Array(agents)
}

fn entities(access: &Access, patient: Option<&str>) -> Value {
    let object = |code: &str| coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", code);
    let role = |code: &str| coding("http://terminology.hl7.org/CodeSystem/object-role", code);
    let mut entities: Vec<Value> = Vec::new();
    if let Some(patient) = patient {
        entities.push(json!({"what": {"reference": patient}, "type": object("1"), "role": role("1")}));
    }
    if access.action == Action::Execute {
        // BALP: the results of a search are not listed, what was asked is.
        entities.push(json!({"description": access.request, "type": object("2"), "role": role("24")}));
    } else {
        entities.extend(
            access
                .released
                .iter()
                .map(|what| json!({"what": {"reference": what}, "type": object("2"), "role": role("4")})),
        );
    }
    for consent in &access.consents {
        entities.push(json!({"what": {"reference": consent}, "type": object("2"), "role": role("13")}));
    }
    if entities.is_empty() {
        entities.push(json!({"description": access.request, "type": object("2")}));
    }
    Value::Array(entities)
}

//! Resources that parties write, with references to visible, hidden and absent resources.
use serde_json::{Value, json};

use crate::oracle::Random;

const TYPES: [&str; 13] = [
    "Observation",
    "Observation",
    "Condition",
    "Patient",
    "Communication",
    "Consent",
    "DocumentReference",
    "Task",
    "Provenance",
    "List",
    "QuestionnaireResponse",
    "Binary",
    "CareTeam",
];

/// The targets of a resource's references, drawn by the caller.
pub struct Links<'a> {
    /// `Patient/id`.
    pub patient: &'a dyn Fn(&mut Random) -> String,
    /// `Type/id` of any kind.
    pub any: &'a dyn Fn(&mut Random) -> String,
}

pub fn resource(random: &mut Random, links: &Links<'_>, id: Option<&str>) -> Value {
    let name = random.word(&TYPES);
    of_type(random, links, name, id)
}

pub fn of_type(random: &mut Random, links: &Links<'_>, name: &str, id: Option<&str>) -> Value {
    let patient = json!({"reference": (links.patient)(random)});
    let mut any = || {
        let reference = (links.any)(random);
        json!({"reference": reference, "display": format!("to {reference}")})
    };
    let (first, second) = (any(), any());
    let number = random.below(50);
    let status = random.word(&["final", "final", "preliminary"]);
    let mut resource = match name {
        "Condition" => {
            json!({"subject": patient, "code": {"text": format!("condition {number}")}, "encounter": first,
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active"}]}})
        }
        "Patient" => json!({"identifier": [{"system": "urn:example:new", "value": number.to_string()}],
            "name": [{"family": format!("New{number}")}], "generalPractitioner": [first]}),
        "Communication" => json!({"status": "completed", "subject": patient, "about": [first, second]}),
        "Consent" => json!({"status": "active", "patient": patient,
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "policy": [{"uri": "urn:example:privacy-policy"}], "provision": {"type": "permit", "actor": [
                {"role": {"text": "recipient"}, "reference": {"reference": format!("Organization/of-{number}")}},
                {"role": {"text": "recipient"}, "reference": first}],
                "data": [{"meaning": "instance", "reference": second}]}}),
        "DocumentReference" => {
            json!({"status": "current", "subject": patient, "context": {"related": [first]},
            "content": [{"attachment": {"contentType": "text/plain", "url": format!("urn:example:{number}")}}]})
        }
        "Task" => {
            json!({"status": "requested", "intent": "order", "for": patient, "focus": first, "basedOn": [second]})
        }
        "Provenance" => {
            json!({"target": [first], "recorded": "2026-07-01T00:00:00Z", "agent": [{"who": second}]})
        }
        "List" => {
            json!({"status": "current", "mode": "working", "subject": patient, "entry": [{"item": first}]})
        }
        "QuestionnaireResponse" => json!({"status": "completed", "subject": patient, "author": first}),
        "Binary" => json!({"contentType": "text/plain", "data": "aGVsbG8=", "securityContext": first}),
        "CareTeam" => json!({"status": "active", "subject": patient, "participant": [{"member": first}]}),
        _ => json!({"status": status, "subject": patient, "code": {"coding": [{"system": "http://loinc.org",
            "code": random.word(&["8480-6", "8462-4"])}]}, "valueString": format!("value {number}"),
            "encounter": first, "focus": [second], "identifier": [{"system": "urn:example:new", "value": number.to_string()}]}),
    };
    let name = if TYPES.contains(&name) { name } else { "Observation" };
    resource["resourceType"] = json!(name);
    if let Some(id) = id {
        resource["id"] = json!(id);
    }
    resource
}

//! Consents of several shapes: permits for the insurer to pay and for the neighbouring clinic to treat, a denial, and for most
//! patients none.
use serde_json::{Value, json};

use super::chart::{Chart, DAY, TODAY, date};

const TYPES: &str = "http://hl7.org/fhir/resource-types";
const REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

/// Adds a Consent to some charts: patients 1 to 3 have none, shape 0 and shape 1; of the others four in ten have one.
pub(super) fn given(chart: &mut Chart) {
    let shape = match chart.number {
        1 => return,
        2 => 0,
        3 => 1,
        _ if chart.random.percent(40) => chart.random.below(4),
        _ => return,
    };
    let provision = match shape {
        0 => json!({
            "type": "permit",
            "actor": [recipient("acme")],
            "purpose": [{"system": REASON, "code": "HPAYMT"}],
            "class": classes(&["Patient", "Coverage", "Claim", "ExplanationOfBenefit"]),
        }),
        1 => json!({
            "type": "permit",
            "actor": [recipient("lakeside")],
            "purpose": [{"system": REASON, "code": "TREAT"}],
            "securityLabel": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}],
        }),
        2 => json!({
            "type": "permit",
            "period": {"start": date(TODAY - 400 * DAY), "end": date(TODAY + 400 * DAY)},
            "actor": [recipient("lakeside")],
            "purpose": [{"system": REASON, "code": "TREAT"}],
            "provision": [{"type": "deny", "class": classes(&["DocumentReference", "Media"])}],
        }),
        _ => json!({"type": "deny", "actor": [recipient("acme")]}),
    };
    let patient = chart.patient();
    let id = format!("{}-consent", chart.id);
    chart.push(json!({
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": patient,
        "dateTime": date(TODAY - 300 * DAY),
        "performer": [patient],
        "policy": [{"uri": "urn:example:privacy-policy"}],
        "provision": provision,
    }));
}

fn recipient(organization: &str) -> Value {
    json!({
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"reference": format!("Organization/{organization}")},
    })
}

fn classes(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"system": TYPES, "code": name})).collect()
}

//! Cancer: the diagnosis with its stage, a course of chemotherapy, and the outcome.
use serde_json::json;

use super::chart::{Chart, DAY, RXNORM, SNOMED, TODAY, concept, date, instant};

/// SNOMED code and name, and whether only women have it.
const TUMOURS: [(&str, &str, bool); 4] = [
    ("254837009", "Malignant neoplasm of breast", true),
    ("363406005", "Malignant tumor of colon", false),
    ("254637007", "Non-small cell lung cancer", false),
    ("399068003", "Malignant tumor of prostate", false),
];
const DRUGS: [(&str, &str); 3] = [
    ("1734919", "Cyclophosphamide 1000 MG Injection"),
    ("1790099", "Doxorubicin Hydrochloride 50 MG per 25 ML Injection"),
    ("583214", "Paclitaxel 100 MG Injection"),
];
const OUTCOMES: [(&str, &str); 3] = [
    ("103338009", "In full remission"),
    ("103337004", "In partial remission"),
    ("271299001", "Patient's condition worsened"),
];

/// A course of treatment of about half a year.
pub(super) fn course(chart: &mut Chart) {
    let female = chart.female;
    let fitting: Vec<(&str, &str, bool)> = TUMOURS
        .iter()
        .copied()
        .filter(|(code, _, women)| if female { *code != "399068003" } else { !women })
        .collect();
    let (code, name, _) = chart.random.pick(&fitting).copied().unwrap_or_default();
    let start = TODAY - chart.random.between(250, 1_500) * DAY;
    let stage = chart.random.between(1, 4);
    let (id, patient) = (chart.next_id("cancer"), chart.patient());
    chart.push(json!({
        "resourceType": "Condition",
        "id": id,
        "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
        "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "confirmed"}]},
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-category", "code": "problem-list-item"}]}],
        "code": concept(SNOMED, code, name),
        "subject": patient,
        "onsetDateTime": date(start),
        "recordedDate": date(start),
        "stage": [{"summary": {"text": format!("Stage {stage}")}}],
    }));
    let (drug, drug_name) = chart.random.pick(&DRUGS).copied().unwrap_or_default();
    let order = chart.next_id("chemo");
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "MedicationRequest",
        "id": order,
        "status": "completed",
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, drug, drug_name),
        "subject": patient,
        "authoredOn": instant(start + 14 * DAY),
        "requester": {"reference": "Practitioner/d5"},
        "reasonReference": [{"reference": format!("Condition/{id}")}],
    }));
    for cycle in 0..chart.random.between(4, 8) {
        let (given, patient) = (chart.next_id("cycle"), chart.patient());
        chart.push(json!({
            "resourceType": "MedicationAdministration",
            "id": given,
            "status": "completed",
            "medicationCodeableConcept": concept(RXNORM, drug, drug_name),
            "subject": patient,
            "effectiveDateTime": instant(start + (21 + cycle * 21) * DAY),
            "performer": [{"actor": {"reference": "Practitioner/d8"}}],
            "request": {"reference": format!("MedicationRequest/{order}")},
        }));
    }
    let (outcome, outcome_name) = chart.random.pick(&OUTCOMES).copied().unwrap_or_default();
    let (id, patient) = (chart.next_id("outcome"), chart.patient());
    chart.push(json!({
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": concept("http://loinc.org", "97509-4", "Cancer disease progression"),
        "subject": patient,
        "effectiveDateTime": date(start + 220 * DAY),
        "valueCodeableConcept": concept(SNOMED, outcome, outcome_name),
    }));
}

//! Coverage, claims and explanations of benefit.
use serde_json::{Value, json};

use super::chart::{Chart, DAY, SNOMED, TODAY, concept, date};
use super::visit::Visit;

/// The id of the patient's coverage; all patients have the same insurer.
fn coverage_id(chart: &Chart) -> String {
    format!("{}-coverage", chart.id)
}

pub(super) fn coverage(chart: &mut Chart) {
    let (id, patient) = (coverage_id(chart), chart.patient());
    chart.push(json!({
        "resourceType": "Coverage",
        "id": id,
        "status": "active",
        "subscriberId": format!("A{:08}", chart.number),
        "beneficiary": patient,
        "relationship": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self"}]},
        "period": {"start": date(TODAY - 3_650 * DAY)},
        "payor": [{"reference": "Organization/acme"}],
    }));
}

fn money(cents: i64) -> Value {
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    json!({"value": text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number), "currency": "USD"})
}

/// The claim for a visit and its explanation of benefit.
pub(super) fn bill(chart: &mut Chart, visit: &Visit, condition: &str) {
    let (claim, benefit) = (chart.next_id("claim"), chart.next_id("eob"));
    let (patient, coverage) = (chart.patient(), coverage_id(chart));
    let cents = chart.random.between(4_000, 90_000);
    let system = "http://terminology.hl7.org/CodeSystem/claim-type";
    let kind = json!({"coding": [{"system": system, "code": "professional"}]});
    let insurance =
        json!([{"sequence": 1, "focal": true, "coverage": {"reference": format!("Coverage/{coverage}")}}]);
    let item = json!({
        "sequence": 1,
        "productOrService": concept(SNOMED, "185349003", "Encounter for check up"),
        "encounter": [visit.reference()],
        "net": money(cents),
    });
    chart.push(json!({
        "resourceType": "Claim",
        "id": claim,
        "status": "active",
        "type": kind,
        "use": "claim",
        "patient": patient,
        "created": date(visit.start),
        "insurer": {"reference": "Organization/acme"},
        "provider": {"reference": "Organization/hospital"},
        "priority": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/processpriority", "code": "normal"}]},
        "diagnosis": [{"sequence": 1, "diagnosisReference": {"reference": format!("Condition/{condition}")}}],
        "insurance": insurance,
        "item": [item],
        "total": money(cents),
    }));
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "ExplanationOfBenefit",
        "id": benefit,
        "status": "active",
        "type": kind,
        "use": "claim",
        "patient": patient,
        "created": date(visit.start + 7 * DAY),
        "insurer": {"reference": "Organization/acme"},
        "provider": {"reference": "Organization/hospital"},
        "claim": {"reference": format!("Claim/{claim}")},
        "outcome": "complete",
        "insurance": [{"focal": true, "coverage": {"reference": format!("Coverage/{coverage}")}}],
        "total": [{
            "category": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "benefit"}]},
            "amount": money(cents * 8 / 10),
        }],
    }));
}

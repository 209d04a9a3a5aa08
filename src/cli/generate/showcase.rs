//! A patient of the demonstration with days around today: an open visit, results with trends, a severe allergy, conditions that ask
//! for precautions, and a part that is hidden from an insurer, from another hospital and from one doctor.
use serde_json::{Value, json};

use super::chart::{LOINC, SNOMED, concept};
use crate::model::{Millis, Temporal, encode_base64};

const DAY: Millis = 86_400_000;
const PATIENT: &str = "Patient/lind";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";

/// All resources of that patient, at this time in milliseconds.
pub(super) fn resources(time: Millis) -> Vec<Value> {
    let day = |ago: i64| Temporal::from_millis(time - ago * DAY).date().to_text();
    let moment = |ago: i64| format!("{}T07:30:00Z", day(ago));
    let mut all = vec![
        json!({
            "resourceType": "Patient",
            "id": "lind",
            "identifier": [{
                "use": "usual",
                "type": {"coding": [{"system": format!("{TERMINOLOGY}/v2-0203"), "code": "MR"}]},
                "system": "urn:example:mrn",
                "value": "99998",
            }],
            "active": true,
            "name": [{"use": "official", "family": "Lind", "given": ["Nora"]}],
            "telecom": [{"system": "phone", "value": "+1 555 0199 998", "use": "mobile"}],
            "gender": "female",
            "birthDate": "1961-04-23",
            "managingOrganization": {"reference": "Organization/hospital"},
        }),
        json!({
            "resourceType": "AllergyIntolerance",
            "id": "lind-allergy",
            "clinicalStatus": {"coding": [{"system": format!("{TERMINOLOGY}/allergyintolerance-clinical"), "code": "active"}]},
            "verificationStatus": {"coding": [{"system": format!("{TERMINOLOGY}/allergyintolerance-verification"), "code": "confirmed"}]},
            "type": "allergy",
            "category": ["medication"],
            "criticality": "high",
            "code": concept(SNOMED, "91936005", "Allergy to penicillin"),
            "patient": {"reference": PATIENT},
            "recordedDate": day(4_000),
            "reaction": [{"manifestation": [concept(SNOMED, "39579001", "Anaphylaxis")], "severity": "severe"}],
        }),
        json!({
            "resourceType": "Encounter",
            "id": "lind-visit",
            "status": "in-progress",
            "class": {"system": format!("{TERMINOLOGY}/v3-ActCode"), "code": "EMER", "display": "emergency"},
            "subject": {"reference": PATIENT},
            "period": {"start": moment(0)},
            "reasonCode": [concept(SNOMED, "29857009", "Chest pain")],
            "serviceProvider": {"reference": "Organization/hospital"},
        }),
        json!({
            "resourceType": "DocumentReference",
            "id": "lind-letter",
            "status": "current",
            "type": concept(LOINC, "18842-5", "Discharge summary"),
            "subject": {"reference": PATIENT},
            "date": moment(90),
            "author": [{"reference": "Practitioner/d2"}],
            "content": [{"attachment": {
                "contentType": "text/plain",
                "title": "Discharge summary",
                "data": encode_base64(b"Admitted with palpitations. Atrial fibrillation was found and anticoagulation begun. Diabetes is to be controlled better; next HbA1c in three months."),
            }}],
        }),
    ];
    all.extend(conditions(&day));
    all.extend(medications(&day));
    all.extend(results(&moment));
    all.extend(consents(&moment));
    all
}

fn conditions(day: &dyn Fn(i64) -> String) -> Vec<Value> {
    let condition = |id: &str, code: &str, display: &str, ago: i64| {
        json!({
            "resourceType": "Condition",
            "id": format!("lind-{id}"),
            "clinicalStatus": {"coding": [{"system": format!("{TERMINOLOGY}/condition-clinical"), "code": "active"}]},
            "verificationStatus": {"coding": [{"system": format!("{TERMINOLOGY}/condition-ver-status"), "code": "confirmed"}]},
            "category": [{"coding": [{"system": format!("{TERMINOLOGY}/condition-category"), "code": "problem-list-item"}]}],
            "code": concept(SNOMED, code, display),
            "subject": {"reference": PATIENT},
            "recordedDate": day(ago),
        })
    };
    let mut hidden = condition("mood", "35489007", "Depressive disorder", 700);
    if let Some(members) = hidden.as_object_mut() {
        let label = json!({"security": [{"system": format!("{TERMINOLOGY}/v3-ActCode"), "code": "PSY", "display": "psychiatry disorder information sensitivity"}]});
        members.insert("meta".to_owned(), label);
    }
    vec![
        condition("diabetes", "44054006", "Type 2 diabetes mellitus", 2_900),
        condition("fibrillation", "49436004", "Atrial fibrillation", 95),
        condition("anticoagulation", "711150003", "Long-term current use of anticoagulant", 90),
        hidden,
    ]
}

fn medications(day: &dyn Fn(i64) -> String) -> Vec<Value> {
    let ordered = |id: &str, text: &str, how: &str, ago: i64| {
        json!({
            "resourceType": "MedicationRequest",
            "id": format!("lind-{id}"),
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": text},
            "subject": {"reference": PATIENT},
            "authoredOn": day(ago),
            "requester": {"reference": "Practitioner/d2"},
            "dosageInstruction": [{"text": how}],
        })
    };
    vec![
        ordered("apixaban", "Apixaban 5 mg tablet", "one tablet in the morning and in the evening", 90),
        ordered("metformin", "Metformin 1000 mg tablet", "one tablet with breakfast and with supper", 2_800),
    ]
}

/// Id, LOINC code, name and unit of an analyte; its reference range; its values, the newest first, a quarter of a year apart.
type Analyte = ([&'static str; 4], [f64; 2], [f64; 8]);

const ANALYTES: [Analyte; 3] = [
    (["hba1c", "4548-4", "Hemoglobin A1c", "%"], [4.0, 6.0], [8.1, 7.9, 7.4, 7.6, 7.0, 6.7, 6.8, 6.3]),
    (["potassium", "2823-3", "Potassium", "mmol/L"], [3.5, 5.1], [4.9, 4.6, 4.4, 4.5, 5.3, 4.2, 4.1, 4.3]),
    (["creatinine", "2160-0", "Creatinine", "mg/dL"], [0.6, 1.2], [1.4, 1.3, 1.2, 1.2, 1.1, 1.0, 1.0, 0.9]),
];

fn results(moment: &dyn Fn(i64) -> String) -> Vec<Value> {
    let mut all = Vec::new();
    for ([id, code, display, unit], [low, high], values) in ANALYTES {
        for (value, quarter) in values.iter().zip(0_i64..) {
            let mut result = json!({
                "resourceType": "Observation",
                "id": format!("lind-{id}-{quarter}"),
                "status": "final",
                "category": [{"coding": [{"system": format!("{TERMINOLOGY}/observation-category"), "code": "laboratory"}]}],
                "code": concept(LOINC, code, display),
                "subject": {"reference": PATIENT},
                "effectiveDateTime": moment(quarter * 91),
                "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
                "referenceRange": [{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
            });
            let mark = if *value > high {
                Some("H")
            } else if *value < low {
                Some("L")
            } else {
                None
            };
            if let (Some(mark), Some(members)) = (mark, result.as_object_mut()) {
                let system = format!("{TERMINOLOGY}/v3-ObservationInterpretation");
                members.insert(
                    "interpretation".to_owned(),
                    json!([{"coding": [{"system": system, "code": mark}]}]),
                );
            }
            all.push(result);
        }
    }
    all
}

/// What the patient has agreed to, and what not.
fn consents(moment: &dyn Fn(i64) -> String) -> Vec<Value> {
    let consent = |id: &str, rule: &str, provision: Value| {
        json!({
            "resourceType": "Consent",
            "id": format!("lind-{id}"),
            "status": "active",
            "scope": {"coding": [{"system": format!("{TERMINOLOGY}/consentscope"), "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": LOINC, "code": "59284-0", "display": "Consent Document"}]}],
            "patient": {"reference": PATIENT},
            "dateTime": moment(60),
            "performer": [{"reference": PATIENT}],
            "policyRule": {"coding": [{"system": format!("{TERMINOLOGY}/v3-ActCode"), "code": rule}]},
            "provision": provision,
        })
    };
    let actor = |reference: &str, display: &str| {
        let role =
            json!({"coding": [{"system": format!("{TERMINOLOGY}/v3-ParticipationType"), "code": "IRCP"}]});
        json!([{"role": role, "reference": {"reference": reference, "display": display}}])
    };
    let class = |name: &str| json!({"system": "http://hl7.org/fhir/resource-types", "code": name});
    let label =
        json!([{"system": format!("{TERMINOLOGY}/v3-ActCode"), "code": "PSY", "display": "mental health"}]);
    vec![
        consent(
            "insurer",
            "OPTIN",
            json!({
                "type": "permit",
                "actor": actor("Organization/acme", "Acme Health Insurance"),
                "purpose": [{"system": format!("{TERMINOLOGY}/v3-ActReason"), "code": "HPAYMT", "display": "payment"}],
                "class": [class("Patient"), class("Encounter"), class("Condition"), class("Coverage"), class("ExplanationOfBenefit")],
                "provision": [{"type": "deny", "securityLabel": label}],
            }),
        ),
        consent(
            "clinic",
            "OPTOUT",
            json!({"type": "deny", "actor": actor("Organization/lakeside", "Lakeside Clinic")}),
        ),
        consent(
            "doctor",
            "OPTOUT",
            json!({"type": "deny", "actor": actor("Practitioner/d6", "Dr. Omar Farah")}),
        ),
    ]
}

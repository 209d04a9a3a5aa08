//! Visits: the complaints, findings, measurements, prescriptions and procedures.
use serde_json::{Value, json};

use super::chart::{Chart, DAY, LOINC, RXNORM, SNOMED, TODAY, UCUM, concept, date, instant};
use super::hospital::PROFESSIONALS;
use super::visit::Visit;
use super::{billing, documents};

/// A diagnosis: SNOMED code and name, whether it is chronic, the lowest age in years, and the RxNorm code and name of its
/// medication.
struct Problem {
    code: &'static str,
    name: &'static str,
    chronic: bool,
    age_min: i64,
    drug: (&'static str, &'static str),
}

const PROBLEMS: [Problem; 10] = [
    Problem {
        code: "38341003",
        name: "Hypertensive disorder",
        chronic: true,
        age_min: 35,
        drug: ("314076", "Lisinopril 10 MG Oral Tablet"),
    },
    Problem {
        code: "44054006",
        name: "Type 2 diabetes mellitus",
        chronic: true,
        age_min: 35,
        drug: ("860975", "Metformin 500 MG Oral Tablet"),
    },
    Problem {
        code: "195967001",
        name: "Asthma",
        chronic: true,
        age_min: 4,
        drug: ("745679", "Albuterol 0.09 MG/ACTUAT inhaler"),
    },
    Problem {
        code: "36971009",
        name: "Sinusitis",
        chronic: false,
        age_min: 2,
        drug: ("308182", "Amoxicillin 250 MG Oral Capsule"),
    },
    Problem {
        code: "10509002",
        name: "Acute bronchitis",
        chronic: false,
        age_min: 1,
        drug: ("313782", "Acetaminophen 325 MG Oral Tablet"),
    },
    Problem {
        code: "68566005",
        name: "Urinary tract infection",
        chronic: false,
        age_min: 15,
        drug: ("311989", "Nitrofurantoin 100 MG Oral Capsule"),
    },
    Problem {
        code: "44465007",
        name: "Sprain of ankle",
        chronic: false,
        age_min: 5,
        drug: ("310965", "Ibuprofen 200 MG Oral Tablet"),
    },
    Problem {
        code: "55822004",
        name: "Hyperlipidemia",
        chronic: true,
        age_min: 40,
        drug: ("617312", "Atorvastatin 20 MG Oral Tablet"),
    },
    Problem {
        code: "35489007",
        name: "Depressive disorder",
        chronic: true,
        age_min: 16,
        drug: ("312938", "Sertraline 50 MG Oral Tablet"),
    },
    Problem {
        code: "37796009",
        name: "Migraine",
        chronic: true,
        age_min: 12,
        drug: ("313165", "Sumatriptan 50 MG Oral Tablet"),
    },
];

/// LOINC code, name, UCUM unit, lowest and highest value in tenths of the unit, and whether a laboratory measures it.
const MEASURES: [(&str, &str, &str, i64, i64, bool); 8] = [
    ("8867-4", "Heart rate", "/min", 550, 1_050, false),
    ("8310-5", "Body temperature", "Cel", 361, 385, false),
    ("29463-7", "Body weight", "kg", 450, 1_200, false),
    ("9279-1", "Respiratory rate", "/min", 120, 200, false),
    ("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", 700, 1_800, true),
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 105, 175, true),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 5, 18, true),
    ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 1_300, 2_900, true),
];

const VACCINES: [(&str, &str); 4] = [
    ("140", "Influenza, seasonal, injectable, preservative free"),
    ("115", "Tdap"),
    ("33", "pneumococcal polysaccharide vaccine, 23 valent"),
    ("08", "Hep B, adolescent or pediatric"),
];

/// The visits of up to ten years, with vaccinations and coverage.
pub(super) fn life(chart: &mut Chart) {
    let count = chart.random.between(1, 7);
    let years = ((TODAY - chart.birth) / DAY).min(3_650);
    let mut starts: Vec<i64> =
        (0..count).map(|_| TODAY - chart.random.between(1, years.max(2)) * DAY).collect();
    starts.sort_unstable();
    for start in starts {
        let hour = chart.random.between(8, 16);
        visit(chart, start + hour * 3_600_000);
    }
    vaccinations(chart);
    billing::coverage(chart);
}

fn visit(chart: &mut Chart, start: i64) {
    let age = chart.age_at(start);
    let fitting: Vec<&Problem> = PROBLEMS.iter().filter(|problem| problem.age_min <= age).collect();
    let Some(problem) = chart.random.pick(&fitting).copied().or(PROBLEMS.get(4)) else { return };
    let doctor = chart.random.pick(&PROFESSIONALS).map_or("d1", |(id, ..)| id);
    let visit = Visit {
        id: chart.next_id("visit"),
        start,
        doctor,
        problem: problem.code,
        problem_name: problem.name,
    };
    encounter(chart, &visit);
    let condition = condition(chart, &visit, problem);
    vitals(chart, &visit);
    laboratory(chart, &visit);
    prescription(chart, &visit, problem, &condition);
    if chart.random.percent(20) {
        procedure(chart, &visit);
    }
    documents::note(chart, &visit);
    billing::bill(chart, &visit, &condition);
}

fn encounter(chart: &mut Chart, visit: &Visit) {
    let (patient, emergency) = (chart.patient(), chart.random.percent(10));
    // Some visits lack the end and the reason, as in incomplete charts.
    let incomplete = chart.random.percent(4);
    let end = visit.start + chart.random.between(15, 90) * 60_000;
    let mut resource = json!({
        "resourceType": "Encounter",
        "id": visit.id,
        "status": if incomplete { "in-progress" } else { "finished" },
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": if emergency { "EMER" } else { "AMB" }},
        "type": [concept(SNOMED, "185349003", "Encounter for check up")],
        "subject": patient,
        "participant": [{"individual": {"reference": format!("Practitioner/{}", visit.doctor)}}],
        "period": {"start": instant(visit.start), "end": instant(end)},
        "reasonCode": [concept(SNOMED, visit.problem, visit.problem_name)],
        "serviceProvider": {"reference": "Organization/hospital"},
    });
    if incomplete && let Some(members) = resource.as_object_mut() {
        members.shift_remove("reasonCode");
        members.insert("period".to_owned(), json!({"start": instant(visit.start)}));
    }
    chart.push(resource);
}

fn condition(chart: &mut Chart, visit: &Visit, problem: &Problem) -> String {
    let id = chart.next_id("problem");
    let patient = chart.patient();
    let status = if problem.chronic { "active" } else { "resolved" };
    let mut resource = json!({
        "resourceType": "Condition",
        "id": id,
        "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": status}]},
        "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "confirmed"}]},
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-category", "code": "encounter-diagnosis"}]}],
        "code": concept(SNOMED, problem.code, problem.name),
        "subject": patient,
        "encounter": visit.reference(),
        "onsetDateTime": date(visit.start),
        "recordedDate": date(visit.start),
        "recorder": {"reference": format!("Practitioner/{}", visit.doctor)},
    });
    // Mental health is labelled, so that permits for normal data exclude it.
    if problem.code == "35489007"
        && let Some(members) = resource.as_object_mut()
    {
        let labels = json!({"security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"},
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "MH"},
        ]});
        members.insert("meta".to_owned(), labels);
    }
    chart.push(resource);
    id
}

/// A measured value in tenths as a decimal with one fractional digit.
fn tenths(value: i64) -> Value {
    let text = format!("{}.{}", value / 10, value % 10);
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

fn observation(chart: &mut Chart, visit: &Visit, measure: &(&str, &str, &str, i64, i64, bool)) -> String {
    let (code, name, unit, low, high, laboratory) = *measure;
    let id = chart.next_id("obs");
    let value = chart.random.between(low, high);
    let (patient, category) = (chart.patient(), if laboratory { "laboratory" } else { "vital-signs" });
    chart.push(json!({
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}],
        "code": concept(LOINC, code, name),
        "subject": patient,
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.start),
        "issued": instant(visit.start + 3_600_000),
        "performer": [{"reference": format!("Practitioner/{}", visit.doctor)}],
        "valueQuantity": {"value": tenths(value), "unit": unit, "system": UCUM, "code": unit},
    }));
    id
}

fn vitals(chart: &mut Chart, visit: &Visit) {
    for measure in MEASURES.iter().filter(|measure| !measure.5) {
        observation(chart, visit, measure);
    }
    let id = chart.next_id("obs");
    let (patient, systolic, diastolic) =
        (chart.patient(), chart.random.between(100, 165), chart.random.between(60, 100));
    let part = |code: &str, name: &str, value: i64| json!({"code": concept(LOINC, code, name), "valueQuantity": {"value": value, "unit": "mm[Hg]", "system": UCUM, "code": "mm[Hg]"}});
    chart.push(json!({
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": concept(LOINC, "85354-9", "Blood pressure panel"),
        "subject": patient,
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.start),
        "component": [
            part("8480-6", "Systolic blood pressure", systolic),
            part("8462-4", "Diastolic blood pressure", diastolic),
        ],
    }));
}

fn laboratory(chart: &mut Chart, visit: &Visit) {
    if !chart.random.percent(60) {
        return;
    }
    let mut results = Vec::new();
    for measure in MEASURES.iter().filter(|measure| measure.5) {
        results.push(json!({"reference": format!("Observation/{}", observation(chart, visit, measure))}));
    }
    let id = chart.next_id("report");
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "DiagnosticReport",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
        "code": concept(LOINC, "51990-0", "Basic metabolic panel - Blood"),
        "subject": patient,
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.start),
        "issued": instant(visit.start + 7_200_000),
        "result": results,
    }));
}

fn prescription(chart: &mut Chart, visit: &Visit, problem: &Problem, condition: &str) {
    let id = chart.next_id("rx");
    let patient = chart.patient();
    let (code, name) = problem.drug;
    chart.push(json!({
        "resourceType": "MedicationRequest",
        "id": id,
        "status": if problem.chronic { "active" } else { "completed" },
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, code, name),
        "subject": patient,
        "encounter": visit.reference(),
        "authoredOn": instant(visit.start),
        "requester": {"reference": format!("Practitioner/{}", visit.doctor)},
        "reasonReference": [{"reference": format!("Condition/{condition}")}],
        "dosageInstruction": [{"text": "one a day"}],
    }));
}

fn procedure(chart: &mut Chart, visit: &Visit) {
    let id = chart.next_id("proc");
    let patient = chart.patient();
    chart.push(json!({
        "resourceType": "Procedure",
        "id": id,
        "status": "completed",
        "code": concept(SNOMED, "268425006", "Chest X-ray"),
        "subject": patient,
        "encounter": visit.reference(),
        "performedDateTime": instant(visit.start + 1_800_000),
        "performer": [{"actor": {"reference": format!("Practitioner/{}", visit.doctor)}}],
    }));
}

fn vaccinations(chart: &mut Chart) {
    for _ in 0..chart.random.between(0, 2) {
        let (code, name) = chart.random.pick(&VACCINES).copied().unwrap_or_default();
        let days = ((TODAY - chart.birth) / DAY).clamp(1, 1_800);
        let id = chart.next_id("shot");
        let (patient, when) = (chart.patient(), TODAY - chart.random.between(0, days) * DAY);
        chart.push(json!({
            "resourceType": "Immunization",
            "id": id,
            "status": "completed",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", code, name),
            "patient": patient,
            "occurrenceDateTime": date(when),
            "primarySource": true,
        }));
    }
}

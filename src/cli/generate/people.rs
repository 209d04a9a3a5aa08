//! Patients, their allergies, and the patients who were registered twice.
use serde_json::{Value, json};

use super::chart::{Chart, DAY, SNOMED, TODAY, concept, date};
use super::random::Random;

const FAMILIES: [&str; 40] = [
    "Abbott",
    "Baker",
    "Becker",
    "Berger",
    "Carter",
    "Chen",
    "Cohen",
    "Diaz",
    "Dubois",
    "Ekström",
    "Fischer",
    "Garcia",
    "Gruber",
    "Hansen",
    "Hernández",
    "Ivanova",
    "Jansen",
    "Johnson",
    "Kaya",
    "Kim",
    "Kowalska",
    "Larsen",
    "Lopez",
    "Meyer",
    "Miller",
    "Müller",
    "Nguyen",
    "Novák",
    "O'Brien",
    "Okafor",
    "Patel",
    "Popescu",
    "Rossi",
    "Santos",
    "Schmidt",
    "Silva",
    "Smith",
    "Tanaka",
    "Weber",
    "Young",
];
const WOMEN: [&str; 20] = [
    "Anna", "Aisha", "Beatriz", "Clara", "Elif", "Emma", "Fatima", "Hannah", "Ines", "Julia", "Karin",
    "Laura", "Maria", "Mei", "Nora", "Olga", "Priya", "Sofia", "Yuki", "Zoë",
];
const MEN: [&str; 20] = [
    "Adam", "Ahmed", "Bruno", "Carlos", "David", "Emil", "Felix", "Giovanni", "Hiro", "Ivan", "Jakob",
    "Kwame", "Liam", "Mateo", "Noah", "Oskar", "Pavel", "Rahul", "Samuel", "Tomás",
];
const TOWNS: [(&str, &str); 8] = [
    ("Ashford", "01101"),
    ("Brookfield", "01102"),
    ("Clearwater", "01103"),
    ("Dunmore", "01104"),
    ("Eastvale", "01105"),
    ("Fairhaven", "01106"),
    ("Glenwood", "01107"),
    ("Harborview", "01108"),
];
const ALLERGENS: [(&str, &str, &str); 8] = [
    ("91936005", "Allergy to penicillin", "medication"),
    ("91934008", "Allergy to nut", "food"),
    ("91935009", "Allergy to peanut", "food"),
    ("294505008", "Allergy to amoxicillin", "medication"),
    ("300916003", "Latex allergy", "environment"),
    ("293586001", "Allergy to aspirin", "medication"),
    ("300913006", "Allergy to shrimp", "food"),
    ("418689008", "Allergy to grass pollen", "environment"),
];

/// An age in days at which everybody is at least eighteen.
pub(super) const ADULT_DAYS: i64 = 18 * 366;

/// Starts the chart of a patient who is at least this many days old.
pub(super) fn register(number: u64, mut random: Random, days: i64) -> Chart {
    let female = random.percent(51);
    let birth = TODAY - random.between(days, 95 * 365) * DAY;
    let id = format!("p{number}");
    let mut chart = Chart { id, number, random, birth, female, resources: Vec::new(), count: 0 };
    let patient = patient(&mut chart);
    chart.push(patient);
    chart
}

fn patient(chart: &mut Chart) -> Value {
    let random = &mut chart.random;
    let family = random.pick(&FAMILIES).copied().unwrap_or_default();
    let given = random.pick(if chart.female { &WOMEN } else { &MEN }).copied().unwrap_or_default();
    let (town, postal_code) = random.pick(&TOWNS).copied().unwrap_or_default();
    let mut patient = json!({
        "resourceType": "Patient",
        "id": chart.id,
        "identifier": [{
            "use": "usual",
            "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number"),
            "system": "urn:example:mrn",
            "value": format!("{}", 100_000 + chart.number),
        }],
        "active": true,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": [{"system": "phone", "value": format!("+1 555 {:07}", random.below(10_000_000)), "use": "home"}],
        "gender": if chart.female { "female" } else { "male" },
        "birthDate": date(chart.birth),
        "address": [{
            "use": "home",
            "line": [format!("{} Main Street", random.between(1, 400))],
            "city": town,
            "postalCode": postal_code,
            "country": "US",
        }],
        "managingOrganization": {"reference": "Organization/hospital"},
    });
    // Some charts are incomplete, for the records department to complete.
    if chart.random.percent(6)
        && let Some(members) = patient.as_object_mut()
    {
        members.shift_remove("telecom");
        members.shift_remove("address");
    }
    patient
}

/// A child who is eight at this time, in milliseconds, and the mother who acts for it.
pub(super) fn child(time: i64) -> Vec<Value> {
    let today = crate::model::Temporal::from_millis(time);
    // 29 February does not exist in every year.
    let day = if today.month == 2 { today.day.min(28) } else { today.day };
    let years_ago = |years: i32| format!("{:04}-{:02}-{day:02}", today.year - years, today.month);
    let patient = json!({"reference": "Patient/child1"});
    vec![
        json!({
            "resourceType": "Patient",
            "id": "child1",
            "identifier": [{"use": "usual", "system": "urn:example:mrn", "value": "99999"}],
            "active": true,
            "name": [{"use": "official", "family": "Silva", "given": ["Clara"]}],
            "gender": "female",
            "birthDate": years_ago(8),
            "managingOrganization": {"reference": "Organization/hospital"},
        }),
        json!({
            "resourceType": "RelatedPerson",
            "id": "guardian1",
            "active": true,
            "patient": patient,
            "relationship": [concept("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH", "mother")],
            "name": [{"use": "official", "family": "Silva", "given": ["Beatriz"]}],
        }),
        json!({
            "resourceType": "AllergyIntolerance",
            "id": "child1-allergy1",
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]},
            "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "confirmed"}]},
            "category": ["food"],
            "code": concept(SNOMED, "91935009", "Allergy to peanut"),
            "patient": patient,
            "recordedDate": years_ago(4),
        }),
    ]
}

pub(super) fn allergies(chart: &mut Chart) {
    for _ in 0..chart.random.pick(&[0, 0, 0, 1, 1, 2]).copied().unwrap_or(0) {
        let (code, display, category) = chart.random.pick(&ALLERGENS).copied().unwrap_or_default();
        let since = chart.birth + chart.random.below((TODAY - chart.birth) / DAY) * DAY;
        let id = chart.next_id("allergy");
        let (patient, severe) = (chart.patient(), chart.random.percent(20));
        chart.push(json!({
            "resourceType": "AllergyIntolerance",
            "id": id,
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]},
            "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "confirmed"}]},
            "type": "allergy",
            "category": [category],
            "criticality": if severe { "high" } else { "low" },
            "code": concept(SNOMED, code, display),
            "patient": patient,
            "recordedDate": date(since),
        }));
    }
}

/// Two patients in a hundred were registered a second time, with another number and their family name in capitals.
pub(super) fn duplicate(chart: &mut Chart) {
    if !chart.random.percent(2) {
        return;
    }
    let Some(mut twin) = chart.resources.first().cloned() else { return };
    let number = 900_000_000 + chart.number;
    for (pointer, value) in
        [("/id", json!(format!("{}-again", chart.id))), ("/identifier/0/value", json!(number.to_string()))]
    {
        if let Some(place) = twin.pointer_mut(pointer) {
            *place = value;
        }
    }
    if let Some(family) = twin.pointer_mut("/name/0/family")
        && let Some(text) = family.as_str().map(str::to_uppercase)
    {
        *family = json!(text);
    }
    chart.push(twin);
}

//! The cost of consent: `cargo bench --bench consent`. A million resources of 20,000 patients, 40 % of them with a Consent, are
//! kept or dropped by their facts for the own staff, for an insurer that some Consents name, and for one that none names.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing
)]
use std::sync::Arc;
use std::time::Instant;

use chartward::auth::{Party, Role, Scopes};
use chartward::cli::{Config, House, now};
use chartward::consent::{ConsentCache, Lens, LensParts, Settings};
use chartward::definitions::r4;
use chartward::model::{Interval, parse};
use chartward::operations::{Payload, Request, Verb};
use chartward::search::{Facts, Keep, Visibility};
use chartward::store::At;
use serde_json::{Value, json};

const PATIENTS: usize = 20_000;
const ROWS: usize = 1_000_000;
/// How many resources are decided from their text.
const SHOWN: usize = 20_000;
/// How many patients one transaction writes.
const TOGETHER: usize = 500;

/// Two of five patients have a Consent: a quarter of those for one insurer, some limited by a date or a label.
fn consent(number: usize) -> Option<Value> {
    if number % 5 > 1 {
        return None;
    }
    let actor = if number.is_multiple_of(4) { "Organization/acme" } else { "Organization/other" };
    let code = |system: &str, code: &str| json!({"system": system, "code": code});
    let mut provision = json!({
        "type": "permit",
        "actor": [{"role": {"text": "recipient"}, "reference": {"reference": actor}}],
        "purpose": [code("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HPAYMT")],
        "class": [code("http://hl7.org/fhir/resource-types", "Patient"), code("http://hl7.org/fhir/resource-types", "Observation")],
    });
    match number % 3 {
        0 => provision["dataPeriod"] = json!({"start": "2020-01-01"}),
        1 => {
            provision["securityLabel"] =
                json!([code("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N")]);
        }
        _ => {}
    }
    Some(json!({
        "resourceType": "Consent",
        "id": format!("c{number}"),
        "status": "active",
        "scope": {"coding": [code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")]},
        "category": [{"coding": [code("http://loinc.org", "59284-0")]}],
        "patient": {"reference": format!("Patient/p{number}")},
        "policy": [{"uri": "urn:example:policy"}],
        "provision": provision,
    }))
}

fn fill(house: &House) {
    let config = Config::default();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let party = Arc::new(Party::open(&config.organization));
    for first in (0..PATIENTS).step_by(TOGETHER) {
        let resources = (first..first + TOGETHER).flat_map(|number| {
            let patient = json!({"resourceType": "Patient", "id": format!("p{number}")});
            [Some(patient), consent(number)].into_iter().flatten()
        });
        // Patients are written first, because a Consent's patient must exist.
        let (patients, consents): (Vec<Value>, Vec<Value>) =
            resources.partition(|resource| resource["resourceType"] == "Patient");
        for group in [patients, consents] {
            let entries: Vec<Value> = group
                .into_iter()
                .map(|resource| {
                    let url = format!(
                        "{}/{}",
                        resource["resourceType"].as_str().unwrap(),
                        resource["id"].as_str().unwrap()
                    );
                    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
                })
                .collect();
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
            let payload = Payload::Resource(parse(bundle.to_string().into_bytes()).unwrap());
            let request = Request { payload, ..Request::new(Verb::Post, Vec::new(), Vec::new()) };
            engine.handle(&party, request).unwrap();
        }
    }
}

fn observation_text(number: usize) -> String {
    json!({
        "resourceType": "Observation",
        "id": format!("o{number}"),
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
        "subject": {"reference": format!("Patient/p{}", number % PATIENTS)},
        "encounter": {"reference": "Encounter/e1"},
        "performer": [{"reference": "Practitioner/d1"}],
        "effectiveDateTime": "2024-05-01T12:00:00Z",
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    })
    .to_string()
}

fn party(role: Role, organization: &str, purpose: &str) -> Arc<Party> {
    Arc::new(Party {
        role,
        organization: Some(organization.to_owned()),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse("system/*.rs"),
        ..Party::open(organization)
    })
}

fn main() {
    let house = House::in_memory().unwrap();
    fill(&house);
    let snapshot = house.kv().snapshot(At::Latest).unwrap();
    let observation = r4().resource("Observation").unwrap();
    let rows: Vec<Facts> = (0..ROWS)
        .map(|number| Facts {
            patients: vec![format!("p{}", (number * 7_919) % PATIENTS)],
            when: Some(Interval {
                start: 1_500_000_000_000 + number as i64 * 300_000,
                end: 1_500_000_001_000 + number as i64 * 300_000,
            }),
            ..Facts::default()
        })
        .collect();
    println!(
        "| party | rows kept | first pass, rows/s | again, rows/s | a resource parsed and decided, us |"
    );
    println!("|---|---|---|---|---|");
    for (name, party) in [
        ("own staff", party(Role::Clinician, "Organization/hospital", "TREAT")),
        ("insurer that Consents name", party(Role::Insurer, "Organization/acme", "HPAYMT")),
        ("insurer that none names", party(Role::Insurer, "Organization/nobody", "HPAYMT")),
    ] {
        let settings = Arc::new(Settings::of(["Organization/hospital".to_owned()].into()));
        let consents = ConsentCache::default();
        let lens = || {
            let (party, settings) = (party.clone(), settings.clone());
            Lens::new(LensParts { snapshot: &*snapshot, party, settings, consents: &consents, now: now() })
                .unwrap()
        };
        let pass = || {
            let lens = lens();
            let begun = Instant::now();
            let kept = rows.iter().filter(|facts| lens.keep(observation, facts) == Keep::Keep).count();
            (kept, ROWS as f64 / begun.elapsed().as_secs_f64())
        };
        // The first pass compiles the Consents; later requests use the compiled ones.
        let (kept, first) = pass();
        let (_, again) = pass();
        // The cost of showing one resource: reading its facts from its text, and the decision.
        let lens = lens();
        let begun = Instant::now();
        let trees: Vec<_> =
            (0..SHOWN).map(|number| parse(observation_text(number).into_bytes()).unwrap()).collect();
        for tree in &trees {
            lens.decision(tree.root()).unwrap();
        }
        let shown = begun.elapsed().as_secs_f64() * 1e6 / SHOWN as f64;
        println!("| {name} | {kept} | {first:.0} | {again:.0} | {shown:.1} |");
    }
}

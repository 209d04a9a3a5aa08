//! The data of the two servers: a hospital with some files, whose patients permit and deny; and the same without, or with other,
//! data that the party does not see.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chartward::auth::Party;
use chartward::cli::generated;
use chartward::consent::DataFacts;
use chartward::model::parse;
use chartward::operations::Verb;
use serde_json::{Value, json};

use super::world::{Asked, SetClock, World};
use crate::oracle::Random;

/// 1 July 2026, after all dates in the generated data.
pub const START: i64 = 1_782_864_000_000;
pub const STEP: i64 = 1_000;

/// A step that fills a server.
#[derive(Clone, Debug)]
pub enum Filling {
    Put(Value),
    Delete(String),
}

impl Filling {
    /// `Type/id`.
    pub fn reference(&self) -> String {
        match self {
            Self::Put(resource) => reference(resource),
            Self::Delete(reference) => reference.clone(),
        }
    }
}

pub fn reference(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
}

/// All data.
pub fn all(seed: u64) -> Vec<Filling> {
    let mut all: Vec<Filling> =
        generated(6, seed).iter().map(|text| Filling::Put(serde_json::from_str(text).unwrap())).collect();
    for consent in consents() {
        all.push(Filling::Put(consent));
    }
    all.extend(of_hospital().into_iter().map(Filling::Put));
    for number in 1..=6 {
        all.extend(of_patient(number));
    }
    all
}

fn consent(id: &str, patient: &str, provision: &Value) -> Value {
    json!({
        "resourceType": "Consent", "id": id, "status": "active", "patient": {"reference": patient},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policy": [{"uri": "urn:example:privacy-policy"}], "provision": provision,
    })
}

fn actor(reference: &str) -> Value {
    json!([{
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"reference": reference},
    }])
}

/// Consents that decide something for one of the parties, and some (`of-nobody`) that decide nothing for any of them.
fn consents() -> Vec<Value> {
    let type_of = |name: &str| json!({"system": "http://hl7.org/fhir/resource-types", "code": name});
    let treat = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]);
    let systolic = json!([{"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}]);
    let elsewhere = json!({"type": "deny", "actor": actor("Organization/elsewhere")});
    vec![
        consent("deny-d1-p4", "Patient/p4", &json!({"type": "deny", "actor": actor("Practitioner/d1")})),
        consent(
            "deny-d1-p5",
            "Patient/p5",
            &json!({"type": "deny", "actor": actor("Practitioner/d1"), "class": [type_of("Observation"), type_of("Condition")]}),
        ),
        consent(
            "permit-lakeside-p6",
            "Patient/p6",
            &json!({"type": "permit", "actor": actor("Organization/lakeside"), "purpose": treat, "code": systolic,
                "class": [type_of("Observation")]}),
        ),
        consent("of-nobody-p2", "Patient/p2", &elsewhere),
        consent("of-nobody-p3", "Patient/p3", &elsewhere),
        consent("of-nobody-p5", "Patient/p5", &elsewhere),
    ]
}

fn of_hospital() -> Vec<Value> {
    vec![
        json!({"resourceType": "RelatedPerson", "id": "rep", "active": true, "patient": {"reference": "Patient/p4"}}),
        json!({"resourceType": "Questionnaire", "id": "intake", "status": "active", "title": "Intake"}),
        json!({"resourceType": "Group", "id": "cohort", "type": "person", "actual": true, "member": [
            {"entity": {"reference": "Patient/p2", "display": "The second"}},
            {"entity": {"reference": "Patient/p4", "display": "The fourth"}}]}),
    ]
}

fn observation(id: &str, patient: &str, status: &str, value: i64) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": status, "subject": {"reference": patient},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}], "text": "Systolic"},
        "effectiveDateTime": "2026-05-01", "valueQuantity": {"value": value, "unit": "mmHg",
            "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
    })
}

fn labelled(mut resource: Value, system: &str, code: &str) -> Value {
    let system = format!("http://terminology.hl7.org/CodeSystem/{system}");
    resource["meta"] = json!({"security": [{"system": system, "code": code}]});
    resource
}

/// What every file has besides the generated data: labels, versions, deletions, references.
fn of_patient(number: usize) -> Vec<Filling> {
    let patient = format!("Patient/p{number}");
    let other = format!("Patient/p{}", number % 6 + 1);
    let id = |what: &str| format!("p{number}-{what}");
    let of = |what: &str, status: &str, value: i64| observation(&id(what), &patient, status, value);
    let to = |what: &str| {
        json!({"reference": format!("Observation/{}", id(what)), "display": format!("about {what}"),
        "identifier": {"system": "urn:example:act", "value": format!("{what}-{number}")}})
    };
    let mut coded = of("coded", "final", 120);
    coded["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "8462-4"}]});
    let mut related = of("related", "final", 121);
    related["focus"] =
        json!([{"reference": other, "display": "Somebody else", "identifier": {"value": "else"}}]);
    related["hasMember"] = json!([to("psy"), to("restricted"), to("plain"), to("nowhere")]);
    related["text"] = json!({"status": "generated", "div":
        "<div xmlns=\"http://www.w3.org/1999/xhtml\">with psychotherapy</div>"});
    let provenance = |what: &str, target: &str| {
        json!({"resourceType": "Provenance", "id": id(what), "target": [to(target)], "recorded": "2026-05-02T00:00:00Z",
            "agent": [{"who": {"reference": "Practitioner/d3", "display": "Dr. Curtis"}}]})
    };
    let task = |what: &str, focus: &str| {
        json!({"resourceType": "Task", "id": id(what), "status": "requested", "intent": "order",
            "for": {"reference": patient}, "focus": to(focus), "owner": {"reference": "Organization/lakeside"}})
    };
    let list = json!({"resourceType": "List", "id": id("list"), "status": "current", "mode": "working",
        "subject": {"reference": patient}, "entry": [{"item": to("psy")}, {"item": to("plain")}, {"item": to("turned")}]});
    let binary = json!({"resourceType": "Binary", "id": id("secret"), "contentType": "text/plain", "data": "c2VjcmV0",
        "securityContext": {"reference": format!("Observation/{}", id("psy"))}});
    let team = json!({"resourceType": "CareTeam", "id": id("team"), "status": "active",
        "subject": {"reference": patient}, "participant": [{"member": {"reference": "Practitioner/d4"}}]});
    let parent = json!({"resourceType": "Observation", "id": id("contains"), "status": "final", "subject":
        {"reference": patient}, "code": {"text": "with a note"}, "contained": [{"resourceType": "Observation",
        "id": "in", "status": "final", "code": {"text": "inner"}}], "hasMember": [{"reference": "#in"}]});
    let psy = labelled(of("psy", "final", 99), "v3-ActCode", "PSYTHPN");
    let restricted = labelled(of("restricted", "final", 98), "v3-Confidentiality", "R");
    let put = Filling::Put;
    let gone = |what: &str| Filling::Delete(format!("Observation/{}", id(what)));
    vec![
        put(of("plain", "final", 100)),
        put(psy),
        put(restricted),
        put(of("turned", "preliminary", 101)),
        put(coded),
        put(of("again", "final", 102)),
        put(of("relabelled", "final", 103)),
        put(of("gone", "final", 104)),
        put(of("moved", "preliminary", 105)),
        put(related),
        put(provenance("of-plain", "plain")),
        put(provenance("of-psy", "psy")),
        put(task("task", "plain")),
        put(task("hidden-task", "psy")),
        put(list),
        put(binary),
        put(team),
        put(parent),
        put(of("turned", "final", 106)),
        put(of("coded", "final", 107)),
        gone("again"),
        put(labelled(of("relabelled", "final", 108), "v3-Confidentiality", "R")),
        put(of("moved", "final", 109)),
        put(of("again", "final", 110)),
        put(of("turned", "amended", 111)),
        put(of("moved", "preliminary", 112)),
        put(of("turned", "final", 113)),
        put(of("moved", "final", 114)),
        gone("gone"),
    ]
}

/// The steps of the filling; `None` for a skipped step, which still takes its time.
pub type Taken = Vec<Option<Filling>>;

/// Fills a server; gives the version id that each step made.
pub fn fill(world: &World, clock: &SetClock, steps: &Taken) -> Vec<Option<String>> {
    let own = Arc::new(Party::open("Organization/hospital"));
    let mut versions = Vec::new();
    for (step, number) in steps.iter().zip(1_i64..) {
        clock.set(START + number * STEP);
        let told = step.as_ref().map(|step| {
            let asked = match step {
                Filling::Put(resource) => Asked::new(Verb::Put, reference(resource)).with(resource),
                Filling::Delete(reference) => Asked::new(Verb::Delete, reference.as_str()),
            };
            let told = world.ask(&own, &asked);
            assert!(told.status < 300, "{step:?}: {told:?}");
            told
        });
        versions.push(told.and_then(|told| told.version).map(|version| {
            let name = format!("~16.step-{number}~");
            world.rename(&version, &name);
            name
        }));
    }
    clock.set(START + i64::try_from(steps.len()).unwrap() * STEP + STEP);
    versions
}

/// What a party sees of a server's data: the visible resources, and for each step whether it made a visible version.
pub struct Seen {
    pub shown: BTreeSet<String>,
    pub steps: Vec<bool>,
}

pub fn seen(world: &World, party: &Arc<Party>, steps: &Taken, versions: &[Option<String>]) -> Seen {
    let mut shown = BTreeSet::new();
    let mut of_steps = Vec::new();
    for (step, version) in steps.iter().zip(versions) {
        let Some(step) = step else {
            of_steps.push(false);
            continue;
        };
        let reference = step.reference();
        // A deleted resource is answered with 410 to those who would have seen it.
        if [200, 410].contains(&world.ask(party, &Asked::new(Verb::Get, reference.as_str())).status) {
            shown.insert(reference.clone());
        }
        let url = format!("{reference}/_history/{}", version.as_deref().unwrap_or("none"));
        of_steps.push([200, 410].contains(&world.ask(party, &Asked::new(Verb::Get, url)).status));
    }
    Seen { shown, steps: of_steps }
}

/// The same data for a party: steps that it does not see are left out, changed, or kept.
pub fn without_some(steps: &Taken, seen: &Seen, random: &mut Random) -> Taken {
    let mut files: BTreeMap<String, bool> = BTreeMap::new();
    let visible: BTreeSet<String> = steps
        .iter()
        .flatten()
        .filter(|step| seen.shown.contains(&step.reference()))
        .flat_map(owners)
        .collect();
    let mut fates: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = Vec::new();
    let mut begun: BTreeSet<String> = BTreeSet::new();
    for (step, is_seen) in steps.iter().zip(&seen.steps) {
        let Some(step) = step else {
            out.push(None);
            continue;
        };
        let reference = step.reference();
        let type_name = reference.split('/').next().unwrap();
        if seen.shown.contains(&reference) {
            // A hidden version may be changed or left out, except the first one of a resource (see the exceptions in
            // `mod.rs`).
            let is_first = begun.insert(reference);
            let fate = if *is_seen { 0 } else { random.below(3) };
            let fate = if is_first { fate * 2 } else { fate };
            out.push(match (fate, step) {
                (1, _) => None,
                (2, Filling::Put(resource)) => Some(Filling::Put(changed(resource, random))),
                _ => Some(step.clone()),
            });
            continue;
        }
        let owners = owners(step);
        let is_of_hidden = !owners.is_empty() && owners.iter().all(|owner| !visible.contains(owner));
        let keeps_file = owners
            .first()
            .filter(|_| is_of_hidden)
            .map(|owner| *files.entry(owner.clone()).or_insert_with(|| random.chance(40)));
        let decides = ["Consent", "RelatedPerson"].contains(&type_name) && !reference.contains("of-nobody");
        let rests_on_others = ["Provenance", "Task", "Binary"].contains(&type_name);
        let fate = *fates.entry(reference.clone()).or_insert_with(|| random.below(5));
        out.push(match (keeps_file, fate, step) {
            (Some(false), ..) => None,
            _ if decides => Some(step.clone()),
            _ if rests_on_others => None,
            (_, 0 | 1, _) if type_name == "Patient" => Some(step.clone()),
            (_, 0 | 1, _) => None,
            (_, 2 | 3, Filling::Put(resource)) => Some(Filling::Put(changed(resource, random))),
            _ => Some(step.clone()),
        });
    }
    out
}

fn owners(step: &Filling) -> BTreeSet<String> {
    match step {
        Filling::Put(resource) => {
            let tree = parse(resource.to_string().into_bytes()).unwrap();
            let facts = DataFacts::of(tree.root());
            if facts.type_name == "Patient" { BTreeSet::from([facts.reference]) } else { facts.owners }
        }
        Filling::Delete(_) => BTreeSet::new(),
    }
}

/// The resource with other values, but with the same patient and labels.
fn changed(resource: &Value, random: &mut Random) -> Value {
    let mut other = resource.clone();
    let number = random.below(1_000);
    change(&mut other, number);
    other
}

fn change(value: &mut Value, number: usize) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), &member) {
                    ("display" | "text" | "family", Value::String(_)) => {
                        *member = json!(format!("other {number}"))
                    }
                    ("value", Value::Number(_)) => *member = json!(number),
                    ("value", Value::String(_)) => *member = json!(format!("other-{number}")),
                    ("meta" | "provision", _) => {}
                    _ => change(member, number),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, number)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

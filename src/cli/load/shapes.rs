//! The shapes of load: sequences of requests with the statuses expected for them.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cli::generate::{Format, Hospital, documents_of};
use crate::cli::sources::{documents, files};
use crate::model::encode;

use super::call::Call;
use super::sample::Samples;

/// The largest document to send, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Kinds of shapes, as `--shapes` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Read,
    Create,
    Transaction,
    Crud,
    Import,
    Search,
    Consent,
}

impl Group {
    const ALL: [(&'static str, Self); 7] = [
        ("read", Self::Read),
        ("create", Self::Create),
        ("transaction", Self::Transaction),
        ("crud", Self::Crud),
        ("import", Self::Import),
        ("search", Self::Search),
        ("consent", Self::Consent),
    ];
}

/// The requests of a shape, for all connections.
pub(super) trait Calls: Send + Sync {
    /// The requests of the connection with this number.
    fn begin(&self, number: usize) -> Box<dyn Sequence>;
}

/// The requests of one connection, in order.
pub(super) trait Sequence: Send {
    /// The next request; `None` if all are sent.
    fn next(&mut self) -> Option<Call>;

    /// Called with the answer to the last request.
    fn answered(&mut self, status: u16, location: Option<&str>) {
        let _ = (status, location);
    }
}

/// A named shape of load.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) calls: Arc<dyn Calls>,
}

impl Shape {
    pub(super) fn new(name: &'static str, group: Group, calls: Arc<dyn Calls>) -> Self {
        Self { name, group, calls }
    }
}

/// The shapes of a name or kind; searches that the samples have no values for are left out.
///
/// # Errors
/// If a file of Bundles cannot be read.
pub(super) fn named(name: &str, samples: &Samples, bundles: &[PathBuf]) -> Result<Vec<Shape>, String> {
    let group = Group::ALL.iter().find(|(known, _)| *known == name).map(|(_, group)| *group);
    Ok(match group {
        Some(Group::Read) => cycled("read", Group::Read, samples.reads.iter().cloned().map(Call::get)),
        Some(Group::Create) => vec![Shape::new("create", Group::Create, Arc::new(Creates))],
        Some(Group::Transaction) => {
            vec![Shape::new("transaction", Group::Transaction, Arc::new(Transactions))]
        }
        Some(Group::Crud) => vec![Shape::new("crud", Group::Crud, Arc::new(Cruds))],
        Some(Group::Import) => vec![Shape::new("import", Group::Import, Arc::new(Import::of(bundles)?))],
        Some(group @ (Group::Search | Group::Consent)) => {
            SEARCHES.iter().flat_map(|search| search.shape(group, samples)).collect()
        }
        None => SEARCHES
            .iter()
            .filter(|search| search.name == name)
            .flat_map(|search| search.shape(Group::Search, samples))
            .collect(),
    })
}

fn cycled(name: &'static str, group: Group, calls: impl Iterator<Item = Call>) -> Vec<Shape> {
    let calls: Vec<Call> = calls.collect();
    if calls.is_empty() { Vec::new() } else { vec![Shape::new(name, group, Arc::new(Cycle::of(calls)))] }
}

/// Repeats the same requests; each connection starts at a different one.
pub(super) struct Cycle(Arc<[Call]>);

impl Cycle {
    pub(super) fn of(calls: Vec<Call>) -> Self {
        Self(calls.into())
    }
}

struct CycleOf {
    calls: Arc<[Call]>,
    place: usize,
}

impl Calls for Cycle {
    fn begin(&self, number: usize) -> Box<dyn Sequence> {
        Box::new(CycleOf { calls: self.0.clone(), place: number })
    }
}

impl Sequence for CycleOf {
    fn next(&mut self) -> Option<Call> {
        let place = self.place % self.calls.len().max(1);
        self.place = place + 1;
        self.calls.get(place).cloned()
    }
}

/// A search by parameters that the standard defines.
struct Search {
    name: &'static str,
    /// The samples that fill the query.
    of: fn(&Samples) -> &[Value],
    /// The query; `{pointer}` stands for the value at a JSON Pointer of a sample.
    query: &'static str,
}

fn patients(samples: &Samples) -> &[Value] {
    &samples.patients
}
fn observations(samples: &Samples) -> &[Value] {
    &samples.observations
}
fn conditions(samples: &Samples) -> &[Value] {
    &samples.conditions
}
fn encounters(samples: &Samples) -> &[Value] {
    &samples.encounters
}

const SEARCHES: [Search; 12] = [
    Search { name: "string", of: patients, query: "Patient?family={/name/0/family}&_count=10" },
    Search { name: "date", of: patients, query: "Patient?birthdate={/birthDate}&_count=10" },
    Search { name: "token", of: conditions, query: "Condition?code={/code/coding/0/code}&_count=10" },
    Search {
        name: "quantity",
        of: observations,
        query: "Observation?value-quantity=gt{/valueQuantity/value}&_count=10",
    },
    Search {
        name: "composite",
        of: observations,
        query: "Observation?code-value-quantity={/code/coding/0/code}$gt{/valueQuantity/value}&_count=10",
    },
    Search { name: "reference", of: encounters, query: "Encounter?subject={/subject/reference}&_count=10" },
    Search {
        name: "two",
        of: observations,
        query: "Observation?patient={/subject/reference}&code={/code/coding/0/code}&_count=10",
    },
    Search { name: "chained", of: patients, query: "Observation?patient.family={/name/0/family}&_count=10" },
    Search {
        name: "_has",
        of: observations,
        query: "Patient?_has:Observation:patient:code={/code/coding/0/code}&_count=10",
    },
    Search {
        name: "_include",
        of: encounters,
        query: "Encounter?subject={/subject/reference}&_include=Encounter:subject&_count=10",
    },
    Search {
        name: "_sort",
        of: observations,
        query: "Observation?code={/code/coding/0/code}&_sort=-date&_count=10",
    },
    Search { name: "count", of: conditions, query: "Condition?code={/code/coding/0/code}&_summary=count" },
];

impl Search {
    fn shape(&self, group: Group, samples: &Samples) -> Vec<Shape> {
        let resources = (self.of)(samples).iter();
        let calls = resources.filter_map(|resource| Some(Call::get(filled(self.query, resource)?)));
        cycled(self.name, group, calls)
    }
}

/// The query with each `{/json/pointer}` replaced by the value there in a resource; `None` if the resource lacks one of the values.
fn filled(query: &str, resource: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('{') {
        let (pointer, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&encode(&match resource.pointer(pointer)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        }));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// A Patient of about 1.5 kB, different for each number.
fn patient(number: usize) -> Value {
    let contact = |place: usize| {
        json!({
            "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "N", "display": "Next-of-Kin"}]}],
            "name": {"family": format!("Load{number}"), "given": [format!("Kin{place}")]},
            "telecom": [{"system": "phone", "value": format!("+1 555 01{:02}", place % 100), "use": "home"}]
        })
    };
    json!({
        "resourceType": "Patient",
        "identifier": [{"use": "usual", "system": "urn:load", "value": format!("load-{number}")}],
        "active": true,
        "name": [{"use": "official", "family": format!("Load{number}"), "given": ["Ada", format!("B{}", number % 97)]}],
        "telecom": [{"system": "phone", "value": "+1 555 0100", "use": "home"}, {"system": "email", "value": format!("load{number}@example.org")}],
        "gender": if number.is_multiple_of(2) { "female" } else { "male" },
        "birthDate": format!("19{:02}-0{}-1{}", number % 100, number % 9 + 1, number % 10),
        "address": [{"use": "home", "line": ["1 Example Street", "Back yard"], "city": "Springfield", "state": "MA", "postalCode": format!("{:05}", number % 99_999), "country": "US"}],
        "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}]},
        "contact": [contact(0), contact(1)],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US"}]}, "preferred": true}]
    })
}

fn reference(to: &str) -> Value {
    json!({"reference": to})
}

fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";

fn observation(subject: &str, number: usize) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": concept(LOINC, "8867-4"),
        "subject": reference(subject),
        "effectiveDateTime": "2026-01-02T03:04:05Z",
        "valueQuantity": {"value": 60 + number % 60, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}
    })
}

/// A number that no other request of this run has.
fn next_number() -> usize {
    static NUMBERS: AtomicUsize = AtomicUsize::new(0);
    let first = usize::try_from(std::process::id()).unwrap_or(0) * 10_000_000;
    first + NUMBERS.fetch_add(1, Ordering::Relaxed)
}

struct Made(fn(usize) -> Call);

impl Sequence for Made {
    fn next(&mut self) -> Option<Call> {
        Some((self.0)(next_number()))
    }
}

struct Creates;

impl Calls for Creates {
    fn begin(&self, _: usize) -> Box<dyn Sequence> {
        Box::new(Made(|number| Call::post("Patient", &patient(number))))
    }
}

/// Transactions that create a Patient and its Observation.
struct Transactions;

impl Calls for Transactions {
    fn begin(&self, _: usize) -> Box<dyn Sequence> {
        Box::new(Made(|number| {
            let id = "urn:uuid:8c5b0f3a-4f0b-4a86-9a5e-0f2a3a5c7e11";
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"fullUrl": id, "resource": patient(number), "request": {"method": "POST", "url": "Patient"}},
                {"resource": observation(id, number), "request": {"method": "POST", "url": "Observation"}}
            ]});
            Call::bundle(bundle.to_string(), 2)
        }))
    }
}

/// Creates, reads, updates and deletes a resource of each of nine types: 36 requests.
struct Cruds;

/// For each type: the resource to create, the field to update, and its new value.
fn crud_resources(number: usize) -> [(Value, &'static str, Value); 9] {
    let patient_reference =
        || json!({"identifier": {"system": "urn:load", "value": format!("load-{number}")}});
    let money = || json!({"value": 12.5, "currency": "USD"});
    let claim_type = || concept("http://terminology.hl7.org/CodeSystem/claim-type", "professional");
    let mut vital = observation("Patient/x", number);
    if let Some(members) = vital.as_object_mut() {
        members.insert("subject".to_owned(), patient_reference());
    }
    [
        (patient(number), "active", json!(false)),
        (
            json!({"resourceType": "Location", "status": "active", "name": format!("Ward {number}"), "mode": "instance"}),
            "name",
            json!("Ward of others"),
        ),
        (
            json!({"resourceType": "Organization", "active": true, "name": format!("Clinic {number}")}),
            "name",
            json!("Clinic of others"),
        ),
        (
            json!({"resourceType": "Practitioner", "active": true, "name": [{"family": format!("Doctor{number}"), "given": ["Eve"]}]}),
            "active",
            json!(false),
        ),
        (
            json!({"resourceType": "Encounter", "status": "in-progress", "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": patient_reference(), "period": {"start": "2026-01-02T03:04:05Z"}}),
            "status",
            json!("finished"),
        ),
        (vital, "status", json!("amended")),
        (
            json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": patient_reference(),
                "medicationCodeableConcept": concept("http://www.nlm.nih.gov/research/umls/rxnorm", "197361")}),
            "status",
            json!("completed"),
        ),
        (
            json!({"resourceType": "Claim", "status": "active", "use": "claim", "type": claim_type(), "patient": patient_reference(), "created": "2026-01-02",
                "provider": {"display": "Clinic"}, "priority": concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
                "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "Cover"}}],
                "item": [{"sequence": 1, "productOrService": concept(SNOMED, "185349003"), "net": money()}], "total": money()}),
            "created",
            json!("2026-01-03"),
        ),
        (
            json!({"resourceType": "ExplanationOfBenefit", "status": "active", "use": "claim", "type": claim_type(), "patient": patient_reference(),
                "created": "2026-01-02", "insurer": {"display": "Insurer"}, "provider": {"display": "Clinic"}, "outcome": "complete",
                "insurance": [{"focal": true, "coverage": {"display": "Cover"}}]}),
            "created",
            json!("2026-01-03"),
        ),
    ]
}

impl Calls for Cruds {
    fn begin(&self, _: usize) -> Box<dyn Sequence> {
        Box::new(CrudsOf { left: VecDeque::new(), step: 0, place: None })
    }
}

struct CrudsOf {
    left: VecDeque<(Value, &'static str, Value)>,
    /// 0: create, 1: read, 2: update, 3: delete.
    step: u8,
    /// `Type/id` of the resource in work.
    place: Option<String>,
}

impl Sequence for CrudsOf {
    fn next(&mut self) -> Option<Call> {
        if self.left.is_empty() {
            self.left.extend(crud_resources(next_number()));
        }
        let (resource, changed, value) = self.left.front()?;
        let type_name = resource.get("resourceType")?.as_str()?;
        // After a failed create the other requests address an id that does not exist.
        let place = self.place.clone().unwrap_or_else(|| format!("{type_name}/none"));
        Some(match self.step {
            0 => Call::post(type_name, resource),
            1 => Call::get(place),
            2 => {
                let mut resource = resource.clone();
                let members = resource.as_object_mut()?;
                members.insert((*changed).to_owned(), value.clone());
                members.insert("id".to_owned(), json!(place.rsplit('/').next()?));
                let body = Bytes::from(resource.to_string());
                Call { method: "PUT", path: place, body, expected: |status| status == 200, resources: 1 }
            }
            _ => {
                let expected = |status| matches!(status, 200 | 202 | 204);
                Call { method: "DELETE", path: place, body: Bytes::new(), expected, resources: 1 }
            }
        })
    }

    fn answered(&mut self, status: u16, location: Option<&str>) {
        if self.step == 0 && status == 201 {
            self.place = location.and_then(place_of);
        }
        self.step = (self.step + 1) % 4;
        if self.step == 0 {
            self.left.pop_front();
            self.place = None;
        }
    }
}

/// `Type/id` of `.../Type/id/_history/1`.
fn place_of(location: &str) -> Option<String> {
    let whole = location.split_once("/_history").map_or(location, |(whole, _)| whole);
    let mut parts = whole.rsplit('/');
    let (id, type_name) = (parts.next()?, parts.next()?);
    Some(format!("{type_name}/{id}"))
}

/// Transaction Bundles, each sent once by the next free connection.
struct Import {
    bundles: Arc<[(Bytes, u64)]>,
    next: Arc<AtomicUsize>,
}

/// The number of patients in the hospital that is generated if no files are given.
const IMPORTED_PATIENTS: u64 = 1_000;

impl Import {
    fn of(paths: &[PathBuf]) -> Result<Self, String> {
        let mut texts = Vec::new();
        if paths.is_empty() {
            let hospital = Hospital { patients: IMPORTED_PATIENTS, seed: 1, of_adults: false };
            documents_of(hospital, Format::Bundles, &mut |text| {
                texts.push(text);
                true
            });
        }
        for file in files(paths)? {
            documents(&file, DOCUMENT_BYTES_MAX, &mut |text| texts.push(text))?;
        }
        let counted = |text: String| {
            let bundle: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let entries = bundle.get("entry").and_then(Value::as_array).map_or(0, Vec::len);
            Ok((Bytes::from(text), u64::try_from(entries).unwrap_or(0)))
        };
        let bundles: Result<Vec<(Bytes, u64)>, String> = texts.into_iter().map(counted).collect();
        Ok(Self { bundles: bundles?.into(), next: Arc::default() })
    }
}

impl Calls for Import {
    fn begin(&self, _: usize) -> Box<dyn Sequence> {
        // Each measurement starts again with the first Bundle.
        self.next.store(0, Ordering::Relaxed);
        Box::new(ImportOf { bundles: self.bundles.clone(), next: self.next.clone() })
    }
}

struct ImportOf {
    bundles: Arc<[(Bytes, u64)]>,
    next: Arc<AtomicUsize>,
}

impl Sequence for ImportOf {
    fn next(&mut self) -> Option<Call> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        self.bundles.get(place).map(|(bytes, resources)| Call::bundle(bytes.clone(), *resources))
    }
}

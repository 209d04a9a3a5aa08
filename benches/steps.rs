//! The time of the steps of a request: `cargo bench --bench steps`. serde_json parses the same bytes for comparison.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::sync::{Arc, LazyLock};

use chartward::auth::{Party, Role, Scopes};
use chartward::cli::{Config, House, now};
use chartward::consent::{ConsentCache, Lens, LensParts, Settings};
use chartward::definitions::{TypeDef, r4};
use chartward::model::{Amendments, Tree, minify, parse, stored_form, to_xml};
use chartward::operations::{Payload, Request, Verb};
use chartward::search::{
    Everything, Filter, Query, Reading, ValueContext, entries, parse_query, search_params,
};
use chartward::store::{At, Method, Report, Repository, Search, Sequence, Stored, View};
use chartward::validate::{Incoming, Rules, Valid};
use divan::{Bencher, black_box, counter::BytesCount};
use serde_json::json;

/// A Patient and an Observation as an EHR sends them.
const RESOURCES: [&str; 2] = [
    r#"{"resourceType":"Patient","identifier":[{"use":"usual","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:example:mrn","value":"100001"}],"active":true,"name":[{"use":"official","family":"Müller","given":["Anna","Maria"]}],"telecom":[{"system":"phone","value":"+1 555 0000001","use":"home"}],"gender":"female","birthDate":"1970-02-01","address":[{"use":"home","line":["1 Main Street"],"city":"Ashford","postalCode":"01101","country":"US"}]}"#,
    r#"{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}],"text":"Heart rate"},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2026-01-02T10:00:00Z","issued":"2026-01-02T11:00:00Z","performer":[{"reference":"Practitioner/d1"}],"valueQuantity":{"value":72.0,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#,
];

fn main() {
    divan::main();
}

fn name_of(text: &str) -> &str {
    if text.contains("Observation") { "Observation" } else { "Patient" }
}

/// Measures a function on each of the resources.
fn each(bencher: Bencher, text: &'static str, act: impl Fn(&'static str) + Sync) {
    bencher.counter(BytesCount::of_str(text)).bench(|| act(black_box(text)));
}

/// Measures a function on resources that are already parsed.
fn each_tree(bencher: Bencher, text: &'static str, act: impl Fn(&Tree) + Sync) {
    let tree = tree(text);
    bencher.counter(BytesCount::of_str(text)).bench_local(|| act(black_box(&tree)));
}

fn tree(text: &str) -> Tree {
    parse(text.as_bytes().to_vec()).unwrap()
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn serde_json_to_value(bencher: Bencher, resource: Resource) {
    each(bencher, resource.0, |text| {
        drop(black_box(serde_json::from_str::<serde_json::Value>(text).unwrap()))
    });
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn parse_json(bencher: Bencher, resource: Resource) {
    each(bencher, resource.0, |text| drop(black_box(tree(text))));
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn parse_and_validate(bencher: Bencher, resource: Resource) {
    each(bencher, resource.0, |text| {
        drop(black_box(Valid::check(Incoming::new(tree(text)), r4(), Rules::default()).unwrap()));
    });
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn extract(bencher: Bencher, resource: Resource) {
    each_tree(bencher, resource.0, |tree| drop(black_box(entries(search_params(), tree.root()))));
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn encode_normal_form(bencher: Bencher, resource: Resource) {
    each_tree(bencher, resource.0, |tree| {
        drop(black_box(stored_form(tree.root(), "id", &Amendments::default())))
    });
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn encode_minified(bencher: Bencher, resource: Resource) {
    each_tree(bencher, resource.0, |tree| {
        let mut out = String::with_capacity(tree.text().len());
        minify(tree.root(), &mut out);
        drop(black_box(out));
    });
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn encode_answer(bencher: Bencher, resource: Resource) {
    let body = stored_form(tree(resource.0).root(), "id", &Amendments::default()).normalized();
    let stored = Stored {
        row: 1,
        sequence: Sequence(1),
        time: now(),
        method: Method::Create,
        def: r4().find(name_of(resource.0)).unwrap(),
        id: chartward::model::ResourceId::parse("id").unwrap(),
        text: body.text,
        meta_at: body.meta_at,
    };
    bencher.counter(BytesCount::of_str(resource.0)).bench(|| black_box(&stored).stamped("1"));
}

#[divan::bench(args = RESOURCES.map(Resource))]
fn encode_xml(bencher: Bencher, resource: Resource) {
    each_tree(bencher, resource.0, |tree| drop(black_box(to_xml(tree.root()).unwrap())));
}

/// A resource that is printed as its type.
#[derive(Clone, Copy)]
struct Resource(&'static str);

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(name_of(self.0))
    }
}

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// A `House` with the observations of some patients.
static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let config = Config { data: FOLDER.path().join("data"), ..Config::default() };
    let house = House::open(&config).unwrap();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let party = Arc::new(Party::open(&config.organization));
    let send = |kind: &str, id: String, resource: String| {
        let request = Request {
            payload: Payload::Resource(tree(&resource)),
            ..Request::new(Verb::Put, vec![kind.to_owned(), id], Vec::new())
        };
        engine.handle(&party, request).unwrap();
    };
    for patient in 0..200 {
        let id = format!("p{patient}");
        let family = if patient % 2 == 0 { "Baker" } else { "Cook" };
        let resource = json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]});
        send("Patient", id, resource.to_string());
        for number in 0..20 {
            let (id, subject) = (format!("o{patient}-{number}"), format!("Patient/p{patient}"));
            let resource = RESOURCES[1].replace("Patient/p1", &subject);
            let mut resource: serde_json::Value = serde_json::from_str(&resource).unwrap();
            resource["id"] = id.clone().into();
            send("Observation", id, resource.to_string());
        }
    }
    house
});

fn query(def: &'static TypeDef, text: &str) -> Query {
    let pairs = chartward::model::decode_pairs(text);
    let asking = ValueContext { now: now(), base_url: "http://127.0.0.1/fhir" };
    parse_query(&Reading { params: search_params(), asking, lenient: false }, def, &pairs).unwrap()
}

const QUERIES: [&str; 5] = [
    "subject=Patient/p7&code=http://loinc.org|8867-4",
    "date=ge2026-01-01&category=vital-signs",
    "code-value-quantity=8867-4$gt70",
    "patient.family=Baker",
    "status=final&_sort=-date",
];

#[divan::bench(args = QUERIES)]
fn read_query(bencher: Bencher, text: &str) {
    let def = r4().find("Observation").unwrap();
    bencher.bench(|| query(def, black_box(text)));
}

/// Makes the plan of a search, including the plan's look-ups for a chain.
#[divan::bench(args = QUERIES)]
fn plan(bencher: Bencher, text: &str) {
    let def = r4().find("Observation").unwrap();
    let snapshot = HOUSE.kv().snapshot(At::Latest).unwrap();
    let repository = Repository::new(&*snapshot);
    let Query { filters, sort, .. } = query(def, text);
    let filter = Filter::All(filters);
    bencher.bench_local(|| {
        let view = View::new(&repository, None, &Everything);
        let report = Report::default();
        drop(black_box(Search::new(&view, def, &filter, &sort, &report).unwrap()));
    });
}

/// Decides whether a party may see a resource, with facts read from its text: an insurer that no Consent names, and the own
/// staff.
#[divan::bench(args = ["own staff", "insurer"])]
fn decide(bencher: Bencher, who: &str) {
    let (role, organization, purpose) = match who {
        "insurer" => (Role::Insurer, "Organization/acme", "HPAYMT"),
        _ => (Role::Clinician, "Organization/hospital", "TREAT"),
    };
    let party = Arc::new(Party {
        role,
        organization: Some(organization.to_owned()),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse("system/*.rs"),
        ..Party::open(organization)
    });
    let snapshot = HOUSE.kv().snapshot(At::Latest).unwrap();
    let settings = Arc::new(Settings::of(["Organization/hospital".to_owned()].into()));
    let consents = ConsentCache::default();
    let lens =
        Lens::new(LensParts { snapshot: &*snapshot, party, settings, consents: &consents, now: now() })
            .unwrap();
    let tree = tree(RESOURCES[1]);
    bencher.bench_local(|| lens.decision(black_box(&tree).root()).unwrap());
}

//! The access record as its readers see it: AuditEvents, who saw the file, accountings of disclosures, proofs.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chartward::audit::{Hash, is_consistent, root_of_path};
use chartward::auth::{Party, Role, Scopes};
use chartward::consent::Settings;
use chartward::model::parse;
use chartward::operations::{
    Answer, ContextParts, Engine, EngineOptions, Headers, Payload, Refusal, Request, Verb,
};
use chartward::store::{At, Batch, CommitError, Kv, Snapshot, StoreError, SystemClock, Ticket};
use serde_json::{Value, json};

use crate::in_process::Server;

pub const HOSPITAL: &str = "Organization/hospital";

pub fn party(role: Role, organization: Option<&str>, user: Option<&str>, purpose: &str) -> Arc<Party> {
    Arc::new(Party {
        subject: user.unwrap_or("somebody").to_owned(),
        client: "client".to_owned(),
        role,
        organization: organization.map(str::to_owned),
        fhir_user: user.map(str::to_owned),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse(if role == Role::Patient { "patient/*.cruds" } else { "user/*.cruds" }),
        assign_ids: false,
        ..Party::open(HOSPITAL)
    })
}

pub fn officer() -> Arc<Party> {
    party(Role::PrivacyOfficer, Some(HOSPITAL), Some("Practitioner/officer"), "HOPERAT")
}

pub fn patient(id: &str) -> Arc<Party> {
    party(Role::Patient, None, Some(&format!("Patient/{id}")), "PATRQT")
}

pub fn doctor() -> Arc<Party> {
    party(Role::Clinician, Some(HOSPITAL), Some("Practitioner/day"), "TREAT")
}

pub fn department() -> Arc<Party> {
    party(Role::System, Some("Organization/department"), None, "PUBHLTH")
}

pub fn ask(
    server: &Server,
    party: &Arc<Party>,
    verb: Verb,
    url: &str,
    body: Option<&Value>,
) -> Result<Answer, Refusal> {
    let payload =
        body.map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
    server.send_as(party, verb, url, Headers::default(), payload)
}

pub fn get(server: &Server, party: &Arc<Party>, url: &str) -> Value {
    let answer = ask(server, party, Verb::Get, url, None);
    let answer = answer.unwrap_or_else(|refusal| panic!("{url}: {}", refusal.outcome.to_json()));
    serde_json::from_str(answer.body.json().unwrap()).unwrap()
}

fn status(server: &Server, party: &Arc<Party>, verb: Verb, url: &str, body: Option<&Value>) -> u16 {
    match ask(server, party, verb, url, body) {
        Ok(answer) => answer.kind.status(),
        Err(refusal) => refusal.kind.status(),
    }
}

pub fn put(server: &Server, resource: &Value) {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
}

/// Two patients with an observation each, a doctor, and a Consent that permits the department to see the first patient's for
/// public health.
fn hospital() -> Server {
    let server = Server::in_memory();
    put(&server, &json!({"resourceType": "Organization", "id": "hospital", "name": "General Hospital"}));
    put(
        &server,
        &json!({"resourceType": "Organization", "id": "department", "name": "Health Department",
            "address": [{"line": ["1 Main Street"], "city": "Springfield"}]}),
    );
    put(
        &server,
        &json!({"resourceType": "Practitioner", "id": "day", "name": [{"prefix": ["Dr"], "family": "Day"}]}),
    );
    for id in ["a", "b"] {
        put(&server, &json!({"resourceType": "Patient", "id": id}));
        put(
            &server,
            &json!({"resourceType": "Observation", "id": format!("of-{id}"), "status": "final",
                "code": {"text": "pulse"}, "subject": {"reference": format!("Patient/{id}")}}),
        );
    }
    server
}

fn consent(purpose: &str) -> Value {
    let code = |system: &str, code: &str| json!([{"coding": [{"system": system, "code": code}]}]);
    json!({"resourceType": "Consent", "id": "c", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": code("http://loinc.org", "59284-0"),
        "patient": {"reference": "Patient/a"},
        "policy": [{"uri": "https://example.org/policy"}],
        "provision": {"type": "permit",
            "actor": [{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
                "reference": {"reference": "Organization/department"}}],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": purpose}]}})
}

pub fn events(bundle: &Value) -> Vec<&Value> {
    bundle["entry"].as_array().into_iter().flatten().map(|entry| &entry["resource"]).collect()
}

#[test]
fn what_was_withheld_is_on_record_and_its_answer_tells_nothing() {
    let server = hospital();
    let hidden = ask(&server, &department(), Verb::Get, "Observation/of-a", None).unwrap_err();
    let absent = ask(&server, &department(), Verb::Get, "Observation/none", None).unwrap_err();
    assert_eq!((hidden.kind, hidden.outcome.to_json()), (absent.kind, absent.outcome.to_json()));
    assert_eq!(status(&server, &department(), Verb::Delete, "Observation/of-a", None), 204);
    for reader in [officer(), patient("a")] {
        let found = get(&server, &reader, "AuditEvent?patient=Patient/a&outcome=8");
        let kinds: Vec<(&str, &str)> = events(&found)
            .iter()
            .map(|event| {
                (event["type"]["code"].as_str().unwrap(), event["subtype"][0]["code"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            kinds,
            [("110113", "AuthZ-Consent"), ("rest", "delete"), ("110113", "AuthZ-Consent"), ("rest", "read")]
        );
        assert!(found.to_string().contains("Observation/of-a"));
    }
    let of_b = get(&server, &officer(), "AuditEvent?patient=Patient/b&outcome=8");
    assert_eq!(events(&of_b).len(), 0);
    assert_eq!(server.house.verify().unwrap().faults, Vec::<String>::new());
}

#[test]
fn patients_read_their_own_and_auditors_everything() {
    let server = hospital();
    get(&server, &doctor(), "Observation?patient=Patient/a,Patient/b");
    let own = get(&server, &patient("a"), "AuditEvent?_count=100");
    assert!(events(&own).len() >= 3);
    assert!(!own.to_string().contains("Patient/b") && !own.to_string().contains("of-b"));
    let compartment = get(&server, &patient("a"), "Patient/a/AuditEvent?_count=100");
    assert!(events(&compartment).len() >= events(&own).len());
    for id in events(&own).iter().map(|event| event["id"].as_str().unwrap()) {
        let url = format!("AuditEvent/{id}");
        assert_eq!(get(&server, &patient("a"), &url)["id"], id);
        assert_eq!(status(&server, &patient("b"), Verb::Get, &url, None), 404);
        assert_eq!(status(&server, &doctor(), Verb::Get, &url, None), 404);
    }
    assert_eq!(events(&get(&server, &patient("a"), "AuditEvent?patient=Patient/b")).len(), 0);
    assert_eq!(events(&get(&server, &doctor(), "AuditEvent?patient=Patient/a")).len(), 0);
    let elsewhere = party(Role::Administrator, Some("Organization/department"), None, "HOPERAT");
    assert_eq!(events(&get(&server, &elsewhere, "AuditEvent")).len(), 0);
    let all = get(&server, &officer(), "AuditEvent?_count=200");
    assert!(all.to_string().contains("of-a") && all.to_string().contains("of-b"));
    let read = get(&server, &officer(), "AuditEvent?patient=Patient/a&subtype=search-type&_count=200");
    let is_reading = |event: &&Value| event["entity"].to_string().contains("GET /AuditEvent?");
    assert!(events(&read).iter().any(is_reading), "reading the record is on record");
}

#[test]
fn pages_go_through_all_events_once_in_both_directions() {
    let server = hospital();
    for _ in 0..7 {
        get(&server, &doctor(), "Observation?patient=Patient/a,Patient/b");
    }
    let ids = |page: &Value| -> Vec<String> {
        events(page).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let link = |page: &Value, relation: &str| -> Option<String> {
        let links = page["link"].as_array().unwrap();
        let found = links.iter().find(|link| link["relation"] == relation)?;
        found["url"].as_str().unwrap().strip_prefix("http://127.0.0.1/fhir/").map(str::to_owned)
    };
    let queries = [
        "AuditEvent?patient=Patient/a&type=rest",
        "AuditEvent?type=rest",
        "AuditEvent?type=rest&_sort=-date",
        "AuditEvent?type=rest&_sort=date",
        "AuditEvent?type=rest&_sort=subtype,-date",
    ];
    for query in queries {
        let first = get(&server, &officer(), &format!("{query}&_count=3&_total=accurate"));
        let total = usize::try_from(first["total"].as_u64().unwrap()).unwrap();
        let (mut pages, mut page) = (vec![ids(&first)], first);
        while let Some(next) = link(&page, "next") {
            page = get(&server, &officer(), &next);
            pages.push(ids(&page));
        }
        let mut seen: Vec<String> = pages.concat();
        assert_eq!(seen.len(), total, "{query}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), total, "no event comes twice");
        let mut back = pages.len() - 1;
        while let Some(previous) = link(&page, "previous").filter(|_| back > 0) {
            page = get(&server, &officer(), &previous);
            back -= 1;
            assert_eq!(ids(&page), pages[back], "{query}: page {back} from behind");
        }
        assert_eq!(back, 0);
    }
}

#[test]
fn nobody_writes_the_record() {
    let server = hospital();
    let found = get(&server, &officer(), "AuditEvent?_count=1");
    let event = events(&found)[0].clone();
    let url = format!("AuditEvent/{}", event["id"].as_str().unwrap());
    let patch = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "AuditEvent.outcome"},
        {"name": "value", "valueCode": "4"}]}]});
    let system = server.party.clone();
    for writer in [officer(), system.clone(), patient("a")] {
        let wanted = |verb, url: &str, body: Option<&Value>| {
            assert_eq!(status(&server, &writer, verb, url, body), 405, "{url}");
        };
        if !Arc::ptr_eq(&writer, &system) {
            assert_eq!(status(&server, &writer, Verb::Post, "AuditEvent", Some(&event)), 403);
        }
        wanted(Verb::Put, &url, Some(&event));
        wanted(Verb::Put, "AuditEvent?_id=x", Some(&event));
        wanted(Verb::Patch, &url, Some(&patch));
        wanted(Verb::Patch, "AuditEvent?_id=x", Some(&patch));
        wanted(Verb::Delete, &url, None);
        wanted(Verb::Delete, "AuditEvent?_id=x", None);
        for (method, target) in [("PUT", url.as_str()), ("DELETE", url.as_str())] {
            let mut entry = json!({"request": {"method": method, "url": target}});
            if method != "DELETE" {
                entry["resource"] = event.clone();
            }
            let bundle =
                |kind: &str| json!({"resourceType": "Bundle", "type": kind, "entry": [entry.clone()]});
            assert_eq!(status(&server, &writer, Verb::Post, "", Some(&bundle("transaction"))), 405);
            let answer = ask(&server, &writer, Verb::Post, "", Some(&bundle("batch"))).unwrap();
            assert!(answer.body.json().unwrap().contains("405 Method Not Allowed"), "{method}");
        }
    }
    assert_eq!(get(&server, &officer(), &url), event);
}

#[test]
fn what_a_patient_tries_to_change_is_on_record() {
    let server = hospital();
    let observation = json!({"resourceType": "Observation", "id": "of-a", "status": "amended",
        "code": {"text": "pulse"}, "subject": {"reference": "Patient/a"}});
    assert_eq!(status(&server, &patient("a"), Verb::Put, "Observation/of-a", Some(&observation)), 403);
    let refused = get(&server, &officer(), "AuditEvent?patient=Patient/a&outcome=8&subtype=update");
    assert_eq!(events(&refused).len(), 1);
    assert!(refused.to_string().contains("Observation/of-a"));
}

#[test]
fn entries_of_batches_and_transactions_are_events_of_their_own() {
    let server = hospital();
    let entry = |method: &str, url: &str| json!({"request": {"method": method, "url": url}});
    let mut made = entry("POST", "Observation");
    made["resource"] = json!({"resourceType": "Observation", "status": "final", "code": {"text": "pulse"},
        "subject": {"reference": "Patient/a"}});
    let count = |subtype: &str| {
        let url = format!("AuditEvent?patient=Patient/a&subtype={subtype}&_summary=count");
        usize::try_from(get(&server, &officer(), &url)["total"].as_u64().unwrap()).unwrap()
    };
    let before = ["create", "read"].map(count);
    for kind in ["batch", "transaction"] {
        let bundle =
            json!({"resourceType": "Bundle", "type": kind, "entry": [entry("GET", "Patient/a"), made]});
        ask(&server, &server.party, Verb::Post, "", Some(&bundle)).unwrap();
    }
    assert_eq!(["create", "read"].map(count), before.map(|before| before + 2));
}

/// A store that can be made to refuse writes without reporting itself as failed.
struct Failing {
    kv: Arc<dyn Kv>,
    fails: Arc<AtomicBool>,
}

impl Kv for Failing {
    fn snapshot(&self, at: At) -> Result<Box<dyn Snapshot>, StoreError> {
        self.kv.snapshot(at)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        if self.fails.load(Ordering::Relaxed) {
            return Ticket::resolved(Err(CommitError::Full));
        }
        self.kv.commit(batch)
    }
}

#[test]
fn what_cannot_be_recorded_is_not_released() {
    let server = hospital();
    let fails = Arc::new(AtomicBool::new(false));
    for durable_reads in [false, true] {
        let kv: Arc<dyn Kv> = Arc::new(Failing { kv: server.house.kv().clone(), fails: fails.clone() });
        let base = "http://127.0.0.1/fhir";
        let engine = Engine::new(ContextParts {
            options: EngineOptions { durable_reads, ..EngineOptions::new(base) },
            kv,
            index: server.house.index().clone(),
            packing: Arc::default(),
            clock: Arc::new(SystemClock),
            secret: [7; 32],
            settings: Settings::of([HOSPITAL.to_owned()].into()),
            issuer: server.house.issuer(base).unwrap(),
            trust: None,
            audit_signer: None,
            open: None,
        });
        let read = |party: &Arc<Party>| {
            let path = ["Observation", "of-a"].map(str::to_owned).to_vec();
            let (headers, payload) = (Headers::default(), Payload::None);
            let answer = engine
                .handle(party, Request { headers, payload, ..Request::new(Verb::Get, path, Vec::new()) });
            answer.map_or_else(|refusal| refusal.kind.status(), |answer| answer.kind.status())
        };
        assert_eq!((read(&doctor()), read(&patient("a"))), (200, 200));
        fails.store(true, Ordering::Relaxed);
        assert_eq!(read(&doctor()), if durable_reads { 503 } else { 200 });
        assert_eq!((read(&patient("a")), read(&department())), (503, 503));
        fails.store(false, Ordering::Relaxed);
    }
}

pub fn parts<'p>(parameters: &'p Value, name: &str) -> Vec<&'p Value> {
    let all = parameters["parameter"].as_array().into_iter().flatten();
    all.filter(|parameter| parameter["name"] == name).collect()
}

pub fn part<'p>(parameter: &'p Value, name: &str) -> &'p str {
    let found = parameter["part"].as_array().unwrap().iter().find(|part| part["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} in {parameter}")).as_object().unwrap();
    found.iter().find(|(key, _)| key.starts_with("value")).unwrap().1.as_str().unwrap()
}

#[test]
fn the_patient_is_told_who_saw_the_file() {
    let server = hospital();
    get(&server, &doctor(), "Observation?patient=Patient/a,Patient/b");
    get(&server, &doctor(), "Observation/of-a");
    assert_eq!(status(&server, &department(), Verb::Get, "Observation/of-a", None), 404);
    let told = get(&server, &patient("a"), "Patient/a/$who-saw?page=true");
    let accesses = parts(&told, "access");
    assert_eq!((part(accesses[0], "who"), part(accesses[0], "deed")), ("client", "refused"));
    assert_eq!(part(accesses[0], "organization"), "Health Department");
    assert_eq!((part(accesses[1], "who"), part(accesses[1], "organization")), ("Dr Day", "General Hospital"));
    assert_eq!(part(accesses[1], "purpose"), "treatment");
    assert!(part(accesses[1], "text").contains("Dr Day"), "{told}");
    assert!(!told.to_string().contains("Patient/b") && !told.to_string().contains("of-b"));
    assert_eq!(parts(&told, "page")[0]["resource"]["contentType"], "text/html");
    assert_eq!(parts(&get(&server, &patient("a"), "Patient/a/$who-saw?_count=1"), "access").len(), 1);
    assert_eq!(parts(&get(&server, &patient("a"), "Patient/a/$who-saw?end=2020"), "access").len(), 0);
    assert_eq!(status(&server, &patient("b"), Verb::Get, "Patient/a/$who-saw", None), 404);
    assert_eq!(status(&server, &doctor(), Verb::Get, "Patient/a/$who-saw", None), 403);
    let again = get(&server, &patient("a"), "Patient/a/$who-saw?_count=1");
    assert!(part(parts(&again, "access")[0], "text").contains("you saw who saw the file"), "{again}");
}

#[test]
fn disclosures_are_accounted_for_and_may_be_suspended() {
    let server = hospital();
    let account = |party: &Arc<Party>| get(&server, party, "Patient/a/$accounting-of-disclosures?page=true");
    assert_eq!(parts(&account(&patient("a")), "disclosure").len(), 0);
    // Disclosures of data protected by 42 CFR Part 2 are accounted for even if the patient has consented.
    let labelled =
        |code: &str| json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]);
    let mut permit = consent("PUBHLTH");
    permit["provision"]["securityLabel"] = labelled("42CFRPart2");
    let actor = |of: &str| {
        let mut actor = permit["provision"]["actor"][0].clone();
        actor["reference"]["reference"] = json!(of);
        actor
    };
    permit["provision"]["actor"] = json!([actor("Organization/department"), actor(HOSPITAL)]);
    let mut purpose = permit["provision"]["purpose"][0].clone();
    purpose["code"] = json!("TREAT");
    permit["provision"]["purpose"].as_array_mut().unwrap().push(purpose);
    put(&server, &permit);
    put(
        &server,
        &json!({"resourceType": "Observation", "id": "part2", "status": "final", "meta": {"security": labelled("42CFRPart2")},
            "code": {"text": "x"}, "subject": {"reference": "Patient/a"}}),
    );
    for _ in 0..2 {
        get(&server, &department(), "Observation/part2");
    }
    let found = account(&patient("a"));
    let disclosures = parts(&found, "disclosure");
    assert_eq!(disclosures.len(), 1, "{found}");
    assert_eq!(part(disclosures[0], "recipient"), "Health Department");
    assert_eq!(part(disclosures[0], "address"), "1 Main Street, Springfield");
    assert_eq!(part(disclosures[0], "description"), "measurements and test results");
    assert_eq!(part(disclosures[0], "purpose"), "public health, on the basis of the patient's consent");
    let count =
        disclosures[0]["part"].as_array().unwrap().iter().find(|part| part["name"] == "count").unwrap();
    assert_eq!(count["valueInteger"], 2);
    let suspend = |party: &Arc<Party>, until: &str, statement: &str| {
        let given = |name: &str, value: &str| json!({"name": name, "valueString": value});
        let body = json!({"resourceType": "Parameters", "parameter": [given("agency", "Organization/department"),
            given("until", until), given("statement", statement)]});
        ask(&server, party, Verb::Post, "Patient/a/$suspend-accounting", Some(&body))
    };
    assert_eq!(suspend(&doctor(), "2999-01-01", "written").unwrap_err().kind.status(), 403);
    assert_eq!(suspend(&patient("a"), "2999-01-01", "written").unwrap_err().kind.status(), 403);
    let spoken = suspend(&officer(), "2999-01-01", "spoken").unwrap();
    assert!(!spoken.body.json().unwrap().contains("2999"), "a spoken statement lasts thirty days");
    assert_eq!(parts(&account(&patient("a")), "disclosure").len(), 0);
    let who_saw = get(&server, &patient("a"), "Patient/a/$who-saw");
    assert!(!who_saw.to_string().contains("Health Department"));
    assert!(
        !get(&server, &patient("a"), "AuditEvent?_count=200").to_string().contains("Organization/department")
    );
    assert!(
        get(&server, &officer(), "AuditEvent?_count=200").to_string().contains("Organization/department")
    );
    // The patient is not told of the suspension either.
    let tells = |party: &Arc<Party>, url: &str| get(&server, party, url).to_string().contains("suspend");
    assert!(!tells(&patient("a"), "AuditEvent?_count=200") && tells(&officer(), "AuditEvent?_count=200"));
    let told_times = |times: &str| {
        let told = get(&server, &patient("a"), "Patient/a/$who-saw").to_string();
        told.contains(&format!("(a privacy officer) of General Hospital saw who saw the file, {times} times"))
    };
    assert!(told_times("2"), "the officer's two searches of the record");
    suspend(&officer(), "2020-01-01", "written").unwrap();
    assert_eq!(parts(&account(&patient("a")), "disclosure").len(), 1);
    assert!(tells(&patient("a"), "AuditEvent?_count=200"), "when it has ended it is told");
    assert!(told_times("4"), "and both times that the officer has entered it");
}

fn value<'p>(parameters: &'p Value, name: &str) -> &'p str {
    parts(parameters, name)[0]["valueString"].as_str().unwrap()
}

fn hash(hex: &str) -> Hash {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

fn path(parameters: &Value) -> Vec<Hash> {
    parts(parameters, "path").iter().map(|step| hash(step["valueString"].as_str().unwrap())).collect()
}

#[test]
fn proofs_show_that_an_event_is_recorded_and_that_nothing_was_taken_away() {
    let server = hospital();
    let mut roots: Vec<(u64, Hash)> = Vec::new();
    for round in 0..3 {
        for _ in 0..150 * round {
            get(&server, &doctor(), "Observation/of-a");
        }
        let root = get(&server, &officer(), "AuditEvent/$audit-proof");
        roots.push((value(&root, "size").parse().unwrap(), hash(value(&root, "root"))));
    }
    let own = get(&server, &patient("a"), "AuditEvent?_count=1000");
    let own = events(&own);
    for event in [own[0], own[own.len() / 2], own[own.len() - 1]] {
        let url = format!("AuditEvent/{}/$audit-proof", event["id"].as_str().unwrap());
        let proof = get(&server, &patient("a"), &url);
        let (index, size) = (value(&proof, "index").parse().unwrap(), value(&proof, "size").parse().unwrap());
        let reached = root_of_path(hash(value(&proof, "leaf")), index, size, &path(&proof));
        assert_eq!(reached, Some(hash(value(&proof, "root"))));
        let signed = chartward::audit::SignedRoot {
            size,
            root: value(&proof, "root").to_owned(),
            time: value(&proof, "signed").rsplit(' ').next().unwrap().parse().unwrap(),
            key: value(&proof, "key").to_owned(),
            signature: value(&proof, "signature").to_owned(),
        };
        let public = value(&proof, "public");
        let public: Vec<u8> = (0..public.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&public[at..at + 2], 16).unwrap())
            .collect();
        assert!(signed.is_signed_by(&public));
        assert_eq!(status(&server, &patient("b"), Verb::Get, &url, None), 404);
    }
    for (from, old) in &roots {
        let grown = get(&server, &officer(), &format!("AuditEvent/$audit-proof?from={from}"));
        let new = (value(&grown, "size").parse().unwrap(), hash(value(&grown, "root")));
        assert!(is_consistent((*from, *old), new, &path(&grown)), "from {from}");
        assert!(!is_consistent((*from, [7; 32]), new, &path(&grown)));
    }
    let (first, last) = (roots[0], roots[2]);
    let grown = get(&server, &officer(), &format!("AuditEvent/$audit-proof?from={}&to={}", first.0, last.0));
    assert!(is_consistent(first, last, &path(&grown)));
    assert_eq!(status(&server, &patient("a"), Verb::Get, "AuditEvent/$audit-proof", None), 403);
}

//! What scopes permit: each letter and each constraint on every way to a resource.
use std::sync::Arc;

use chartward::auth::{Party, Role, Scopes};
use chartward::operations::{Answer, Headers, Payload, Preference, Refusal, Verb};
use serde_json::{Value, json};

use super::in_process::Server;

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

fn observation(id: &str, patient: &str, category: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": category}]},
        "subject": {"reference": format!("Patient/{patient}")},
    })
}

/// Two patients with a laboratory value and a vital sign each, and resources that refer to them.
fn server() -> Server {
    let server = Server::in_memory();
    let focus = json!({
        "resourceType": "Observation", "id": "focus", "status": "final", "code": {"text": "x"},
        "subject": {"reference": "Patient/q"}, "focus": [{"reference": "Patient/p"}],
    });
    let report = json!({
        "resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": {"text": "x"},
        "subject": {"reference": "Patient/p"},
        "result": [{"reference": "Observation/lab-p"}, {"reference": "Observation/vital-p"}],
    });
    let provenance = json!({
        "resourceType": "Provenance", "id": "v", "recorded": "2020-01-01T00:00:00Z",
        "target": [{"reference": "Observation/lab-p"}], "agent": [{"who": {"reference": "Practitioner/d"}}],
    });
    let resources = [
        json!({"resourceType": "Patient", "id": "p"}),
        json!({"resourceType": "Patient", "id": "q"}),
        json!({"resourceType": "Practitioner", "id": "d"}),
        json!({"resourceType": "Organization", "id": "o", "name": "O"}),
        json!({"resourceType": "Location", "id": "l", "name": "L"}),
        json!({"resourceType": "Medication", "id": "m"}),
        observation("lab-p", "p", "laboratory"),
        observation("vital-p", "p", "vital-signs"),
        observation("lab-q", "q", "laboratory"),
        observation("vital-q", "q", "vital-signs"),
        json!({"resourceType": "Binary", "id": "b-p", "contentType": "text/plain", "data": "AAAA",
            "securityContext": {"reference": "Observation/lab-p"}}),
        json!({"resourceType": "Binary", "id": "b-q", "contentType": "text/plain", "data": "AAAA",
            "securityContext": {"reference": "Patient/q"}}),
        json!({"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "AAAA"}),
        json!({"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"}),
        focus,
        report,
        provenance,
    ];
    for resource in &resources {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
    }
    server
}

/// A professional of the own organization, limited by scopes only.
fn party(scopes: &str) -> Arc<Party> {
    party_of(scopes, None)
}

fn party_of(scopes: &str, patient: Option<&str>) -> Arc<Party> {
    Arc::new(Party {
        role: Role::Clinician,
        scopes: Scopes::parse(scopes),
        patient_context: patient.map(str::to_owned),
        assign_ids: false,
        ..Party::open("Organization/hospital")
    })
}

fn ask(
    server: &Server,
    party: &Arc<Party>,
    verb: Verb,
    url: &str,
    body: Option<&Value>,
) -> Result<Answer, Refusal> {
    let payload = match body {
        None => Payload::None,
        Some(Value::Array(patch)) => Payload::JsonPatch(serde_json::to_vec(patch).unwrap()),
        Some(body) => Payload::Resource(chartward::model::parse(body.to_string().into_bytes()).unwrap()),
    };
    server.send_as(party, verb, url, Headers::default(), payload)
}

fn status(answer: &Result<Answer, Refusal>) -> u16 {
    match answer {
        Ok(answer) => answer.kind.status(),
        Err(refusal) => refusal.kind.status(),
    }
}

fn json_of(answer: Result<Answer, Refusal>) -> Value {
    serde_json::from_str(answer.unwrap().body.json().unwrap()).unwrap()
}

/// `Type/id` of a Bundle's entries, sorted.
fn found(server: &Server, party: &Arc<Party>, url: &str) -> Vec<String> {
    let bundle = json_of(ask(server, party, Verb::Get, url, None));
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let resources =
        entries.iter().map(|entry| &entry["resource"]).filter(|resource| resource["id"].is_string());
    let mut names: Vec<String> = resources
        .map(|it| format!("{}/{}", it["resourceType"].as_str().unwrap(), it["id"].as_str().unwrap()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn version(server: &Server, url: &str) -> String {
    server.get(url)["meta"]["versionId"].as_str().unwrap().to_owned()
}

#[test]
fn each_letter_permits_its_interactions_alone() {
    let server = server();
    let vread = format!("Observation/lab-p/_history/{}", version(&server, "Observation/lab-p"));
    let patch = json!([{"op": "replace", "path": "/status", "value": "amended"}]);
    let lab = observation("lab-p", "p", "laboratory");
    let mut fresh = lab.clone();
    fresh.as_object_mut().unwrap().remove("id");
    let rows: [(&str, Verb, &str, Option<&Value>); 12] = [
        ("c", Verb::Post, "Observation", Some(&fresh)),
        ("r", Verb::Get, "Observation/lab-p", None),
        ("r", Verb::Head, "Observation/lab-p", None),
        ("r", Verb::Get, &vread, None),
        ("r", Verb::Get, "Observation/lab-p/_history", None),
        ("u", Verb::Put, "Observation/lab-p", Some(&lab)),
        ("u", Verb::Patch, "Observation/lab-p", Some(&patch)),
        ("d", Verb::Delete, "Observation/vital-q", None),
        ("s", Verb::Get, "Observation?code=laboratory", None),
        ("s", Verb::Get, "Observation/_history", None),
        ("s", Verb::Get, "Patient/p/Observation", None),
        ("s", Verb::Get, "?_type=Observation", None),
    ];
    for letter in ["c", "r", "u", "d", "s"] {
        let party = party(&format!("user/Observation.{letter} user/Patient.r"));
        for (needed, verb, url, body) in &rows {
            let got = status(&ask(&server, &party, *verb, url, *body));
            let is_permitted = got < 300;
            assert_eq!(is_permitted, *needed == letter, "{letter}: {verb:?} {url} is {got}");
            assert!(is_permitted || got == 403, "{letter}: {verb:?} {url} is {got}");
        }
    }
    assert_eq!(status(&ask(&server, &party("user/Observation.s"), Verb::Get, "_history", None)), 403);
    assert_eq!(status(&ask(&server, &party("user/*.s"), Verb::Get, "_history", None)), 200);
}

#[test]
fn who_may_only_write_gets_nothing_back() {
    let server = server();
    let patch = json!([{"op": "replace", "path": "/status", "value": "amended"}]);
    let headers = Headers { preference: Preference::Representation, ..Headers::default() };
    let send = |scopes: &str| {
        let payload = Payload::JsonPatch(patch.to_string().into_bytes());
        server.send_as(&party(scopes), Verb::Patch, "Observation/lab-p", headers.clone(), payload).unwrap()
    };
    assert!(send("user/Observation.u").body.json().is_none());
    assert!(send("user/Observation.ru").body.json().is_some());
    // A conditional create searches with `s` and creates with `c`.
    let headers =
        Headers { if_none_exist: Some("code=laboratory&patient=p".to_owned()), ..Headers::default() };
    let create = |scopes: &str| {
        let body = observation("x", "p", "laboratory").to_string().into_bytes();
        let payload = Payload::Resource(chartward::model::parse(body).unwrap());
        status(&server.send_as(&party(scopes), Verb::Post, "Observation", headers.clone(), payload))
    };
    assert_eq!(create("user/Observation.c"), 403);
    assert_eq!(create("user/Observation.cs"), 200);
    // A conditional update may create, so it needs `c`, too.
    let update = |scopes: &str| {
        let body = observation("x", "p", "laboratory");
        let body = body.as_object().unwrap().iter().filter(|(name, _)| *name != "id");
        let body: Value = body.map(|(name, value)| (name.clone(), value.clone())).collect();
        status(&ask(&server, &party(scopes), Verb::Put, "Observation?code=laboratory&patient=p", Some(&body)))
    };
    assert_eq!(update("user/Observation.us"), 403);
    assert_eq!(update("user/Observation.cu"), 403);
    assert_eq!(update("user/Observation.cus"), 200);
}

#[test]
fn a_scope_that_cannot_be_read_permits_nothing() {
    let server = server();
    for scope in [
        "user/Observation.dus",
        "user/Observation.sr",
        "user/Observation.rr",
        "user/Observation.r,s",
        "user/Observation.",
        "user/Observation.rs?categry=laboratory",
        "user/Observation.rs?code:in=http://x",
        "user/Observation.rs?subject:Patient.name=x",
        "user/Observation.rs?_count=1",
        "user/Observation.rs?",
        "users/Observation.rs",
    ] {
        let party = party(scope);
        for url in ["Observation", "Observation/lab-p"] {
            assert_eq!(status(&ask(&server, &party, Verb::Get, url, None)), 403, "{scope} {url}");
        }
    }
}

fn constrained() -> String {
    format!(
        "user/Observation.cruds?category={CATEGORY}|laboratory user/Patient.rs user/DiagnosticReport.rs \
         user/Provenance.rs"
    )
}

#[test]
fn a_constraint_holds_wherever_is_read() {
    let server = server();
    let party = party(&constrained());
    let vread = format!("Observation/vital-p/_history/{}", version(&server, "Observation/vital-p"));
    for (url, expected) in [
        ("Observation/lab-p", 200),
        ("Observation/lab-p/_history", 200),
        ("Observation/vital-p", 404),
        ("Observation/vital-p/_history", 404),
        (vread.as_str(), 404),
    ] {
        assert_eq!(status(&ask(&server, &party, Verb::Get, url, None)), expected, "{url}");
    }
    let outcome = |url: &str| ask(&server, &party, Verb::Get, url, None).unwrap_err().outcome.to_json();
    assert_eq!(outcome("Observation/vital-p"), outcome("Observation/nothing"));
    let labs = ["Observation/lab-p", "Observation/lab-q"];
    for (url, expected) in [
        ("Observation", labs.as_slice()),
        ("Observation?_sort=-_lastUpdated", &labs),
        ("Observation?code=vital-signs", &[]),
        ("Observation/_history", &labs),
        ("Patient/p/Observation", &["Observation/lab-p"]),
        ("DiagnosticReport?_include=DiagnosticReport:result", &["DiagnosticReport/r", "Observation/lab-p"]),
        ("Patient?_id=p&_revinclude=Observation:subject", &["Observation/lab-p", "Patient/p"]),
        (
            "Provenance?_include=Provenance:target&_include:iterate=Observation:subject",
            &["Observation/lab-p", "Patient/p", "Provenance/v"],
        ),
        ("DiagnosticReport?result.code=vital-signs", &[]),
        ("DiagnosticReport?result.code=laboratory", &["DiagnosticReport/r"]),
        ("Patient?_has:Observation:patient:code=vital-signs", &[]),
        ("Patient?_has:Observation:patient:code=laboratory", &["Patient/p", "Patient/q"]),
        ("?_type=Observation,Patient", &["Observation/lab-p", "Observation/lab-q", "Patient/p", "Patient/q"]),
    ] {
        assert_eq!(found(&server, &party, url), expected, "{url}");
    }
    let total = |url: &str| json_of(ask(&server, &party, Verb::Get, url, None))["total"].clone();
    assert_eq!(total("Observation?_summary=count"), 2);
    assert_eq!(total("Observation?_total=accurate&_count=1"), 2);
    assert_eq!(total("Observation/_history"), 2);
}

#[test]
fn a_constraint_holds_for_what_is_written() {
    let server = server();
    let party = party(&constrained());
    let send = |verb, url: &str, body: Option<&Value>| status(&ask(&server, &party, verb, url, body));
    let relabel = json!([{"op": "replace", "path": "/category/0/coding/0/code", "value": "vital-signs"}]);
    assert_eq!(send(Verb::Post, "Observation", Some(&observation("x", "p", "laboratory"))), 201);
    assert_eq!(send(Verb::Post, "Observation", Some(&observation("x", "p", "vital-signs"))), 403);
    assert_eq!(send(Verb::Put, "Observation/lab-p", Some(&observation("lab-p", "p", "laboratory"))), 200);
    assert_eq!(send(Verb::Put, "Observation/lab-p", Some(&observation("lab-p", "p", "vital-signs"))), 403);
    assert_eq!(send(Verb::Patch, "Observation/lab-p", Some(&relabel)), 403);
    // Hidden resources are answered as if absent.
    let absent = send(Verb::Put, "Observation/nothing", Some(&observation("nothing", "p", "laboratory")));
    let hidden = send(Verb::Put, "Observation/vital-p", Some(&observation("vital-p", "p", "laboratory")));
    assert_eq!((absent, hidden), (405, 405));
    assert_eq!(send(Verb::Patch, "Observation/vital-p", Some(&relabel)), 404);
    assert_eq!(send(Verb::Delete, "Observation/vital-p", None), 204);
    assert_eq!(server.get("Observation/vital-p")["status"], "final", "it is still there");
    // A condition finds only resources within the scope.
    assert_eq!(send(Verb::Delete, "Observation?code=vital-signs&patient=p", None), 204);
    assert_eq!(server.get("Observation/vital-p")["status"], "final", "it is still there");
    let headers =
        Headers { if_none_exist: Some("code=vital-signs&patient=p".to_owned()), ..Headers::default() };
    let body = observation("x", "p", "laboratory").to_string().into_bytes();
    let payload = Payload::Resource(chartward::model::parse(body).unwrap());
    assert_eq!(status(&server.send_as(&party, Verb::Post, "Observation", headers, payload)), 201);
}

#[test]
fn a_constraint_holds_in_bundles() {
    let server = server();
    let party = party(&constrained());
    let entry = |method: &str, url: &str, resource: Option<Value>| json!({"request": {"method": method, "url": url}, "resource": resource});
    let bundle = |kind: &str, entries: &[Value]| {
        let mut entries = entries.to_vec();
        for entry in &mut entries {
            entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        json!({"resourceType": "Bundle", "type": kind, "entry": entries})
    };
    let reads = [
        entry("GET", "Observation/lab-p", None),
        entry("GET", "Observation/vital-p", None),
        entry("GET", "Practitioner/d", None),
        entry("POST", "Observation", Some(observation("x", "p", "vital-signs"))),
    ];
    let answer = json_of(ask(&server, &party, Verb::Post, "", Some(&bundle("batch", &reads))));
    let statuses: Vec<String> = answer["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned())
        .collect();
    assert_eq!(statuses, ["200", "404", "403", "403"]);
    let writes = [
        entry("POST", "Observation", Some(observation("x", "p", "laboratory"))),
        entry("POST", "Observation", Some(observation("x", "p", "vital-signs"))),
    ];
    let before = server.get("Observation?_summary=count")["total"].clone();
    assert_eq!(status(&ask(&server, &party, Verb::Post, "", Some(&bundle("transaction", &writes)))), 403);
    assert_eq!(server.get("Observation?_summary=count")["total"], before, "all or nothing");
    let reads = bundle("transaction", &[entry("GET", "Observation?_summary=count", None)]);
    let answer = json_of(ask(&server, &party, Verb::Post, "", Some(&reads)));
    assert_eq!(answer["entry"][0]["resource"]["total"], 2);
}

#[test]
fn scopes_add_up_letter_by_letter() {
    let server = server();
    let lab = format!("user/Observation.rs?category={CATEGORY}|laboratory");
    let all = 5;
    for (scopes, searched, vital) in [
        (lab.clone(), 2, 404),
        (format!("{lab} user/*.rs"), all, 200),
        (format!("{lab} user/Observation.rs"), all, 200),
        (format!("{lab} user/Observation.rs?category=vital-signs"), 4, 200),
        (format!("{lab} user/Observation.r"), 2, 200),
        (format!("{lab} user/Observation.s"), all, 404),
        (format!("{lab} user/Observation.dus"), 2, 404),
        ("user/Observation.r?category=vital-signs user/Observation.s?category=laboratory".to_owned(), 2, 200),
    ] {
        let party = party(&scopes);
        assert_eq!(found(&server, &party, "Observation").len(), searched, "{scopes}");
        assert_eq!(status(&ask(&server, &party, Verb::Get, "Observation/vital-p", None)), vital, "{scopes}");
    }
}

#[test]
fn what_a_header_stores_is_within_the_scopes_as_well() {
    let server = server();
    let header = json!({
        "resourceType": "Provenance", "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/d"}}],
    });
    let headers = || Headers { provenance: Some(header.to_string()), ..Headers::default() };
    let body = json!({"resourceType": "Patient", "id": "p", "gender": "female"});
    let put = |party: &Arc<Party>| {
        let payload = Payload::Resource(chartward::model::parse(body.to_string().into_bytes()).unwrap());
        server.send_as(party, Verb::Put, "Patient/p", headers(), payload)
    };
    let written = || found(&server, &party("user/*.rs"), "Provenance?target=Patient/p").len();
    assert_eq!(status(&put(&party("user/Patient.cruds"))), 403);
    let read = json_of(ask(&server, &party("user/*.rs"), Verb::Get, "Patient/p", None));
    assert_eq!((read.get("gender"), written()), (None, 0), "neither of them was written");
    assert_eq!(status(&put(&party("user/Patient.cruds user/Provenance.c"))), 200);
    assert_eq!(written(), 1);
}

#[test]
fn the_patient_level_is_one_patients_data() {
    let server = server();
    let of_p = party_of("patient/*.cruds", Some("p"));
    for (url, expected) in [
        ("Observation", ["Observation/lab-p", "Observation/vital-p"].as_slice()),
        ("Patient", &["Patient/p"]),
        ("Observation?_revinclude=Provenance:target&code=laboratory", &["Observation/lab-p", "Provenance/v"]),
        ("Practitioner", &["Practitioner/d"]),
        ("Organization", &["Organization/o"]),
        ("Location", &["Location/l"]),
        ("Medication", &["Medication/m"]),
        // A resource that could be about a patient but is about none is not in the patient's data.
        ("Task", &[]),
        ("Binary", &["Binary/b-p"]),
    ] {
        assert_eq!(found(&server, &of_p, url), expected, "{url}");
    }
    for (url, expected) in [("Binary/b-p", 200), ("Binary/b-q", 404), ("Binary/b", 404), ("Task/t", 404)] {
        assert_eq!(status(&ask(&server, &of_p, Verb::Get, url, None)), expected, "{url}");
    }
    // A resource that refers to the patient other than as its subject is not in the patient's data.
    assert_eq!(status(&ask(&server, &of_p, Verb::Get, "Observation/focus", None)), 404);
    assert_eq!(status(&ask(&server, &of_p, Verb::Get, "Patient/q", None)), 404);
    assert_eq!(found(&server, &party_of("patient/*.rs", Some("q")), "Provenance"), Vec::<String>::new());
    // The party cannot write about another patient or about none either.
    let send = |body: &Value| status(&ask(&server, &of_p, Verb::Post, "Observation", Some(body)));
    assert_eq!(send(&observation("x", "p", "laboratory")), 201);
    assert_eq!(send(&observation("x", "q", "laboratory")), 403);
    let of_nobody = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}});
    assert_eq!(send(&of_nobody), 403);
    // A user-level scope with another letter does not lift the limit.
    let mixed = party_of("patient/Observation.rs user/Observation.c", None);
    assert_eq!(found(&server, &mixed, "Observation"), Vec::<String>::new());
}

#[test]
fn without_a_patient_the_patient_level_has_no_patients_data() {
    let server = server();
    let party = party_of("patient/*.rs", None);
    for url in ["Observation", "Patient", "DiagnosticReport", "Provenance", "Observation/_history"] {
        assert_eq!(found(&server, &party, url), Vec::<String>::new(), "{url}");
    }
    for url in ["Patient/p", "Observation/lab-p", "Observation/lab-p/_history", "Patient/p/Observation"] {
        assert_eq!(status(&ask(&server, &party, Verb::Get, url, None)), 404, "{url}");
    }
    assert_eq!(found(&server, &party, "Practitioner"), ["Practitioner/d"]);
}

#[test]
fn a_patient_whose_launch_is_for_another_sees_neither() {
    let server = server();
    let patient = |scopes: &str, context: Option<&str>| {
        Arc::new(Party {
            role: Role::Patient,
            fhir_user: Some("Patient/p".to_owned()),
            organization: None,
            purposes: vec!["PATRQT".to_owned()],
            scopes: Scopes::parse(scopes),
            patient_context: context.map(str::to_owned),
            assign_ids: false,
            ..Party::open("Organization/hospital")
        })
    };
    let own = ["Observation/lab-p", "Observation/vital-p"];
    assert_eq!(found(&server, &patient("patient/*.rs", None), "Observation"), own);
    assert_eq!(found(&server, &patient("patient/*.rs", Some("p")), "Observation"), own);
    assert_eq!(found(&server, &patient("patient/*.rs", Some("q")), "Observation"), Vec::<String>::new());
    // The launch patient does not narrow the user-level scopes.
    assert_eq!(found(&server, &patient("patient/*.rs user/*.rs", Some("q")), "Observation"), own);
}

#[test]
fn an_app_launched_for_another_patient_is_told_nothing_of_denials() {
    let server = server();
    let denial = json!({
        "resourceType": "Consent", "id": "c", "status": "active", "patient": {"reference": "Patient/q"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policy": [{"uri": "urn:example:policy"}],
        "provision": {"type": "deny", "action": [{"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "collect"}]}]},
    });
    server
        .send(
            Verb::Put,
            "Patient/free",
            Headers::default(),
            Some(&json!({"resourceType": "Patient", "id": "free"})),
        )
        .unwrap();
    server.send(Verb::Put, "Consent/c", Headers::default(), Some(&denial)).unwrap();
    let doctor = Arc::new(Party {
        role: Role::Clinician,
        fhir_user: Some("Practitioner/d".to_owned()),
        scopes: Scopes::parse("patient/*.cruds"),
        patient_context: Some("p".to_owned()),
        assign_ids: false,
        ..Party::open("Organization/hospital")
    });
    let refused = |patient: &str| {
        let about = observation("new", patient, "laboratory");
        let answer = ask(&server, &doctor, Verb::Post, "Observation", Some(&about)).unwrap_err();
        format!("{:?} {:?}", answer.kind, answer.outcome)
    };
    assert!(
        ask(&server, &doctor, Verb::Post, "Observation", Some(&observation("new", "p", "laboratory")))
            .is_ok()
    );
    assert_eq!(refused("q"), refused("free"), "one denies it, the other does not");
}

#[test]
fn leniency_of_a_registration_is_for_searches_alone() {
    let server = server();
    let strict = party("user/*.cruds");
    let lenient = Arc::new(Party { lenient: true, ..(*strict).clone() });
    assert_eq!(status(&ask(&server, &strict, Verb::Get, "Patient?colour=red", None)), 400);
    let bundle = json_of(ask(&server, &lenient, Verb::Get, "Patient?colour=red&_id=p", None));
    assert_eq!(bundle["total"], 1);
    let own = bundle["link"][0]["url"].as_str().unwrap();
    assert!(own.contains("_id=p") && !own.contains("colour"), "{own}");
    assert!(bundle.to_string().contains("`colour` was ignored"), "{bundle}");
    assert_eq!(status(&ask(&server, &lenient, Verb::Get, "Patient?birthdate=soon", None)), 400);
    assert_eq!(status(&ask(&server, &lenient, Verb::Delete, "Patient?colour=red", None)), 400);
}

#[test]
fn a_registration_with_a_patient_confines_every_scope_to_that_patient() {
    let server = server();
    for scopes in ["user/*.cruds", "system/*.cruds", "patient/*.cruds"] {
        let free = party_of(scopes, Some("p"));
        let confined = Arc::new(Party { confined_to: Some("p".to_owned()), ..(*free).clone() });
        let shown = found(&server, &confined, "Observation");
        assert_eq!(shown, ["Observation/lab-p", "Observation/vital-p"], "{scopes}");
        assert_eq!(found(&server, &confined, "Patient"), ["Patient/p"], "{scopes}");
        for (url, status_of) in
            [("Patient/p", 200), ("Patient/q", 404), ("Observation/lab-q", 404), ("Organization/o", 200)]
        {
            if scopes == "patient/*.cruds" && url == "Organization/o" {
                continue;
            }
            assert_eq!(status(&ask(&server, &confined, Verb::Get, url, None)), status_of, "{scopes} {url}");
        }
        for url in
            ["Patient/q/$everything", "Patient/q/$who-saw", "Patient/q/$meta", "Observation/lab-q/_history"]
        {
            assert!(status(&ask(&server, &confined, Verb::Get, url, None)) >= 400, "{scopes} {url}");
        }
        let other = observation("lab-q", "q", "laboratory");
        assert!(
            status(&ask(&server, &confined, Verb::Put, "Observation/lab-q", Some(&other))) >= 400,
            "{scopes}"
        );
        // Deleting a hidden resource is answered like deleting one that never existed.
        assert_eq!(
            status(&ask(&server, &confined, Verb::Delete, "Observation/lab-q", None)),
            status(&ask(&server, &confined, Verb::Delete, "Observation/never", None)),
            "{scopes}"
        );
    }
    assert_eq!(server.get("Observation/lab-q")["status"], "final");
}

#[test]
fn a_provenance_in_a_header_has_the_subjects_of_what_is_written_with_it() {
    let server = server();
    let writer = party_of("patient/Observation.crus patient/Provenance.crs patient/Patient.rs", Some("p"));
    let provenance = json!({"resourceType": "Provenance", "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"who": {"reference": "Patient/p"}}]});
    let send = |patient: &str| {
        let headers = Headers { provenance: Some(provenance.to_string()), ..Headers::default() };
        let mut made = observation("x", patient, "laboratory");
        made.as_object_mut().unwrap().remove("id");
        let payload = Payload::Resource(chartward::model::parse(made.to_string().into_bytes()).unwrap());
        status(&server.send_as(&writer, Verb::Post, "Observation", headers, payload))
    };
    assert_eq!(send("p"), 201);
    assert!(send("q") >= 400);
    assert_eq!(found(&server, &writer, "Provenance?_summary=false").len(), 2);
}

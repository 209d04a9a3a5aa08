//! Histories: the pages together make the whole, whatever is written meanwhile; later restrictions apply across pages; long
//! histories are read once.
use std::sync::Arc;
use std::time::{Duration, Instant};

use chartward::auth::{Party, Role, Scopes};
use chartward::operations::{Headers, Payload, Verb};
use serde_json::{Value, json};

use crate::in_process::Server;

fn put(server: &Server, resource: &Value) {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
}

fn patient(id: usize, version: usize) -> Value {
    json!({"resourceType": "Patient", "id": format!("p{id}"), "multipleBirthInteger": version})
}

/// Identifies an entry: resource, version and method.
fn entries(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let of = |entry: &Value| {
        let parts = [&entry["fullUrl"], &entry["response"]["etag"], &entry["request"]["method"]];
        parts.map(|part| part.as_str().unwrap().to_owned()).join(" ")
    };
    entries.iter().map(of).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let link = bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next")?;
    Some(link["url"].as_str().unwrap().strip_prefix("http://127.0.0.1/fhir/").unwrap().to_owned())
}

fn time_of(server: &Server, url: &str) -> String {
    server.get(url)["meta"]["lastUpdated"].as_str().unwrap().to_owned()
}

#[test]
fn pages_are_the_whole_while_others_write() {
    let server = Server::in_memory();
    let mut middle = String::new();
    for version in 0..12 {
        for id in 0..4 {
            put(&server, &patient(id, version + 1));
            if version % 5 == id {
                server.send(Verb::Delete, &format!("Patient/p{id}"), Headers::default(), None).unwrap();
            }
        }
        put(&server, &json!({"resourceType": "Organization", "id": "o", "name": format!("O{version}")}));
        if version == 6 {
            middle = time_of(&server, "Organization/o");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let middle = middle.replace('+', "%2B");
    for (path, least) in [
        ("_history?", 60),
        ("Patient/_history?", 48),
        ("Patient/p1/_history?", 13),
        ("Organization/o/_history?", 12),
        (&format!("_history?_since={middle}&"), 20),
        (&format!("Patient/p2/_history?_since={middle}&"), 5),
        (&format!("_history?_at={middle}&"), 4),
        (&format!("Patient/_history?_at={middle}&"), 3),
        (&format!("Organization/o/_history?_at={middle}&"), 1),
    ] {
        let whole = server.get(&format!("{path}_count=1000"));
        let expected = entries(&whole);
        assert!(expected.len() >= least, "{path} {}", expected.len());
        assert_eq!(whole["total"], expected.len(), "{path}");
        assert_eq!(next(&whole), None, "{path}");
        let (mut found, mut url, mut round) = (Vec::new(), Some(format!("{path}_count=3")), 100);
        while let Some(page) = url.map(|url| server.get(&url)) {
            found.extend(entries(&page));
            url = next(&page);
            assert!(entries(&page).len() == 3 || url.is_none(), "{path}: only the last page is shorter");
            round += 1;
            put(&server, &patient(round % 4, round));
            put(&server, &json!({"resourceType": "Organization", "id": "o", "name": format!("O{round}")}));
        }
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn totals_are_told_where_few_are_seen() {
    let server = Server::in_memory();
    for version in 0..30 {
        put(&server, &patient(0, version + 1));
    }
    for (url, total) in [
        ("Patient/p0/_history?_count=1", json!(30)),
        ("Patient/p0/_history?_count=0", json!(30)),
        ("Patient/_history?_count=20", json!(30)),
        ("Patient/_history?_count=1", Value::Null),
        ("_history?_count=1", Value::Null),
        ("_history?_count=50", json!(30)),
    ] {
        let bundle = server.get(url);
        assert_eq!(bundle["total"], total, "{url}");
        if let Some(next) = next(&bundle) {
            assert_eq!(server.get(&next)["total"], total, "the page after {url}");
        }
    }
}

#[test]
fn what_came_later_holds_on_every_page() {
    let server = Server::in_memory();
    put(&server, &patient(0, 1));
    let observation = |number: i32, category: &str| {
        json!({"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, "valueInteger": number,
            "subject": {"reference": "Patient/p0"},
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}]})
    };
    // Versions older than one that no scope of the party reaches are hidden with it.
    for (number, category) in
        (0..).zip(["laboratory", "laboratory", "vital-signs", "laboratory", "laboratory"])
    {
        put(&server, &observation(number, category));
    }
    let scope = "user/Observation.rs?category=laboratory";
    let party = Arc::new(Party {
        role: Role::Clinician,
        scopes: Scopes::parse(scope),
        assign_ids: false,
        ..Party::open("Organization/hospital")
    });
    let get = |url: &str| -> Value {
        let answer = server.send_as(&party, Verb::Get, url, Headers::default(), Payload::None).unwrap();
        serde_json::from_str(answer.body.json().unwrap()).unwrap()
    };
    for path in ["Observation/o/_history", "Observation/_history"] {
        let whole = get(&format!("{path}?_count=10"));
        assert_eq!((entries(&whole).len(), &whole["total"]), (2, &json!(2)), "{path}");
        let first = get(&format!("{path}?_count=1"));
        let second = get(&next(&first).unwrap());
        assert_eq!([entries(&first), entries(&second)].concat(), entries(&whole), "{path}");
        assert_eq!(next(&second), None, "what is hidden makes no page: {path}");
    }
    // A resource that becomes hidden after the first page does not appear on the next one.
    let first = get("Observation/_history?_count=1");
    put(&server, &observation(5, "vital-signs"));
    assert_eq!(entries(&get(&next(&first).unwrap())), Vec::<String>::new());
}

#[test]
fn a_long_history_is_read_once() {
    let server = Server::in_memory();
    for version in 0..600 {
        put(&server, &patient(0, version + 1));
    }
    let start = Instant::now();
    let page = server.get("Patient/p0/_history?_count=1");
    assert_eq!((entries(&page).len(), &page["total"]), (1, &json!(600)));
    assert_eq!(entries(&server.get("Patient/p0/_history?_count=1000")).len(), 600);
    assert_eq!(entries(&server.get("_history?_count=1")).len(), 1);
    // Reading the later versions again for each version would take more than ten times the time allowed here.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

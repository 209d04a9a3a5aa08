//! Concurrency: identical conditional creates make one resource, updates of one resource lose nothing, and pages stay consistent
//! while others write.
use std::collections::HashSet;

use chartward::operations::{Headers, Verb};
use serde_json::json;

use crate::in_process::Server;

#[test]
fn a_thousand_identical_conditional_creates_make_one_resource() {
    let server = Server::new();
    let patient = json!({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "once"}]});
    let created: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut created = 0;
                    for _ in 0..50 {
                        let criteria = Some("identifier=urn:mrn|once".to_owned());
                        let headers = Headers { if_none_exist: criteria, ..Headers::default() };
                        let answer = server.send(Verb::Post, "Patient", headers, Some(&patient)).unwrap();
                        created += usize::from(answer.kind.status() == 201);
                    }
                    created
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(created, 1);
    assert_eq!(server.get("Patient?identifier=urn:mrn|once&_summary=count")["total"], 1);
    assert!(server.house.verify().unwrap().faults.is_empty());
}

#[test]
fn updates_with_if_match_lose_nothing() {
    let server = Server::new();
    let start = json!({"resourceType": "Patient", "id": "p", "multipleBirthInteger": 0});
    server.send(Verb::Put, "Patient/p", Headers::default(), Some(&start)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut done = 0;
                while done < 25 {
                    let mut patient = server.get("Patient/p");
                    let version = patient["meta"]["versionId"].as_str().unwrap().to_owned();
                    let count = patient["multipleBirthInteger"].as_i64().unwrap();
                    patient["multipleBirthInteger"] = json!(count + 1);
                    let headers =
                        Headers { if_match: Some(format!("W/\"{version}\"")), ..Headers::default() };
                    match server.send(Verb::Put, "Patient/p", headers, Some(&patient)) {
                        Ok(_) => done += 1,
                        Err(refusal) => assert!([409, 412].contains(&refusal.kind.status()), "{refusal:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(server.get("Patient/p")["multipleBirthInteger"], 100);
    assert_eq!(server.get("Patient/p/_history?_count=0")["total"], 101);
}

#[test]
fn pages_are_of_the_first_page_while_others_write() {
    let server = Server::new();
    let patient =
        |number: usize| json!({"resourceType": "Patient", "id": format!("n{number}"), "active": true});
    for number in 0..60 {
        server
            .send(Verb::Put, &format!("Patient/n{number}"), Headers::default(), Some(&patient(number)))
            .unwrap();
    }
    let mut url = "Patient?active=true&_count=7&_total=accurate".to_owned();
    let mut seen = Vec::new();
    for page in 0.. {
        let bundle = server.get(&url);
        assert_eq!(bundle["total"], 60);
        let entries = bundle["entry"].as_array().unwrap();
        seen.extend(entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()));
        // Between pages, some resources are deleted, some created, some changed.
        let gone = format!("Patient/n{}", page * 5);
        server.send(Verb::Delete, &gone, Headers::default(), None).unwrap();
        let number = 1_000 + page;
        server
            .send(Verb::Put, &format!("Patient/n{number}"), Headers::default(), Some(&patient(number)))
            .unwrap();
        let links = bundle["link"].as_array().unwrap();
        let next = links.iter().find(|link| link["relation"] == "next");
        let Some(next) = next else { break };
        url = next["url"].as_str().unwrap().strip_prefix("http://127.0.0.1/fhir/").unwrap().to_owned();
    }
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "a resource stood on two pages");
    assert_eq!(seen.len(), 60, "{seen:?}");
}

//! Search parameters that are added while the server runs: indexed meanwhile, searchable when complete, gone when deleted; and
//! an index that was made by another release.
use std::sync::atomic::{AtomicBool, Ordering};

use chartward::operations::{Headers, Verb};
use serde_json::{Value, json};

use crate::in_process::Server;

fn search_parameter(code: &str, kind: &str, base: &str, expression: &str) -> Value {
    json!({
        "resourceType": "SearchParameter", "id": code, "url": format!("http://example.org/sp/{code}"), "name": code,
        "status": "active", "description": code, "code": code, "base": [base], "type": kind,
        "expression": expression
    })
}

fn put(server: &Server, resource: &Value) {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
}

fn patient(number: usize) -> Value {
    let status = if number.is_multiple_of(2) { "M" } else { "S" };
    json!({
        "resourceType": "Patient", "id": format!("p{number}"),
        "maritalStatus": {"coding": [{"system": "http://m", "code": status}]},
        "multipleBirthInteger": number % 5
    })
}

fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
}

fn catch_up(server: &Server) {
    server.house.index().catch_up(&**server.house.kv(), false, &|| true).unwrap();
}

fn is_whole(server: &Server) {
    assert_eq!(server.house.verify().unwrap().faults, Vec::<String>::new());
}

#[test]
fn an_added_parameter_is_indexed_and_then_found_by() {
    let server = Server::new();
    (0..20).for_each(|number| put(&server, &patient(number)));
    assert_eq!(server.refused(Verb::Get, "Patient?marital=M", None).0, 400);
    put(&server, &search_parameter("marital", "token", "Patient", "Patient.maritalStatus"));
    put(&server, &search_parameter("birth-number", "number", "Patient", "Patient.multipleBirth as integer"));
    // Until it is complete, searches by it are refused with that reason, and it is not advertised.
    let (status, outcome) = server.refused(Verb::Get, "Patient?marital=M", None);
    assert_eq!(status, 400);
    assert!(outcome.contains("being indexed"), "{outcome}");
    let advertised = |server: &Server| {
        let resources = server.get("metadata")["rest"][0]["resource"].as_array().unwrap().clone();
        let patient = resources.iter().find(|resource| resource["type"] == "Patient").unwrap().clone();
        patient["searchParam"].as_array().unwrap().iter().any(|param| param["name"] == "marital")
    };
    assert!(!advertised(&server));
    catch_up(&server);
    assert!(advertised(&server));
    assert_eq!(ids(&server.get("Patient?marital=http://m|M&birth-number=4")), ["p4", "p14"]);
    assert_eq!(server.get("Patient?marital:not=M&_summary=count")["total"], 10);
    assert_eq!(ids(&server.get("Patient?birth-number=gt3&_sort=-birth-number&_count=2")), ["p4", "p9"]);
    // Later writes index the new parameter at once.
    put(&server, &patient(24));
    assert_eq!(ids(&server.get("Patient?marital=M&birth-number=4")), ["p4", "p14", "p24"]);
    is_whole(&server);
    // Changing the definition makes a new index; deleting it removes the index.
    put(
        &server,
        &search_parameter("marital", "token", "Patient", "Patient.maritalStatus.coding.where(code = 'S')"),
    );
    assert_eq!(server.refused(Verb::Get, "Patient?marital=M", None).0, 400);
    catch_up(&server);
    assert_eq!(server.get("Patient?marital=M&_summary=count")["total"], 0);
    assert_eq!(server.get("Patient?marital=S&_summary=count")["total"], 10);
    server.send(Verb::Delete, "SearchParameter/marital", Headers::default(), None).unwrap();
    catch_up(&server);
    assert!(server.refused(Verb::Get, "Patient?marital=S", None).1.contains("unknown parameter"));
    is_whole(&server);
}

#[test]
fn nothing_is_missed_while_others_write() {
    let server = Server::new();
    (0..600).for_each(|number| put(&server, &patient(number)));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 600.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                // New resources, and changes of those being indexed.
                put(&server, &patient(number));
                let mut changed = patient(number % 600);
                changed["maritalStatus"]["coding"][0]["code"] = json!("W");
                put(&server, &changed);
            }
        });
        put(&server, &search_parameter("marital", "token", "Patient", "Patient.maritalStatus"));
        let indexed = server.house.index().catch_up(&**server.house.kv(), false, &|| true);
        // The other thread must end whatever the result.
        is_done.store(true, Ordering::Relaxed);
        indexed.unwrap();
    });
    let count =
        |query: &str| server.get(&format!("Patient?{query}_summary=count"))["total"].as_u64().unwrap();
    assert_eq!(count("marital=M,S,W&"), count(""));
    is_whole(&server);
}

#[test]
fn what_cannot_be_served_is_kept_and_told() {
    let server = Server::new();
    put(&server, &search_parameter("gender", "token", "Patient", "Patient.gender"));
    put(&server, &search_parameter("broken", "token", "Patient", "Patient.where("));
    put(&server, &search_parameter("marital", "token", "Patient", "Patient.maritalStatus"));
    catch_up(&server);
    let unserved = server.house.index().progress().unserved;
    let reason = |code: &str| {
        let found = unserved.iter().find(|(url, _)| url.ends_with(code));
        found.map(|(_, reason)| reason.clone()).unwrap_or_default()
    };
    assert!(reason("/gender").contains("the standard's parameter"), "{unserved:?}");
    assert!(reason("/broken").contains("its expression"), "{unserved:?}");
    assert_eq!(reason("/marital"), "");
    assert_eq!(server.get("Patient?marital=M&_summary=count")["total"], 0);
}

#[test]
fn an_index_of_another_release_is_made_anew() {
    use chartward::store::{Batch, Write, indexed_key};
    let server = Server::new();
    (0..5).for_each(|number| put(&server, &patient(number)));
    let write = Write { key: indexed_key(), value: Some(b"{\"types\":{}}".to_vec()), ..Write::default() };
    server.house.kv().commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
    let index = server.house.index();
    assert!(index.is_of_another_release(&**server.house.kv()).unwrap());
    catch_up(&server);
    assert!(!index.is_of_another_release(&**server.house.kv()).unwrap());
    assert_eq!(index.catch_up(&**server.house.kv(), true, &|| true).unwrap(), 5);
    is_whole(&server);
}

//! Searches of AuditEvents give the same answer whether the events are indexed or not: events made from access records, events
//! of other systems, and events of searches that concerned many patients.
use std::sync::Arc;

use chartward::audit::{Access, Action, Item, verify_index, writes};
use chartward::auth::{Party, Role};
use chartward::operations::Verb;
use chartward::store::{At, Batch, Sequence};
use serde_json::{Value, json};

use crate::audit::{HOSPITAL, ask, department, doctor, get, officer, patient, put};
use crate::in_process::Server;

/// More patients than one access record lists.
const PATIENTS: usize = 70;
/// More access records than one segment holds.
const RECORDS: u32 = 1_100;

fn hospital() -> Server {
    let server = Server::in_memory();
    for number in 0..PATIENTS {
        let id = format!("p{number}");
        put(&server, &json!({"resourceType": "Patient", "id": id, "name": [{"family": "Smith"}]}));
    }
    server
}

/// An AuditEvent of another system: its `recorded` time is not that of the request that stored it.
fn event(recorded: &str, patient: &str) -> Value {
    let coding = |system: &str, code: &str| json!({"system": system, "code": code});
    json!({"resourceType": "AuditEvent", "recorded": recorded, "outcome": "4",
        "type": coding("http://dicom.nema.org/resources/ontology/DCM", "110100"),
        "agent": [{"requestor": true, "name": "Laboratory", "altId": "lab", "who": {"display": "the laboratory"}}],
        "source": {"observer": {"display": "laboratory system"}},
        "entity": [{"what": {"reference": patient}}]})
}

/// Writes access records directly to the store, without the interactions.
fn reads(server: &Server, from: u32, len: u32) {
    let clerk =
        Party { subject: "clerk".to_owned(), purposes: vec!["HPAYMT".to_owned()], ..(*doctor()).clone() };
    let nurse = Party { subject: "nurse".to_owned(), ..(*doctor()).clone() };
    for number in from..from + len {
        let party = if number % 50 == 0 { &clerk } else { &nurse };
        let time = 1_767_225_600_000 + i64::from(number) * 1_000;
        let mut access = Access::of(party, "read", Action::Read, "GET /Observation/o".to_owned(), time);
        access.patients.push(format!("Patient/p{}", number % 7));
        access.status = if number % 30 == 0 { 404 } else { 200 };
        let what = format!("Observation/o{}/_history/1", number % 400);
        access.released.push(Item { what, about: Some(vec![0]), ..Item::default() });
        server.house.kv().commit(Batch { writes: writes(&access, 0), ..Batch::default() }).wait().unwrap();
    }
}

fn fill(server: &Server) {
    reads(server, 0, RECORDS / 2);
    let system = crate::audit::party(Role::System, Some(HOSPITAL), None, "TREAT");
    for (recorded, patient) in
        [("2026-01-01T00:00:30.5+01:00", "Patient/p1"), ("2019-05-05T00:00:00Z", "Patient/p2")]
    {
        ask(server, &system, Verb::Post, "AuditEvent", Some(&event(recorded, patient))).unwrap();
    }
    // A count over data of all patients that shows none of them.
    get(server, &department(), "Patient?family=Smith&_summary=count");
    get(server, &doctor(), "Patient?family=Smith&_summary=count");
    server.engine.look_up_unshown(Sequence(u64::MAX), None).unwrap();
    reads(server, RECORDS / 2, RECORDS / 2);
}

/// The totals, and the ids on all pages forwards and on the last three backwards.
fn found(server: &Server, party: &Arc<Party>, query: &str) -> (Value, Value, Vec<String>) {
    let ids = |page: &Value| -> Vec<String> {
        let entries = page["entry"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let link = |page: &Value, relation: &str| -> Option<String> {
        let links = page["link"].as_array().unwrap();
        let link = links.iter().find(|link| link["relation"] == relation)?;
        Some(link["url"].as_str().unwrap().strip_prefix("http://127.0.0.1/fhir/").unwrap().to_owned())
    };
    let counted = get(server, party, &format!("AuditEvent?{query}&_summary=count"))["total"].clone();
    let mut page = get(server, party, &format!("AuditEvent?{query}&_count=90"));
    let total = page["total"].clone();
    let mut all = ids(&page);
    while let Some(next) = link(&page, "next") {
        page = get(server, party, &next);
        all.extend(ids(&page));
    }
    for _ in 0..3 {
        let Some(previous) = link(&page, "previous") else { break };
        page = get(server, party, &previous);
        all.extend(ids(&page));
    }
    (counted, total, all)
}

#[test]
fn what_is_indexed_is_found_as_what_is_not() {
    let server = hospital();
    fill(&server);
    // The searches of this test are recorded too, with times after this moment.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let moment = chartward::model::Temporal::from_millis(chartward::cli::now()).to_text();
    let queries = [
        "subtype=read&patient=Patient/p1",
        "patient=Patient/p2&outcome=0,4",
        "patient=Patient/p69",
        "entity=Patient/p3&agent-name=clerk",
        "altid=lab",
        "outcome=4&date=2019",
        "date=lt2026-01-01T00:10:00Z&outcome:not=0",
        "date=2026-01-01T00:00:30.5%2B01:00,2026-01-01T00:00:07Z",
        "date=ge2026-01-01T00:17:00Z&altid=clerk&_sort=date",
        "outcome=8&_sort=agent-name,-date&purpose=HPAYMT",
        "entity:missing=true",
        "agent-name:contains=ler",
    ];
    let of_all = |party: &Arc<Party>| -> Vec<_> {
        queries
            .iter()
            .map(|query| found(&server, party, &format!("{query}&_lastUpdated=lt{moment}")))
            .collect()
    };
    let before = (of_all(&officer()), of_all(&patient("p1")));
    assert!(before.0.iter().all(|(counted, _, ids)| counted.is_u64() && !ids.is_empty()), "{:?}", before.0);
    assert!(server.engine.index_accesses().unwrap());
    while server.engine.index_accesses().unwrap() {}
    let after = (of_all(&officer()), of_all(&patient("p1")));
    for (number, query) in queries.iter().enumerate() {
        assert_eq!(before.0[number], after.0[number], "{query} by the officer");
        assert_eq!(before.1[number], after.1[number], "{query} by the patient");
    }
    // An event by its id: one made from an access record, and one of another system.
    for query in ["altid=lab&date=2019", "altid=clerk&_count=1"] {
        let page = get(&server, &officer(), &format!("AuditEvent?{query}"));
        let id = page["entry"][0]["resource"]["id"].as_str().unwrap().to_owned();
        let counted = get(&server, &officer(), &format!("AuditEvent?_id={id}&_summary=count"));
        assert_eq!(counted["total"], 1, "{query}");
        let again = get(&server, &officer(), &format!("AuditEvent?_id={id}"));
        assert_eq!(again["entry"][0]["resource"]["id"], id.as_str());
    }
    let findings = server.house.verify().unwrap();
    assert_eq!(findings.faults, Vec::<String>::new());
    assert!(verify_index(&*server.house.kv().snapshot(At::Latest).unwrap()).unwrap().is_empty());
}

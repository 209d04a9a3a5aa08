//! Large and deep input, and the setting for referential integrity.
use std::sync::Arc;

use chartward::auth::Party;
use chartward::cli::Config;
use chartward::definitions::r4;
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Request, Verb};
use chartward::validate::{Incoming, Rules, Valid};
use serde_json::{Value, json};

use crate::in_process::Server;

#[test]
fn a_bundle_of_fifty_megabytes_is_read_and_checked() {
    let entry = json!({"fullUrl": "http://x/Patient/1", "resource": {
        "resourceType": "Patient", "id": "1", "name": [{"family": "x".repeat(900), "given": ["a", "b"]}], "birthDate": "1970-01-01",
    }})
    .to_string();
    let count = 50 * 1024 * 1024 / entry.len();
    let text = format!(
        "{{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{}]}}",
        vec![entry.as_str(); count].join(",")
    );
    let valid =
        Valid::check(Incoming::new(parse(text.into_bytes()).unwrap()), r4(), Rules::default()).unwrap();
    assert_eq!(valid.root().items_at("entry").count(), count);
}

#[test]
fn a_thousand_findings_are_counted_and_the_first_hundred_listed() {
    let names = vec!["{\"wrong\":1}"; 1_000].join(",");
    let text = format!("{{\"resourceType\":\"Patient\",\"name\":[{names}]}}");
    let outcome =
        Valid::check(Incoming::new(parse(text.into_bytes()).unwrap()), r4(), Rules::default()).unwrap_err();
    assert_eq!(outcome.issues.len(), 101);
    assert!(outcome.issues[100].diagnostics.starts_with("900 further"));
}

#[test]
fn deep_nesting_is_refused_in_json_and_xml_alike() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    assert!(parse(deep("{\"extension\":[", "]}").into_bytes()).is_err());
    let xml = format!(
        "<Patient xmlns=\"http://hl7.org/fhir\">{}</Patient>",
        deep("<extension url=\"u\">", "</extension>")
    );
    assert!(chartward::model::from_xml(xml.as_bytes()).is_err());
}

#[test]
fn references_are_kept_whole_where_that_is_asked_for() {
    let config = Config { referential_integrity: true, ..Config::default() };
    let house = crate::shared::house();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let party = Arc::new(Party::open(&config.organization));
    let send = |verb: Verb, path: &[&str], body: Option<Value>| {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        let payload = body
            .map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
        let request = Request { payload, ..Request::new(verb, path, Vec::new()) };
        match engine.handle(&party, request) {
            Ok(answer) => answer.kind.status(),
            Err(refusal) => refusal.kind.status(),
        }
    };
    let condition = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}});
    assert_eq!(send(Verb::Put, &["Condition", "c"], Some(condition.clone())), 422);
    assert_eq!(send(Verb::Put, &["Patient", "p"], Some(json!({"resourceType": "Patient", "id": "p"}))), 201);
    assert_eq!(send(Verb::Put, &["Condition", "c"], Some(condition)), 201);
    assert_eq!(send(Verb::Delete, &["Patient", "p"], None), 409);
    assert_eq!(send(Verb::Delete, &["Condition", "c"], None), 204);
    assert_eq!(send(Verb::Delete, &["Patient", "p"], None), 204);
}

#[test]
fn a_patch_that_grows_without_end_is_refused_and_changes_nothing() {
    let server = Server::in_memory();
    let patient = json!({"resourceType": "Patient", "id": "p", "name": [{"family": "F"}]});
    server.send(Verb::Put, "Patient/p", Headers::default(), Some(&patient)).unwrap();
    let before = server.get("Patient/p");
    let copies = vec![json!({"op": "copy", "from": "/name", "path": "/name/-"}); 40];
    let json_patch = Payload::JsonPatch(serde_json::to_vec(&copies).unwrap());
    let doubled = (0..36).fold("'x'".to_owned(), |text, _| format!("{text}.select($this & $this)"));
    let parameters = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "delete"},
        {"name": "path", "valueString": format!("Patient.name.where({doubled} = 'x')")},
    ]}]});
    let fhirpath_patch = Payload::Resource(parse(parameters.to_string().into_bytes()).unwrap());
    for patch in [json_patch, fhirpath_patch] {
        let answer = server.send_as(&server.party, Verb::Patch, "Patient/p", Headers::default(), patch);
        assert_eq!(answer.unwrap_err().kind.status(), 422);
    }
    assert_eq!(server.get("Patient/p"), before);
}

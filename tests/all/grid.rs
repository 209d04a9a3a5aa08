//! Answers about hidden and about absent resources are given on the same time grid, so that response times do not distinguish
//! them.
use std::sync::Arc;

use chartward::auth::{Party, Role};
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Request, Verb, decode_pairs};
use serde_json::{Value, json};

use crate::audit::put;
use crate::in_process::Server;
use crate::who_writes::party;

/// Whether the answer to a request waits for the grid, and its status.
fn asked(server: &Server, party: &Arc<Party>, verb: Verb, url: &str, body: Option<&Value>) -> (bool, u16) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let payload =
        body.map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
    let query = decode_pairs(query);
    let request = Request { payload, ..Request::new(verb, path.clone(), query) };
    let handled = server.engine.handle(party, request);
    let status = match &handled {
        Ok(answer) => answer.kind.status(),
        Err(refusal) => refusal.kind.status(),
    };
    (server.engine.grid(party, (verb, &path), &handled).is_some(), status)
}

#[test]
fn hidden_and_absent_are_answered_on_the_same_grid() {
    let server = Server::in_memory();
    put(&server, &json!({"resourceType": "Practitioner", "id": "d"}));
    for id in ["hidden", "shown"] {
        let identifier = json!([{"system": "urn:mrn", "value": id}]);
        put(&server, &json!({"resourceType": "Patient", "id": id, "identifier": identifier}));
        put(
            &server,
            &json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
                "subject": {"reference": format!("Patient/{id}")}}),
        );
    }
    let code = |system: &str, code: &str| json!([{"coding": [{"system": system, "code": code}]}]);
    put(
        &server,
        &json!({"resourceType": "Consent", "id": "c", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": code("http://loinc.org", "59284-0"), "patient": {"reference": "Patient/hidden"},
            "policy": [{"uri": "https://example.org/policy"}], "provision": {"type": "deny"}}),
    );
    let own = Some("Organization/hospital");
    let asking = [
        party(Role::Insurer, Some("Organization/acme"), None, "HPAYMT"),
        party(Role::System, Some("Organization/clinic"), None, "TREAT"),
        party(Role::Clinician, own, Some("Practitioner/d"), "TREAT"),
        party(Role::Patient, None, Some("Patient/shown"), "PATRQT"),
    ];
    let reads = [
        "Patient/{}",
        "Observation/{}",
        "Observation/{}/_history",
        "Patient?_id={}",
        "Patient?identifier=urn:mrn|{}",
        "Observation?patient=Patient/{}",
        "Observation?patient=Patient/{}&_summary=count",
        "Patient/{}/Observation",
        "Patient/{}/$who-saw",
    ];
    for party in &asking {
        for url in reads {
            let of = |id: &str| asked(&server, party, Verb::Get, &url.replace("{}", id), None);
            let (hidden, absent) = (of("hidden"), of("absent"));
            assert_eq!(hidden, absent, "{} {url}", party.role.code());
            assert!(of("hidden").0, "{} {url}", party.role.code());
        }
    }
    for party in &asking {
        let new =
            |id: &str| json!({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": id}]});
        let of = |id: &str| asked(&server, party, Verb::Post, "Patient", Some(&new(id)));
        assert_eq!(of("hidden"), of("absent"), "{}", party.role.code());
        assert!(of("hidden").0, "{}", party.role.code());
        let of = |id: &str| asked(&server, party, Verb::Delete, &format!("Observation/{id}"), None);
        assert_eq!(of("hidden"), of("absent"), "{}", party.role.code());
        assert!(of("hidden").0, "{}", party.role.code());
        let entry = |url: &str| json!({"request": {"method": "GET", "url": url}});
        let entries =
            [entry("Patient/hidden"), entry("Patient/absent"), entry("metadata"), entry("Patient/hidden")];
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        assert!(asked(&server, party, Verb::Post, "", Some(&bundle)).0, "{}", party.role.code());
        let payload = Payload::Resource(parse(bundle.to_string().into_bytes()).unwrap());
        let answer = server.send_as(party, Verb::Post, "", Headers::default(), payload).unwrap();
        assert_eq!(answer.on_the_grid, Some(3), "one step for each that shows nothing");
        assert!(!asked(&server, party, Verb::Get, "metadata", None).0, "{}", party.role.code());
    }
    // An answer that shows something is sent at once, and so is every answer to a party that keeps the record.
    assert_eq!(asked(&server, &asking[2], Verb::Get, "Patient/shown", None), (false, 200));
    assert_eq!(asked(&server, &asking[3], Verb::Get, "Observation?status=final", None), (false, 200));
    let technician = party(Role::Technician, own, None, "HOPERAT");
    for url in ["Patient/hidden", "Patient/absent"] {
        assert!(!asked(&server, &technician, Verb::Get, url, None).0);
    }
}

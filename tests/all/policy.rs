//! The effect of a deployment's own settings.
use std::sync::Arc;

use chartward::auth::Party;
use chartward::cli::{Config, ConsentConfig};
use chartward::model::parse;
use chartward::operations::{Payload, Request, Verb};
use serde_json::{Value, json};

/// The status of writing an ambiguous Consent.
fn writing_ambiguous(consent: ConsentConfig) -> u16 {
    let config = Config { consent, ..Config::default() };
    let house = crate::shared::house();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let party = Arc::new(Party::open(&config.organization));
    let put = |resource: Value| {
        let segment = |name: &str| resource[name].as_str().unwrap().to_owned();
        let request = Request {
            payload: Payload::Resource(parse(resource.to_string().into_bytes()).unwrap()),
            ..Request::new(Verb::Put, vec![segment("resourceType"), segment("id")], Vec::new())
        };
        engine
            .handle(&party, request)
            .map_or_else(|refusal| refusal.kind.status(), |answer| answer.kind.status())
    };
    put(json!({"resourceType": "Patient", "id": "p"}));
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    put(json!({
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"reference": "Patient/p"},
        "policyRule": code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN"),
        "provision": {"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HPAYMT"}]},
    }))
}

#[test]
fn a_strict_deployment_refuses_what_is_ambiguous() {
    assert_eq!(writing_ambiguous(ConsentConfig::default()), 201);
    assert_eq!(writing_ambiguous(ConsentConfig { strict: true, ..ConsentConfig::default() }), 422);
}

#[test]
fn unknown_settings_are_errors() {
    let config = |combining: &str| Config {
        consent: ConsentConfig { combining: combining.to_owned(), ..ConsentConfig::default() },
        ..Config::default()
    };
    let house = crate::shared::house();
    assert!(house.engine(&config("most-recent"), "http://127.0.0.1/fhir", false).is_ok());
    assert!(house.engine(&config("newest"), "http://127.0.0.1/fhir", false).is_err());
}

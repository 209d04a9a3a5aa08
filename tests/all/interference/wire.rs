//! Over HTTP, answers about hidden and about never existing resources are identical bytes, headers included, for every method.
use std::collections::BTreeMap;
use std::sync::Arc;

use chartward::auth::AccessToken;
use chartward::cli::{Config, claims, start};
use chartward::model::parse;
use chartward::operations::{Payload, Request, Verb};
use serde_json::{Value, json};

/// Ids of equal length.
const HIDDEN: &str = "behind-the-wall";
const ABSENT: &str = "never-was-there";

/// Method, path and query with `ID` for the id, body, and one more header.
const REQUESTS: [(&str, &str, &str, (&str, &str)); 24] = [
    ("GET", "Observation/ID", "", ("Accept", "*/*")),
    ("GET", "Observation/ID", "", ("Accept", "application/fhir+xml")),
    ("GET", "Observation/ID?_pretty=true", "", ("Accept", "*/*")),
    ("GET", "Observation/ID?_summary=true", "", ("If-None-Match", "*")),
    ("GET", "Observation/ID", "", ("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT")),
    ("HEAD", "Observation/ID", "", ("Accept", "*/*")),
    ("HEAD", "Patient/ID", "", ("If-None-Match", "W/\"1\"")),
    ("OPTIONS", "Observation/ID", "", ("Origin", "https://elsewhere.example")),
    ("GET", "Observation/ID/_history", "", ("Accept", "*/*")),
    ("GET", "Observation/ID/_history/0123456789abcdef", "", ("Accept", "*/*")),
    ("GET", "Observation/ID/_history/VERSION", "", ("Accept", "*/*")),
    ("HEAD", "Observation/ID/_history/VERSION", "", ("Accept", "*/*")),
    ("GET", "Patient/ID/*", "", ("Accept", "*/*")),
    ("GET", "Patient/ID/Observation", "", ("Accept", "application/fhir+xml")),
    ("GET", "Binary/ID", "", ("Accept", "*/*")),
    ("GET", "Binary/ID", "", ("Accept", "application/fhir+json")),
    ("DELETE", "Observation/ID", "", ("If-Match", "W/\"1\"")),
    ("DELETE", "Patient/ID", "", ("Accept", "*/*")),
    ("PUT", "Observation/ID", "OBSERVATION", ("Prefer", "return=minimal")),
    ("PUT", "Observation/ID", "OBSERVATION", ("If-Match", "W/\"1\"")),
    ("PATCH", "Observation/ID", "PATCH", ("Accept", "*/*")),
    ("POST", "Observation", "OBSERVATION", ("Prefer", "return=OperationOutcome")),
    ("GET", "Patient/ID/$who-saw", "", ("Accept", "*/*")),
    ("GET", "Consent/$decide?actor=Organization/acme&resource=Observation/ID", "", ("Accept", "*/*")),
];

fn data() -> Vec<Value> {
    let subject = json!({"reference": format!("Patient/{HIDDEN}")});
    vec![
        json!({"resourceType": "Patient", "id": HIDDEN}),
        json!({"resourceType": "Observation", "id": HIDDEN, "status": "final", "code": {"text": "pulse"}, "subject": subject}),
        json!({"resourceType": "Binary", "id": HIDDEN, "contentType": "text/plain", "data": "aGVsbG8="}),
        json!({"resourceType": "DocumentReference", "id": HIDDEN, "status": "current", "subject": subject,
            "content": [{"attachment": {"url": format!("Binary/{HIDDEN}")}}]}),
    ]
}

/// Status, headers except the date, and body, with the ids replaced by the same word.
type Told = (u16, BTreeMap<String, String>, String);

fn ask(base: &str, token: &str, id: &str, version: &str, number: usize) -> Told {
    let (method, url, body, (name, value)) = REQUESTS[number];
    let url = format!("{base}/{}", url.replace("ID", id).replace("VERSION", version));
    let observation = json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "pulse"},
        "subject": {"reference": format!("Patient/{id}")}});
    let (media_type, body) = match body {
        "PATCH" => {
            ("application/json-patch+json", r#"[{"op":"add","path":"/language","value":"de"}]"#.to_owned())
        }
        "OBSERVATION" => ("application/fhir+json", observation.to_string()),
        _ => ("", String::new()),
    };
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("Authorization", format!("Bearer {token}"))
        .header("X-Request-Id", "the-same")
        .header(name, value);
    if !media_type.is_empty() {
        request = request.header("Content-Type", media_type);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut answer = agent.run(request.body(body).unwrap()).unwrap();
    let headers = answer.headers().iter().filter(|(name, _)| *name != "date");
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), headers, text.replace(id, "ID"))
}

#[test]
fn hidden_and_absent_are_the_same_bytes() {
    let house = crate::shared::house();
    let config = Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let running = start(&config, &house, false, None).unwrap();
    let base = running.base_url.clone();
    let engine = house.engine(&config, &base, true).unwrap();
    let own = engine.authenticate(None).unwrap();
    let mut version = String::new();
    for resource in data() {
        let path = vec![resource["resourceType"].as_str().unwrap().to_owned(), HIDDEN.to_owned()];
        let payload = Payload::Resource(parse(resource.to_string().into_bytes()).unwrap());
        let request = Request { payload, ..Request::new(Verb::Put, path, Vec::new()) };
        let answer = engine.handle(&Arc::clone(&own), request).unwrap();
        if resource["resourceType"] == "Observation" {
            version = answer.version_id.unwrap();
        }
    }
    for (role, organization, user, purpose) in [
        ("insurer", Some("Organization/acme"), None, "HPAYMT"),
        ("system", Some("Organization/lakeside"), None, "TREAT"),
        ("patient", None, Some("Patient/somebody"), "PATRQT"),
    ] {
        let token = AccessToken {
            sub: "somebody".to_owned(),
            role: role.to_owned(),
            fhir_user: user.map(str::to_owned),
            organization: organization.map(str::to_owned),
            purpose_of_use: vec![purpose.to_owned()],
            scope: "user/*.cruds".to_owned(),
            ..claims(&base, 3_600).unwrap()
        };
        let token = house.issuer(&base).unwrap().sign(&token).unwrap();
        for (number, request) in REQUESTS.iter().enumerate() {
            let hidden = ask(&base, &token, HIDDEN, &version, number);
            let absent = ask(&base, &token, ABSENT, &version, number);
            assert_eq!(hidden, absent, "{role}: {request:?}");
            assert!(hidden.0 != 200 || request.0 == "OPTIONS", "{role}: {request:?}: {hidden:?}");
        }
    }
}

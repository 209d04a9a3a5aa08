//! The published rows about whole requests: each is covered by a scenario or a test, or waits for an interaction that is not
//! supported.
use std::path::Path;
use std::sync::Arc;

use chartward::auth::{Party, Role};
use chartward::cli::scenarios;
use chartward::model::parse;
use chartward::operations::{Headers, OPERATIONS, Payload, Verb};
use serde_json::{Value as Json, json};

use crate::in_process::Server;
use crate::shared;

/// How a row is covered.
enum Shown {
    By(&'static str),
    /// A test of this binary: its file, and its name in words.
    Test(&'static str),
    /// An operation that is not served: `$status` stands for subscriptions.
    Waits(&'static str),
}
use Shown::{By, Test, Waits};

const ROWS: [(&str, Shown); 41] = [
    ("own/h01", By("consent/disclosure/without-consent-nothing")),
    ("own/h02", By("consent/disclosure/head-and-conditional-read")),
    ("own/h03", By("consent/disclosure/head-and-conditional-read")),
    ("own/h04", By("consent/history/labels-hold-for-older-versions")),
    ("own/h05", By("consent/history/counts-only-visible-versions")),
    ("own/h06", By("consent/search/pages-are-full")),
    ("own/h07", By("consent/search/counts-only-the-visible")),
    ("own/h08", By("consent/search/chains-and-has-see-only-the-visible")),
    ("own/h09", By("consent/search/chains-and-has-see-only-the-visible")),
    ("own/h10", By("consent/search/include-brings-only-the-visible")),
    ("own/h11", By("consent/search/revinclude-brings-only-the-visible")),
    ("own/h12", Test("hidden: an insurer finds what a store of what it may see holds")),
    ("own/h13", By("consent/search/page-links-are-no-proof")),
    ("own/h14", By("consent/revocation/next-page")),
    ("own/h15", By("consent/paths/search-by-post")),
    ("own/h16", By("consent/everything/only-what-is-permitted")),
    ("own/h17", By("consent/everything/of-a-denied-patient")),
    ("own/h18", Waits("$export")),
    ("own/h19", Waits("$export")),
    ("own/h20", By("consent/writes/batch-entries-each-decided")),
    ("own/h21", By("consent/paths/transaction-with-a-refused-write")),
    ("own/h22", By("consent/writes/conditional-create-sees-the-view")),
    ("own/h23", By("consent/writes/put-and-patch-of-the-hidden")),
    ("own/h24", By("consent/writes/put-and-patch-of-the-hidden")),
    ("own/h25", By("consent/paths/what-was-masked-is-not-written-back")),
    ("own/h26", Waits("$status")),
    ("own/h27", Waits("$status")),
    ("own/h28", Waits("$graphql")),
    ("own/h29", By("consent/disclosure/binary-of-a-hidden-document")),
    ("own/h30", By("consent/paths/document-with-a-hidden-part")),
    ("own/h31", By("consent/disclosure/references-to-the-hidden-are-opaque")),
    ("own/h32", By("consent/paths/parts-of-the-hidden")),
    ("own/h33", By("consent/audit/patients-see-who-saw")),
    ("own/h34", By("consent/history/of-types-and-the-whole")),
    ("own/h35", By("consent/paths/version-ids-tell-nothing")),
    ("own/h36", By("consent/writes/what-feeds-identities")),
    ("own/h37", Test("consent_rows: a launch context opens nothing")),
    ("own/h38", By("consent/revocation/moved-to-another-patient")),
    ("own/h39", By("consent/paths/a-reference-opens-no-binary")),
    ("own/h40", By("consent/disclosure/provenance-inherits-labels")),
    ("own/h41", By("flows/member-match-that-fails")),
];

/// Whether `file: name of the test in words` is a test of this folder.
fn is_a_test(test: &str) -> bool {
    let Some((file, name)) = test.split_once(": ") else { return false };
    let function = format!("#[test]\nfn {}()", name.replace([' ', '-'], "_"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/all/{file}.rs"));
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(&function))
}

#[test]
fn every_row_is_held_or_waits() {
    let scenarios = scenarios().unwrap();
    for (row, shown) in &ROWS {
        match shown {
            By(id) => {
                let found = scenarios.iter().find(|scenario| scenario.id == *id);
                assert!(
                    found.is_some_and(|scenario| scenario.waiting.is_none()),
                    "{row}: {id} is no scenario that runs"
                );
            }
            Test(test) => assert!(is_a_test(test), "{row}: there is no test `{test}`"),
            Waits(operation) => {
                assert!(
                    OPERATIONS.iter().all(|served| served.name() != *operation),
                    "{row}: `{operation}` is served now and needs a scenario"
                );
            }
        }
    }
    let Some(folder) = shared::find("suites/consent", "every_row_is_held_or_waits") else { return };
    let corpus: Json = serde_json::from_slice(&std::fs::read(folder.join("own.json")).unwrap()).unwrap();
    for case in corpus["cases"].as_array().unwrap().iter().filter(|case| case["level"] == "http") {
        let id = case["id"].as_str().unwrap();
        assert!(ROWS.iter().any(|(row, _)| *row == id), "{id} is not listed");
    }
}

#[test]
fn a_launch_context_opens_nothing() {
    let server = Server::in_memory();
    let put = |resource: Json| {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let payload = Payload::Resource(parse(resource.to_string().into_bytes()).unwrap());
        server.send_as(&server.party, Verb::Put, &url, Headers::default(), payload).unwrap();
    };
    put(json!({"resourceType": "Patient", "id": "p"}));
    let clinician = |context: Option<&str>| {
        Arc::new(Party {
            role: Role::Clinician,
            fhir_user: Some("Practitioner/d".to_owned()),
            patient_context: context.map(str::to_owned),
            ..Party::open("Organization/hospital")
        })
    };
    let sees = |context: Option<&str>| {
        server.send_as(&clinician(context), Verb::Get, "Patient/p", Headers::default(), Payload::None).is_ok()
    };
    // The launch patient narrows patient-level scopes, and these are not patient-level.
    assert!(sees(None) && sees(Some("p")) && sees(Some("q")));
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    put(json!({
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"reference": "Patient/p"},
        "policy": [{"uri": "urn:example:policy"}],
        "provision": {"type": "deny", "actor": [{
            "role": code("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
            "reference": {"reference": "Practitioner/d"},
        }]},
    }));
    assert!(!sees(None) && !sees(Some("p")) && !sees(Some("q")));
}

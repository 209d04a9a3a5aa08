//! Who may write what: role x visibility of the patient x interaction, as a golden file for review; docs/consent.md has it in
//! words. `BLESS=1 cargo test who_writes` rewrites it; review its diff like code.
use std::fmt::Write as _;
use std::sync::Arc;

use chartward::auth::{Party, Role, Scopes};
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Verb};
use serde_json::{Value, json};

use crate::in_process::Server;

/// The patient that is written about: one who permits access, one who denies everybody, one who does not exist.
const SITUATIONS: [&str; 3] = ["visible", "hidden", "absent"];

const INTERACTIONS: [&str; 9] = [
    "create",
    "create, If-None-Exist",
    "update",
    "update, old If-Match",
    "update, by criteria",
    "patch",
    "patch, by criteria",
    "delete",
    "delete, by criteria",
];

/// A party that may do all that its role may.
pub fn party(role: Role, organization: Option<&str>, user: Option<&str>, purpose: &str) -> Arc<Party> {
    Arc::new(Party {
        subject: role.code().to_owned(),
        client: role.code().to_owned(),
        role,
        organization: organization.map(str::to_owned),
        fhir_user: user.map(str::to_owned),
        purposes: vec![purpose.to_owned()],
        scopes: Scopes::parse("user/*.cruds"),
        ..Party::nobody()
    })
}

fn parties() -> Vec<(&'static str, Arc<Party>)> {
    let own = Some("Organization/hospital");
    let other = Some("Organization/other");
    let doctor = Some("Practitioner/d1");
    vec![
        ("system, own", party(Role::System, own, None, "TREAT")),
        ("technician, own", party(Role::Technician, own, None, "HOPERAT")),
        ("clinician, own", party(Role::Clinician, own, doctor, "TREAT")),
        ("privacy officer, own", party(Role::PrivacyOfficer, own, None, "HOPERAT")),
        ("administrator, own", party(Role::Administrator, own, None, "HOPERAT")),
        ("system, other", party(Role::System, other, None, "TREAT")),
        ("clinician, other", party(Role::Clinician, other, doctor, "TREAT")),
        ("insurer", party(Role::Insurer, other, None, "HPAYMT")),
        ("researcher", party(Role::Researcher, other, None, "HRESCH")),
        ("patient", party(Role::Patient, None, Some("Patient/visible"), "PATRQT")),
    ]
}

fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

fn observation(situation: &str, number: usize) -> Value {
    json!({
        "resourceType": "Observation",
        "id": format!("{situation}-{number}"),
        "identifier": [{"system": "urn:example", "value": format!("{situation}-{number}")}],
        "status": "final",
        "code": {"text": "something"},
        "subject": {"reference": format!("Patient/{situation}")},
    })
}

fn consent(patient: &str, provision: &Value) -> Value {
    json!({
        "resourceType": "Consent", "id": format!("c-{patient}"), "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")], "policy": [{"uri": "urn:example:policy"}],
        "patient": {"reference": format!("Patient/{patient}")}, "provision": provision,
    })
}

/// A server with an Observation for every interaction and situation; absent ones were never created.
fn filled() -> Server {
    let server = Server::in_memory();
    let put = |resource: Value| {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        server.send(Verb::Put, &url, Headers::default(), Some(&resource)).unwrap();
    };
    for situation in ["visible", "hidden"] {
        put(json!({"resourceType": "Patient", "id": situation}));
        for number in 0..INTERACTIONS.len() {
            put(observation(situation, number));
        }
    }
    // Everybody is permitted to see the patient's data, and nothing else.
    let access = concept("http://terminology.hl7.org/CodeSystem/consentaction", "access");
    put(consent("visible", &json!({"type": "permit", "action": [access]})));
    put(consent("hidden", &json!({"type": "deny"})));
    server
}

/// The status, and whether the answer has a body (`b`), an ETag (`e`) and a Location (`l`).
fn cell(server: &Server, party: &Arc<Party>, interaction: usize, situation: &str) -> String {
    let mut resource = observation(situation, interaction);
    let id = resource["id"].as_str().unwrap().to_owned();
    let criteria = format!("identifier=urn:example|{id}");
    let (instance, by_criteria) = (format!("Observation/{id}"), format!("Observation?{criteria}"));
    let patch = || Payload::JsonPatch(br#"[{"op":"replace","path":"/status","value":"amended"}]"#.to_vec());
    let mut headers = Headers::default();
    let name = INTERACTIONS[interaction];
    if !name.starts_with("update") || name.ends_with("criteria") {
        resource.as_object_mut().unwrap().shift_remove("id");
    }
    let body = || Payload::Resource(parse(resource.to_string().into_bytes()).unwrap());
    let (verb, url, payload) = match name {
        "create" => (Verb::Post, "Observation".to_owned(), body()),
        "create, If-None-Exist" => {
            headers.if_none_exist = Some(criteria);
            (Verb::Post, "Observation".to_owned(), body())
        }
        "update, old If-Match" => {
            headers.if_match = Some("W/\"0000000000000000\"".to_owned());
            (Verb::Put, instance, body())
        }
        "update" => (Verb::Put, instance, body()),
        "update, by criteria" => (Verb::Put, by_criteria, body()),
        "patch" => (Verb::Patch, instance, patch()),
        "patch, by criteria" => (Verb::Patch, by_criteria, patch()),
        "delete" => (Verb::Delete, instance, Payload::None),
        "delete, by criteria" => (Verb::Delete, by_criteria, Payload::None),
        other => panic!("{other}"),
    };
    match server.send_as(party, verb, &url, headers, payload) {
        Ok(answer) => {
            let has = [
                (answer.body.json().is_some(), 'b'),
                (answer.version_id.is_some(), 'e'),
                (answer.location.is_some(), 'l'),
            ];
            let has: String = has.into_iter().filter(|(has, _)| *has).map(|(_, letter)| letter).collect();
            format!("{} {has}", answer.kind.status()).trim_end().to_owned()
        }
        Err(refusal) => refusal.kind.status().to_string(),
    }
}

#[test]
fn everybody_writes_what_the_golden_file_says() {
    let mut table = String::from(
        "Who may write what about a patient: status of the answer, b if it has a body, e an ETag, l a Location.\n\
         The patients: one who permits everybody to see, one who denies everybody everything, one who is not there.\n\n",
    );
    write!(table, "{:24}{:24}", "party", "interaction").unwrap();
    for situation in SITUATIONS {
        write!(table, "{situation:12}").unwrap();
    }
    table.push('\n');
    for (name, party) in parties() {
        let server = filled();
        for (number, interaction) in INTERACTIONS.iter().enumerate() {
            write!(table, "{name:24}{interaction:24}").unwrap();
            for situation in SITUATIONS {
                write!(table, "{:12}", cell(&server, &party, number, situation)).unwrap();
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        assert_eq!(server.house.verify().unwrap().faults, Vec::<String>::new());
    }
    crate::shared::assert_golden("writes.txt", &table);
}

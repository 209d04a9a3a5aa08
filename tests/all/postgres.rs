//! Several servers on one PostgreSQL database, and the commands on it. `TEST_POSTGRES` names a database in which schemas may be
//! created and dropped; without it these tests report that they are skipped.
use std::path::Path;
use std::process::Command;

use chartward::store::{Postgres, PostgresOptions};
use serde_json::{Value, json};

use crate::oauth_admin::run;
use crate::process::Process;
use crate::shared::skipped;

/// A schema of its own, dropped at the end.
struct Schema(PostgresOptions);

impl Schema {
    fn new(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("TEST_POSTGRES") else {
            skipped(test, "TEST_POSTGRES is not set");
            return None;
        };
        let schema = format!("{}_{}", std::process::id(), test.get(..40).unwrap_or(test));
        Some(Self(PostgresOptions { schema, ..PostgresOptions::new(url) }))
    }

    fn arguments(&self) -> [(&'static str, &str); 2] {
        [("CHARTWARD_STORE", &self.0.url), ("CHARTWARD_STORE_SCHEMA", &self.0.schema)]
    }

    fn command(&self, arguments: &[&str], data: &Path) -> Command {
        let mut command = Command::new(crate::shipped::binary());
        command.args(arguments).arg("--data").arg(data).envs(self.arguments());
        command
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        Postgres::destroy(&self.0).unwrap();
    }
}

/// A server on the schema, in a process of its own.
struct Server(Process);

impl Server {
    fn start(schema: &Schema, data: &Path, name: &str) -> Self {
        Self(Process::start_with(data, name, &[], &schema.arguments()))
    }

    fn send(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.0.base))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/fhir+json");
        let mut answer = match body {
            Some(body) => agent.run(request.body(body.to_string()).unwrap()).unwrap(),
            None => agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// A token of the shared issuer for the server at that address.
fn token(schema: &Schema, data: &Path, server: &Server, arguments: &[&str]) -> String {
    let origin = server.0.base.strip_suffix("/fhir").unwrap();
    let mut all = vec!["token", "--public-url", origin];
    all.extend(arguments);
    let output = schema.command(&all, data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const SYSTEM: [&str; 7] =
    ["--role", "system", "--organization", "Organization/hospital", "--purpose", "TREAT", "--assign-ids"];
const INSURER: [&str; 6] =
    ["--role", "insurer", "--organization", "Organization/acme", "--purpose", "HPAYMT"];

fn consent(kind: &str) -> Value {
    json!({
        "resourceType": "Consent", "id": "c1", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p1"}, "policy": [{"uri": "urn:policy"}],
        "provision": {"type": kind, "actor": [{"role": {"text": "recipient"}, "reference": {"reference": "Organization/acme"}}]}
    })
}

#[test]
fn two_servers_over_one_database_are_as_one() {
    let Some(schema) = Schema::new("two_servers_over_one_database_are_as_one") else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // The servers share the keys as they share the database.
    let first = Server::start(&schema, &data, "first");
    let second = Server::start(&schema, &data, "second");
    let system = [&first, &second].map(|server| token(&schema, &data, server, &SYSTEM));
    let insurer = [&first, &second].map(|server| token(&schema, &data, server, &INSURER));
    let patient = json!({"resourceType": "Patient", "id": "p1", "name": [{"family": "Cole"}]});
    assert_eq!(first.send("PUT", "Patient/p1", &system[0], Some(&patient)).0, 201);
    assert_eq!(second.send("GET", "Patient/p1", &system[1], None).0, 200, "what one wrote the other reads");
    // A Consent that one server stores takes effect with the other's next request, and so does its end.
    for round in 0..10 {
        let (kind, expected) = if round % 2 == 0 { ("permit", 200) } else { ("deny", 404) };
        let (status, answer) = first.send("PUT", "Consent/c1", &system[0], Some(&consent(kind)));
        assert!(status == 200 || status == 201, "{answer}");
        assert_eq!(second.send("GET", "Patient/p1", &insurer[1], None).0, expected, "round {round}");
    }
    // Conditional creates on both servers make one resource; updates on both are serialized.
    let made: Vec<u16> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let (server, token) =
                    if number % 2 == 0 { (&first, &system[0]) } else { (&second, &system[1]) };
                scope.spawn(move || {
                    let agent: ureq::Agent =
                        ureq::Agent::config_builder().http_status_as_error(false).build().into();
                    let body =
                        json!({"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": "1"}]});
                    let request = agent
                        .post(format!("{}/Patient", server.0.base))
                        .header("Authorization", format!("Bearer {token}"))
                        .header("Content-Type", "application/fhir+json")
                        .header("If-None-Exist", "identifier=urn:n%7C1");
                    request.send(body.to_string()).unwrap().status().as_u16()
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 1, "{made:?}");
    assert!(made.iter().all(|status| matches!(status, 200 | 201)), "{made:?}");
    let (_, found) = second.send("GET", "Patient?identifier=urn:n%7C1&_total=accurate", &system[1], None);
    assert_eq!(found["total"], 1);
    std::thread::scope(|scope| {
        for (server, token) in [(&first, &system[0]), (&second, &system[1])] {
            scope.spawn(move || {
                for number in 0..10 {
                    let patch =
                        json!([{"op": "add", "path": "/name/-", "value": {"family": format!("N{number}")}}]);
                    let agent: ureq::Agent =
                        ureq::Agent::config_builder().http_status_as_error(false).build().into();
                    let request = ureq::http::Request::builder()
                        .method("PATCH")
                        .uri(format!("{}/Patient/p1", server.0.base))
                        .header("Authorization", format!("Bearer {token}"))
                        .header("Content-Type", "application/json-patch+json");
                    let answer = agent.run(request.body(patch.to_string()).unwrap()).unwrap();
                    assert_eq!(answer.status().as_u16(), 200);
                }
            });
        }
    });
    let (_, patched) = first.send("GET", "Patient/p1", &system[0], None);
    assert_eq!(patched["name"].as_array().unwrap().len(), 21, "no change was lost");
    // Reads are recorded, whichever server served them.
    let officer = token(
        &schema,
        &data,
        &first,
        &["--role", "privacy-officer", "--organization", "Organization/hospital", "--purpose", "HOPERAT"],
    );
    let (status, told) = first.send("GET", "AuditEvent?patient=Patient/p1&_summary=count", &officer, None);
    assert!(status == 200 && told["total"].as_u64() > Some(30), "{told}");
    drop((first, second));
    let output = schema.command(&["verify"], &data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_hospital_moves_from_sled_to_postgresql_and_back() {
    let Some(schema) = Schema::new("a_hospital_moves_from_sled_to_postgresql_and_back") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let made = Command::new(crate::shipped::binary())
        .args(["generate", "--patients", "5", "--out", &text("made")])
        .status()
        .unwrap();
    assert!(made.success());
    let (done, said) = run(&path("old"), &["import", &text("made")], "");
    assert!(done, "{said}");
    let (done, said) = run(&path("old"), &["backup", &text("one.cwdump")], "");
    assert!(done, "{said}");
    let ours = |arguments: &[&str], data: &str| {
        let output = schema.command(arguments, &path(data)).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (done, said) = ours(&["restore", &text("one.cwdump")], "new");
    assert!(done && said.contains("restored ") && said.contains(" versions)"), "{said}");
    // A restore does not overwrite existing data.
    let (done, said) = ours(&["restore", &text("one.cwdump")], "new");
    assert!(!done && said.contains("an empty one"), "{said}");
    let (done, said) = ours(&["verify"], "new");
    assert!(done, "{said}");
    let (done, said) = ours(&["backup", &text("two.cwdump")], "new");
    assert!(done, "{said}");
    let (done, said) = run(&path("back"), &["restore", &text("two.cwdump")], "");
    assert!(done, "{said}");
    let (done, said) = run(&path("back"), &["verify"], "");
    assert!(done, "{said}");
    // All three stores hold the same resources.
    let counted = |said: &str| said.lines().find(|line| line.contains("resources")).unwrap().to_owned();
    let (_, old) = run(&path("old"), &["verify"], "");
    let (_, new) = ours(&["verify"], "new");
    let (_, back) = run(&path("back"), &["verify"], "");
    assert_eq!((counted(&new), counted(&back)), (counted(&old), counted(&old)));
}

#[test]
fn a_database_that_does_not_answer_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    for (url, word) in [("postgres://nobody@127.0.0.1:9/none", "database"), ("postgres://[", "database")] {
        let output = Command::new(crate::shipped::binary())
            .args(["verify", "--store", url, "--data"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{said}");
    }
}

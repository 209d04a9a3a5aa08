//! The load driver against a server of its own: every shape gets the expected answers, with a closed and an open loop.
use std::process::Command;

use chartward::cli::{Config, generated, start};
use serde_json::{Value, json};

use crate::oauth::Site;

/// The result of `chartward load`.
fn measured(arguments: &[&str]) -> (bool, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let output = Command::new(crate::shipped::binary())
        .args(["load", "--seconds", "1", "--warm-up", "0", "--json"])
        .arg(&json)
        .args(arguments)
        .output()
        .unwrap();
    let text = std::fs::read(&json).unwrap_or_default();
    let table =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), serde_json::from_slice(&text).unwrap_or(Value::Null), table)
}

#[test]
fn the_load_driver_gets_what_it_expects_in_every_shape() {
    let house = crate::shared::house();
    let config = Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let running = start(&config, &house, true, None).unwrap();
    let agent = ureq::agent();
    for resource in generated(3, 1) {
        let parsed: Value = serde_json::from_str(&resource).unwrap();
        let place =
            format!("{}/{}", parsed["resourceType"].as_str().unwrap(), parsed["id"].as_str().unwrap());
        let request = agent.put(format!("{}/{place}", running.base_url));
        request.header("Content-Type", "application/fhir+json").send(resource).unwrap();
    }
    let shapes = "read,create,transaction,crud,import,search";
    let (done, figures, table) =
        measured(&[&running.base_url, "--shapes", shapes, "--connections", "2", "--bare"]);
    assert!(done, "{table}");
    let lines = figures["lines"].as_array().unwrap();
    // Five kinds of request of one shape, twelve searches, and the bare handler.
    assert_eq!(lines.len(), 18, "{table}");
    for line in lines {
        let requests = line["requests"].as_u64().unwrap();
        assert!(requests > 0 && line["errors"] == 0, "{line}");
        assert!(line["p50Microseconds"].as_u64() <= line["p99Microseconds"].as_u64(), "{line}");
    }
    assert_eq!(figures["ratios"][0]["what"], "read / bare handler");
    // In the open loop, requests are sent at the given rate.
    let (done, figures, table) =
        measured(&[&running.base_url, "--shapes", "read", "--connections", "4", "--rate", "100"]);
    assert!(done, "{table}");
    let requests = figures["lines"][0]["requests"].as_u64().unwrap();
    assert!((80..=100).contains(&requests), "{table}");
}

#[test]
fn what_an_insurer_searches_is_set_beside_what_the_staff_does() {
    let site = Site::new();
    let patient = json!({"resourceType": "Patient", "id": "p1", "name": [{"family": "Cole"}], "birthDate": "1970-01-01"});
    let own = site.minted("system", |_| {});
    assert_eq!(site.send("PUT", "/fhir/Patient/p1", &own, &patient).0, 201);
    let insurer = site.minted("insurer", |token| {
        token.organization = Some("Organization/acme".to_owned());
        token.purpose_of_use = vec!["HPAYMT".to_owned()];
    });
    let (done, figures, table) = measured(&[
        site.base(),
        "--shapes",
        "consent",
        "--connections",
        "1",
        "--token",
        &own,
        "--insurer-token",
        &insurer,
    ]);
    assert!(done, "{table}");
    // The data has values for searches of Patients by name and birth date, and for chained searches by name.
    let shapes: Vec<&str> =
        figures["lines"].as_array().unwrap().iter().map(|line| line["shape"].as_str().unwrap()).collect();
    assert_eq!(shapes, ["string", "string, insurer", "date", "date, insurer", "chained", "chained, insurer"]);
    assert_eq!(figures["ratios"].as_array().unwrap().len(), 3, "{table}");
}

#[test]
fn an_address_without_a_server_is_said_so() {
    let (done, _, text) = measured(&["http://127.0.0.1:9/fhir", "--shapes", "read"]);
    assert!(!done && text.contains("127.0.0.1:9"), "{text}");
    let (done, _, text) = measured(&["gopher://127.0.0.1/fhir"]);
    assert!(!done && text.contains("gopher"), "{text}");
}

//! The demo and the conformance run, used as testers use them.
use std::path::Path;
use std::process::{Command, Stdio};

use chartward::definitions::r4;
use chartward::model::parse;
use chartward::validate::{Incoming, Rules, Valid};
use serde_json::Value;

use crate::process::{Process, agent};
use crate::shipped::{binary, run};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_scenarios_hold_of_the_demo_and_the_report_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let ready = file("demo.ready");
    let demo = Process::demo(&ready, &["--patients", "5"]);
    let ready = ready.to_str().unwrap();
    let report = file("report.json");
    let report = report.to_str().unwrap();
    let ran = run(["conform", &demo.base, "--ready-file", ready, "--policy", "own-tpo", "--report", report]);
    let text = String::from_utf8_lossy(&ran.stdout);
    let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(ran.status.success(), "{}", others.join("\n"));
    assert!(!text.contains("there is no token"), "{}", others.join("\n"));
    let tree = parse(std::fs::read(report).unwrap()).unwrap();
    if let Err(outcome) = Valid::check(Incoming::new(tree), r4(), Rules::default()) {
        panic!("{outcome:?}");
    }

    // With tokens for some parties only, scenarios that need others are skipped and the reason is reported.
    let tokens: Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
    let some = file("some.json");
    let ehr = serde_json::json!({"tokens": {"ehr": tokens["scenario_tokens"]["ehr"]}});
    std::fs::write(&some, ehr.to_string()).unwrap();
    let some = some.to_str().unwrap();
    let ran = run(["conform", &demo.base, "--ready-file", some, "--only", "http/", "--report", report]);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}");
    assert!(text.contains("skip ") && text.contains("     there is no token of doctor"), "{text}");
    let tree = parse(std::fs::read(report).unwrap()).unwrap();
    assert!(Valid::check(Incoming::new(tree), r4(), Rules::default()).is_ok());

    // If none of the chosen scenarios can run, nothing is known about the server, so that is not a success.
    std::fs::write(some, r#"{"tokens": {"stranger": "x"}}"#).unwrap();
    let ran = run(["conform", &demo.base, "--ready-file", some, "--only", "http/delete-referred/cascade"]);
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{text}");
    assert!(text.contains("no scenario can be run: there is no token of "), "{text}");

    // With an invalid token, each failure reports what was sent, expected and received.
    let ran = run([
        "conform",
        &demo.base,
        "--token",
        "none",
        "--only",
        "http/delete-referred/",
        "--report",
        report,
    ]);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    for part in ["     sent     PUT /Patient/dr-", "     expected status 201", "     got      status 401"] {
        assert!(text.contains(part), "{text}");
    }
    let tree = parse(std::fs::read(report).unwrap()).unwrap();
    assert!(Valid::check(Incoming::new(tree), r4(), Rules::default()).is_ok());

    // The reader of stdout goes away.
    let mut child = Command::new(binary())
        .args(["conform", &demo.base, "--ready-file", ready, "--only", "http/delete-referred/"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(
        stderr(&ran).contains("cannot be written") && !stderr(&ran).contains("panicked"),
        "{}",
        stderr(&ran)
    );

    // The demo's parties have the expected access.
    let get = |party: &str, path: &str| {
        let token = tokens["tokens"][party].as_str().unwrap();
        let request =
            agent().get(format!("{}/{path}", demo.base)).header("Authorization", format!("Bearer {token}"));
        let answer = request.call().unwrap();
        answer.status().as_u16()
    };
    for (party, path, status) in [
        ("doctor", "Patient/p1", 200),
        ("technician", "Patient/p1", 200),
        ("officer", "AuditEvent?_count=1", 200),
        ("administrator", "AuditEvent?_count=1", 200),
        ("patient", "Patient/p1", 200),
        ("patient", "Patient/p2", 404),
        ("representative", "Patient/child1", 200),
        ("representative", "AllergyIntolerance/child1-allergy1", 200),
        ("representative", "Patient/p1", 404),
        ("insurer", "Patient/p1", 404),
        ("other", "Patient/p1", 404),
        ("researcher", "Patient/p1", 404),
        ("ehr", "Patient/p1", 200),
    ] {
        assert_eq!(get(party, path), status, "{party} {path}");
    }
}

#[test]
fn accounts_of_accesses_are_pages_for_browsers() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("demo.ready");
    let demo = Process::demo(&ready, &["--patients", "3"]);
    let tokens: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    let ask = |party: &str, accept: &str, path: &str| {
        let token = tokens["tokens"][party].as_str().unwrap();
        let request = agent().get(format!("{}/{path}", demo.base));
        let request = request.header("Authorization", format!("Bearer {token}")).header("Accept", accept);
        let mut answer = request.call().unwrap();
        let header = |name: &str| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        let kind = header("content-type").unwrap_or_default();
        let policy = header("content-security-policy").unwrap_or_default();
        (answer.status().as_u16(), kind, policy, answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(ask("doctor", "application/fhir+json", "Patient/p1").0, 200);
    let (_, _, _, file) = ask("patient", "application/fhir+json", "Patient/p1");
    let family =
        serde_json::from_str::<Value>(&file).unwrap()["name"][0]["family"].as_str().unwrap().to_owned();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (path, parts) in [
        (
            "$who-saw",
            &["<th>When</th><th>Who</th><th>What</th><th>Why</th>", "Dr. Ruth Adler (a professional"][..],
        ),
        ("$accounting-of-disclosures", &["Accounting of disclosures", "45 CFR 164.528"]),
    ] {
        let path = format!("Patient/p1/{path}");
        let (status, kind, policy, page) = ask("patient", browser, &path);
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"), "{page}");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let always = ["<meta name=\"viewport\"", "Riverside General Hospital", "@media print", &family];
        for part in always.iter().chain(parts) {
            assert!(page.contains(part), "{part}: {page}");
        }
        // Programs get Parameters; without access to the operation there is no page either.
        assert!(ask("patient", "application/fhir+json", &path).1.starts_with("application/fhir+json"));
        assert!(
            ask("patient", browser, &format!("{path}?_format=json")).1.starts_with("application/fhir+json")
        );
        let (status, kind, _, _) = ask("insurer", browser, &path);
        assert!((status == 403 || status == 404) && kind.starts_with("application/fhir+"), "{status} {kind}");
    }
    assert_eq!(ask("patient", "text/html", "Patient/p1").0, 406);
    if let Some(path) = std::env::var_os("SHOW_PAGES") {
        let page = ask("patient", browser, "Patient/p1/$who-saw").3;
        std::fs::write(Path::new(&path).join("who-saw.html"), page).unwrap();
    }
}

#[test]
fn what_cannot_be_run_says_why_in_a_sentence() {
    let nobody = "http://127.0.0.1:9/fhir";
    for (arguments, part) in [
        (&["conform", nobody][..], "no FHIR server answers at http://127.0.0.1:9/fhir"),
        (&["conform", nobody, "--only", "nothing"], "the chapters are consent, flows, http, search"),
        (&["conform", nobody, "--ready-file", "/there/is/none"], "/there/is/none: "),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&ran).contains(part) && stderr(&ran).lines().count() == 1, "{}", stderr(&ran));
    }
}

#[test]
fn the_demo_writes_into_no_directory_that_holds_something() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("of-a-hospital"), "x").unwrap();
    let data = folder.path().to_str().unwrap();
    let ran = run(["demo", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(stderr(&ran).contains(&format!("chartward serve --data {data}")), "{}", stderr(&ran));
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 1);
}

//! Tests run the program that ships: the suites and scenarios run against the binary that users run, as `cargo build --release`
//! builds it if the tests run with `--release`. `TEST_BINARY` names another build.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chartward::auth::Issuer;
use chartward::cli::{Party, SCENARIO_PARTIES, Scenario, scenarios};
use serde_json::{Value as Json, json};

use crate::process::Process;

/// The path of the program.
pub fn binary() -> PathBuf {
    std::env::var_os("TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_chartward").into(), PathBuf::from)
}

/// Runs the program to its end.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

/// The standard output of a run that must succeed.
pub fn printed<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program on a file of cases; it answers each case with a line of JSON.
pub fn answers(command: &[&str], cases: &Json) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, cases.to_string()).unwrap();
    let mut arguments: Vec<&OsStr> = command.iter().map(OsStr::new).collect();
    arguments.push(file.as_os_str());
    printed(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A file for `--ready-file` with a token for every party of the scenarios, signed with the key of a data directory.
fn tokens(data: &Path, base: &str) -> PathBuf {
    let issuer = Issuer::new(base, &std::fs::read(data.join("keys/issuer.p8")).unwrap()).unwrap();
    let sign = |party: &Party| issuer.sign(&party.token(base, 3_600).unwrap()).unwrap();
    let tokens: BTreeMap<&str, String> =
        SCENARIO_PARTIES.iter().map(|party| (party.name, sign(party))).collect();
    let file = data.with_extension("tokens");
    std::fs::write(&file, json!({"tokens": tokens}).to_string()).unwrap();
    file
}

#[test]
fn every_scenario_holds_of_the_program() {
    let all = scenarios().unwrap();
    let needs = |policy: &str| {
        let of_policy = |scenario: &&Scenario| scenario.policy.as_deref() == Some(policy);
        all.iter().filter(of_policy).map(|scenario| scenario.id.clone()).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    for (policy, chosen) in [("own-tpo", vec![String::new()]), ("tpo", needs("tpo"))] {
        assert!(!chosen.is_empty());
        let data = folder.path().join(policy);
        let mut process = Process::start_with(&data, "", &[], &[("CHARTWARD_DEFAULT_POLICY", policy)]);
        let tokens = tokens(&data, &process.base);
        for only in &chosen {
            let only: &[&str] = if only.is_empty() { &[] } else { &["--only", only] };
            let ready = ["--ready-file", tokens.to_str().unwrap()];
            let arguments = [&["conform", &process.base, "--policy", policy], &ready[..], only].concat();
            let ran = run(arguments);
            let text = String::from_utf8_lossy(&ran.stdout);
            let failed: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
            assert!(ran.status.success(), "{policy}\n{}", failed.join("\n"));
            println!("{policy}: {}", text.lines().last().unwrap());
        }
        process.stop();
        let verified = run(["verify", "--data", data.to_str().unwrap()]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn it_gives_the_known_answers() {
    let text = printed(["selftest"]);
    assert!(text.lines().count() > 100 && text.lines().all(|line| line.starts_with("ok ")), "{text}");
}

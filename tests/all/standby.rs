//! A standby follows a server that is then lost, and takes over.
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::oauth_admin::run;
use crate::process::{Process, agent};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Writes a patient; gives its number once the write is acknowledged.
fn write(agent: &ureq::Agent, base: &str, number: u64) -> Option<u64> {
    let patient = json!({"resourceType": "Patient", "id": format!("p{number}"), "name": [{"family": format!("N{number}")}]});
    let request =
        agent.put(format!("{base}/Patient/p{number}")).header("Content-Type", "application/fhir+json");
    let answer = request.send(patient.to_string()).ok()?;
    (answer.status().as_u16() == 201).then_some(number)
}

struct Following(Child);

impl Following {
    fn start(data: &Path, base: &str) -> Self {
        let child = Command::new(crate::shipped::binary())
            .args(["standby", "--from", base, "--data"])
            .arg(data)
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let since = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < Duration::from_secs(30), "it does not stop");
            std::thread::yield_now();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_standby_takes_the_place_of_a_server_that_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let mut server = Process::start(&first);
    let agent = agent();
    for number in 0..40 {
        write(&agent, &server.base, number).unwrap();
    }
    // The standby needs the keys, and reports it if they are missing.
    let (done, said) = run(&second, &["standby", "--from", &server.base], "");
    assert!(!done && said.contains("keys"), "{said}");
    let (done, said) = run(&second, &["standby", "--from", "http://example.org/fhir"], "");
    assert!(!done && said.contains("https"), "{said}");
    copy(&first.join("keys"), &second.join("keys"));
    let following = Following::start(&second, &server.base);
    let mut acknowledged = 39;
    let since = Instant::now();
    let mut number = 40;
    while since.elapsed() < Duration::from_secs(3) {
        acknowledged = write(&agent, &server.base, number).unwrap();
        number += 1;
    }
    // Some writes that the standby has had time to receive, and some that it may not have received.
    let seen = acknowledged;
    std::thread::sleep(Duration::from_secs(2));
    for number in number..number + 20 {
        acknowledged = write(&agent, &server.base, number).unwrap();
    }
    server.kill();
    following.stop();
    // The standby must be promoted by hand, because otherwise two servers could continue from the same commit.
    let (done, said) = run(&second, &["serve"], "");
    assert!(!done && said.contains("standby"), "{said}");
    let output = Command::new(crate::shipped::binary())
        .args(["standby", "--promote", "--data"])
        .arg(&second)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("as of commit"), "{said}");
    let mut server = Process::start(&second);
    let is_there = |number: u64| {
        let answer = agent.get(format!("{}/Patient/p{number}", server.base)).call().unwrap();
        answer.status().as_u16() == 200
    };
    let present: Vec<u64> = (0..=acknowledged).filter(|number| is_there(*number)).collect();
    let count = u64::try_from(present.len()).unwrap();
    assert_eq!(present, (0..count).collect::<Vec<u64>>(), "nothing before the last commit is missing");
    assert!(count > seen, "{count} of {acknowledged}");
    // The promoted standby is a server like any other.
    write(&agent, &server.base, 1_000_000).unwrap();
    server.kill();
    let (done, said) = run(&second, &["verify"], "");
    assert!(done, "{said}");
    let output =
        Command::new(crate::shipped::binary()).args(["audit", "verify"]).arg(&second).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (done, said) = run(&second, &["standby", "--promote"], "");
    assert!(!done && said.contains("no standby"), "{said}");
}

#[test]
fn the_journal_is_for_nobody_without_the_servers_keys() {
    let site = crate::oauth::Site::new();
    let url = site.address("/admin/journal/0");
    assert_eq!(site.get(&url, None).0, 403);
    for role in ["administrator", "system", "privacy-officer"] {
        assert_eq!(site.get(&url, Some(&site.minted(role, |_| {}))).0, 403, "{role}");
    }
    // A client cannot register the scope, so it is never granted.
    let client = json!({
        "client_id": "b", "client_name": "B", "token_endpoint_auth_method": "client_secret_basic",
        "client_secret": crate::oauth::SECRET, "grant_types": ["client_credentials"], "role": "system",
        "scope": "system/*.rs chartward/follow"
    });
    let registered: Result<_, _> = site.registry.register_client(&client.to_string());
    if registered.is_ok() {
        let pairs = [("grant_type", "client_credentials"), ("scope", "system/*.rs chartward/follow")];
        let (_, answer) = site.form("/auth/token", &pairs, Some(("b", crate::oauth::SECRET)));
        assert!(!answer["scope"].as_str().unwrap_or_default().contains("follow"), "{answer}");
        let token = answer["access_token"].as_str().unwrap_or("none").to_owned();
        assert_eq!(site.get(&url, Some(&token)).0, 403);
    }
    // A server in memory has no journal to follow.
    let token = site.minted("system", |token| token.scope = "chartward/follow".to_owned());
    let (status, answer) = site.get(&url, Some(&token));
    assert!(status == 404 && answer == Value::Null, "{status} {answer}");
}

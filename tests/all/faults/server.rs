//! A server whose disk refuses: what it answers meanwhile, and that nothing acknowledged is lost.
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::oauth_admin::run;
use crate::process::Process;

use super::{EIO, EROFS, is_possible, shim};

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn write(agent: &ureq::Agent, base: &str, number: usize) -> (u16, Value) {
    let patient = json!({"resourceType": "Patient", "id": format!("p{number}"), "active": true});
    let request =
        agent.put(format!("{base}/Patient/p{number}")).header("Content-Type", "application/fhir+json");
    let mut answer = request.send(patient.to_string()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

fn status(agent: &ureq::Agent, url: &str) -> u16 {
    agent.get(url).call().unwrap().status().as_u16()
}

/// A server whose calls of a kind on the files below a part of its data directory fail while the switch is there.
struct Faulty {
    server: Process,
    switch: std::path::PathBuf,
}

impl Faulty {
    fn start(data: &Path, below: &str, kinds: &str, errno: &str) -> Self {
        let switch = data.with_extension("switch");
        let below = data.join(below);
        let variables = [
            ("LD_PRELOAD", shim().unwrap().to_str().unwrap()),
            ("FAULT_BELOW", below.to_str().unwrap()),
            ("FAULT_WHILE", switch.to_str().unwrap()),
            ("FAULT_CALLS", kinds),
            ("FAULT_ERRNO", errno),
        ];
        Self { server: Process::start_with(data, "", &["--open"], &variables), switch }
    }

    fn break_disk(&self) {
        std::fs::write(&self.switch, b"").unwrap();
    }

    fn mend_disk(&self) {
        std::fs::remove_file(&self.switch).unwrap();
    }
}

#[test]
fn a_read_only_disk_refuses_writes_and_reads_go_on() {
    if !is_possible("a_read_only_disk_refuses_writes_and_reads_go_on") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut faulty = Faulty::start(&data, "", "write,name", EROFS);
    let (agent, base) = (agent(), faulty.server.base.clone());
    for number in 0..10 {
        assert_eq!(write(&agent, &base, number).0, 201);
    }
    faulty.break_disk();
    for number in 10..15 {
        let (status, outcome) = write(&agent, &base, number);
        assert_eq!((status, &outcome["resourceType"]), (507, &json!("OperationOutcome")), "{outcome}");
    }
    for number in 0..10 {
        assert_eq!(status(&agent, &format!("{base}/Patient/p{number}")), 200);
    }
    faulty.mend_disk();
    let since = Instant::now();
    while write(&agent, &base, 20).0 != 201 {
        assert!(since.elapsed() < Duration::from_secs(20), "the disk is well and is not written");
        std::thread::sleep(Duration::from_millis(50));
    }
    faulty.server.stop();
    let (done, said) = run(&data, &["verify"], "");
    assert!(done, "{said}");
    let server = Process::start(&data);
    for number in (0..10).chain([20]) {
        assert_eq!(status(&agent, &format!("{}/Patient/p{number}", server.base)), 200);
    }
}

#[test]
fn after_a_sync_that_failed_nothing_is_acknowledged_until_a_restart() {
    if !is_possible("after_a_sync_that_failed_nothing_is_acknowledged_until_a_restart") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut faulty = Faulty::start(&data, "journal", "sync", EIO);
    let (agent, base) = (agent(), faulty.server.base.clone());
    for number in 0..10 {
        assert_eq!(write(&agent, &base, number).0, 201);
    }
    faulty.break_disk();
    let (refused, outcome) = write(&agent, &base, 10);
    assert_eq!((refused, &outcome["resourceType"]), (503, &json!("OperationOutcome")), "{outcome}");
    faulty.mend_disk();
    // Nobody can know what the disk has kept, so the sync after it proves nothing.
    assert_eq!(write(&agent, &base, 11).0, 503);
    let health = base.replace("/fhir", "/health");
    assert_eq!(
        (status(&agent, &format!("{health}/live")), status(&agent, &format!("{health}/ready"))),
        (200, 503)
    );
    faulty.server.kill();
    let server = Process::start(&data);
    for number in 0..10 {
        assert_eq!(status(&agent, &format!("{}/Patient/p{number}", server.base)), 200);
    }
    assert_eq!(write(&agent, &server.base, 11).0, 201);
    drop(server);
    let (done, said) = run(&data, &["verify"], "");
    assert!(done, "{said}");
}

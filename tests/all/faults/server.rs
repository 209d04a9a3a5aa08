//! A server with a failing disk: what it answers meanwhile, and that nothing acknowledged is lost.
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::oauth_admin::run;
use crate::process::{Process, agent, put_patient};

use super::{EIO, EROFS, is_possible, shim};

fn status(agent: &ureq::Agent, url: &str) -> u16 {
    agent.get(url).call().unwrap().status().as_u16()
}

/// A server whose calls of some kinds on the files below a part of its data directory fail while the switch file exists.
struct Faulty {
    server: Process,
    switch: std::path::PathBuf,
}

impl Faulty {
    /// A server that stored ten Patients before its disk broke; `None` if calls cannot be made to fail.
    fn broken(test: &str, data: &Path, below: &str, kinds: &str, errno: &str) -> Option<Self> {
        if !is_possible(test) {
            return None;
        }
        let switch = data.with_extension("switch");
        let below = data.join(below);
        let variables = [
            ("LD_PRELOAD", shim().unwrap().to_str().unwrap()),
            ("FAULT_BELOW", below.to_str().unwrap()),
            ("FAULT_WHILE", switch.to_str().unwrap()),
            ("FAULT_CALLS", kinds),
            ("FAULT_ERRNO", errno),
        ];
        let faulty = Self { server: Process::start_with(data, "", &["--open"], &variables), switch };
        for number in 0..10 {
            assert_eq!(put_patient(&agent(), &faulty.server.base, number).0, 201);
        }
        std::fs::write(&faulty.switch, b"").unwrap();
        Some(faulty)
    }

    fn mend_disk(&self) {
        std::fs::remove_file(&self.switch).unwrap();
    }
}

#[test]
fn a_read_only_disk_refuses_writes_and_reads_go_on() {
    let name = "a_read_only_disk_refuses_writes_and_reads_go_on";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(mut faulty) = Faulty::broken(name, &data, "", "write,name", EROFS) else { return };
    let (agent, base) = (agent(), faulty.server.base.clone());
    for number in 10..15 {
        let (status, outcome) = put_patient(&agent, &base, number);
        assert_eq!((status, &outcome["resourceType"]), (507, &json!("OperationOutcome")), "{outcome}");
    }
    for number in 0..10 {
        assert_eq!(status(&agent, &format!("{base}/Patient/p{number}")), 200);
    }
    faulty.mend_disk();
    let since = Instant::now();
    while put_patient(&agent, &base, 20).0 != 201 {
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
    let name = "after_a_sync_that_failed_nothing_is_acknowledged_until_a_restart";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(mut faulty) = Faulty::broken(name, &data, "journal", "sync", EIO) else { return };
    let (agent, base) = (agent(), faulty.server.base.clone());
    let (refused, outcome) = put_patient(&agent, &base, 10);
    assert_eq!((refused, &outcome["resourceType"]), (503, &json!("OperationOutcome")), "{outcome}");
    faulty.mend_disk();
    // Nobody knows what the disk kept, so a later successful sync proves nothing.
    assert_eq!(put_patient(&agent, &base, 11).0, 503);
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
    assert_eq!(put_patient(&agent, &server.base, 11).0, 201);
    drop(server);
    let (done, said) = run(&data, &["verify"], "");
    assert!(done, "{said}");
}

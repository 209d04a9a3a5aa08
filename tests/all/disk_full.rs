//! A full disk, on a small file system of its own: reads continue, writes are refused with an error, and nothing is lost.
//! Mounting needs privileges; without them the test reports that it is skipped.
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::oauth_admin::run;
use crate::process::{Process, agent, put_patient};
use crate::shared::skipped;

/// A file system of a few megabytes, unmounted at the end.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let Some(small) = Small::mount(48) else {
        return skipped("a_full_disk_refuses_writes_and_loses_nothing", "a file system cannot be mounted");
    };
    let (data, filler) = (small.path().join("data"), small.path().join("filler"));
    let mut server = Process::start(&data);
    let agent = agent();
    for number in 0..20 {
        assert_eq!(put_patient(&agent, &server.base, number).0, 201);
    }
    // Another file takes all the space that is left.
    let mut rest = vec![0; 1 << 16];
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &rest).is_ok() {}
    rest.truncate(1);
    while std::io::Write::write_all(&mut file, &rest).is_ok() {}
    drop(file);
    let mut refused = 0;
    let mut acknowledged = 20;
    for number in 20..2_000 {
        match put_patient(&agent, &server.base, number) {
            (201, _) => acknowledged = number + 1,
            (507, outcome) => {
                assert_eq!(outcome["resourceType"], "OperationOutcome");
                assert!(outcome["issue"][0]["diagnostics"].as_str().unwrap().contains("full"), "{outcome}");
                refused += 1;
            }
            (status, outcome) => panic!("{status}: {outcome}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5);
    // Reads continue, and their access records wait for space.
    for _ in 0..50 {
        let answer = agent.get(format!("{}/Patient/p7", server.base)).call().unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }
    std::fs::remove_file(&filler).unwrap();
    let since = Instant::now();
    while put_patient(&agent, &server.base, 5_000).0 != 201 {
        assert!(since.elapsed() < Duration::from_secs(20), "there is room and it is not taken");
        std::thread::sleep(Duration::from_millis(100));
    }
    let url = format!("{}/AuditEvent?patient=Patient/p7&_summary=count", server.base);
    let officer = run(
        &data,
        &[
            "token",
            "--role",
            "privacy-officer",
            "--organization",
            "Organization/hospital",
            "--purpose",
            "HOPERAT",
        ],
        "",
    );
    let request = agent.get(url).header("Authorization", format!("Bearer {}", officer.1.trim()));
    let told: Value =
        serde_json::from_str(&request.call().unwrap().body_mut().read_to_string().unwrap()).unwrap();
    assert!(told["total"].as_u64() >= Some(51), "every read while the disk was full is on record: {told}");
    server.kill();
    let server = Process::start(&data);
    for number in (0..acknowledged).chain([5_000]) {
        let answer = agent.get(format!("{}/Patient/p{number}", server.base)).call().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "p{number} of {acknowledged}");
    }
    drop(server);
    let (done, said) = run(&data, &["verify"], "");
    assert!(done, "{said}");
}

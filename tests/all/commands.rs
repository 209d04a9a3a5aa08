//! Commands as operators use them: for what is missing, in use, already present or wrong they report an error, and lose or
//! create nothing.
use std::path::Path;

use crate::process::Process;
use crate::shipped::run;

/// The exit code and stderr of a command.
fn ran(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn commands_that_read_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "x").unwrap();
    let file = folder.path().join("made");
    for data in [&absent, &other] {
        for command in [
            &["verify"][..],
            &["backup", text(&file)],
            &["reindex"],
            &["client", "list"],
            &["client", "show", "a"],
            &["client", "disable", "a"],
            &["user", "list"],
            &["user", "enable", "a"],
            &["keys", "rotate"],
            &["token", "--role", "patient", "--user", "Patient/p1", "--purpose", "PATRQT"],
        ] {
            let (code, said) = ran(&[command, &["--data", text(data)]].concat());
            assert_eq!(code, Some(1), "{command:?}");
            let what = format!("chartward serve --data {}", text(data));
            assert!(said.contains(&what) && said.lines().count() == 1, "{command:?}: {said}");
        }
        assert!(ran(&["audit", "verify", text(data)]).1.contains("name the data directory"));
    }
    assert!(!absent.exists() && !file.exists());
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn a_directory_in_use_names_its_server_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("a.ndjson");
    std::fs::write(&file, "").unwrap();
    let mut server = Process::start(&data);
    for command in [&["verify"][..], &["serve", "--listen", "127.0.0.1:0"], &["import", text(&file)]] {
        let (code, said) = ran(&[command, &["--data", text(&data)]].concat());
        let process = format!("(process {})", server.id());
        assert!(said.contains(&server.base) && said.contains(&process), "{command:?}: {said}");
        assert!(said.contains("stop it first") && said.contains("import --url"), "{said}");
        assert_eq!(code, Some(1));
    }
    server.stop();
    assert_eq!(ran(&["verify", "--data", text(&data)]).0, Some(0));
}

#[test]
fn a_backup_overwrites_nothing_and_a_restore_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, restored) = (folder.path().join("data"), folder.path().join("restored"));
    let file = folder.path().join("of-a-hospital");
    let mut server = Process::start(&data);
    std::fs::write(&file, "x").unwrap();
    let backup = ["backup", text(&file), "--data", text(&data)];
    for _ in 0..2 {
        // Once while the server runs, and once after it has stopped.
        let (code, said) = ran(&backup);
        assert!(code == Some(1) && said.contains("overwrites nothing"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        if server.is_running() {
            server.stop();
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ran(&backup).0, Some(0));
    let output = run(["restore", text(&file), "--data", text(&restored)]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["restored 0 resources (0 versions)", "copy the `keys` directory", "restored/keys"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn tokens_clients_and_users_are_held_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Process::start(&data).stop();
    let organization = ["--organization", "Organization/hospital"];
    let all = |arguments: &[&str]| {
        let id = ["x"];
        let scope = ["--scope", "system/*.rs"];
        let data = ["--data", text(&data)];
        [
            ran(&[&["token"], &scope[..], arguments, &data].concat()),
            ran(&[&["client", "add"], &id[..], &scope, arguments, &data].concat()),
            ran(&[&["user", "add"], &id[..], arguments, &data].concat()),
        ]
    };
    for (arguments, part) in [
        (&["--role", "clinician", "--purpose", "TREAT"][..], "acts for an organization"),
        (&["--role", "insurer"], "acts for an organization"),
        (&["--role", "clinician", "--purpose", "XYZZY", organization[0], organization[1]], "XYZZY"),
        (&["--role", "clinician", "--purpose", "HPAYMT", organization[0], organization[1]], "but for TREAT"),
        (
            &["--role", "clinician", "--organization", "hospital"],
            "organization is written as Organization/id",
        ),
        (&["--role", "clinician", "--user", "Nobody/1", organization[0], organization[1]], "fhir_user is a"),
        (&["--role", "patient", "--purpose", "PATRQT"], "a patient needs its Patient"),
        (&["--role", "patient", "--user", "Patient/p1", "--patient", "a b"], "patient is the id"),
        (&["--role", "nobody"], "there is no role `nobody`"),
    ] {
        for (code, said) in all(arguments) {
            assert!(code == Some(1) && said.contains(part), "{arguments:?}: {said}");
        }
    }
    let data = ["--data", text(&data)];
    let token =
        ["token", "--role", "system", organization[0], organization[1], "--scope", "system/Nothing.rs"];
    assert!(ran(&[&token[..], &data].concat()).1.contains("is no scope"));
    let app =
        ["client", "add", "app", "--auth", "none", "--grant", "authorization_code", "--scope", "openid"];
    let redirect = ["--redirect-uri", "http://elsewhere.example/cb"];
    assert!(ran(&[&app[..], &redirect, &data].concat()).1.contains("redirect_uri"));
    let purpose = ["--redirect-uri", "https://app.example/cb", "--purpose", "XYZZY"];
    assert!(ran(&[&app[..], &purpose, &data].concat()).1.contains("no role asks for"));
}

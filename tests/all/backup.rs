//! A backup holds every version; a server restored from it continues as if nothing had happened, on any backend.
use std::sync::Arc;

use chartward::auth::{Party, Role};
use chartward::cli::{Config, House};
use chartward::model::parse;
use chartward::operations::{Answer, Engine, Headers, Payload, Request, Verb};
use chartward::store::{At, Kv, Memory, Sled, SledOptions, SystemClock, read_dump, write_dump};
use serde_json::{Value, json};

use crate::erasure::party;
use crate::oauth_admin::run;

fn send(engine: &Engine, verb: Verb, path: &str, headers: Headers, body: Option<&Value>) -> Answer {
    let party = Arc::new(Party::open("Organization/hospital"));
    let path = path.split('/').map(str::to_owned).collect();
    let payload =
        body.map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
    engine.handle(&party, Request { headers, payload, ..Request::new(verb, path, Vec::new()) }).unwrap()
}

#[test]
fn what_is_restored_goes_on_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: folder.path().join("before"), ..Config::default() };
    let house = House::open(&config).unwrap();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    for round in 0..3 {
        for number in 0..40 {
            let patient = json!({"resourceType": "Patient", "id": format!("n{number}"), "multipleBirthInteger": round + 1});
            send(&engine, Verb::Put, &format!("Patient/n{number}"), Headers::default(), Some(&patient));
        }
    }
    send(&engine, Verb::Delete, "Patient/n39", Headers::default(), None);
    let before = send(&engine, Verb::Get, "Patient/n1", Headers::default(), None);
    drop(engine);
    house.sled.as_ref().unwrap().close().unwrap();
    drop(house);

    let source = Sled::open(&SledOptions::new(&config.data), Arc::new(SystemClock)).unwrap();
    let mut dump = Vec::new();
    let written = write_dump(&*source.snapshot(At::Latest).unwrap(), &mut dump).unwrap();
    let memory = Memory::new(Arc::new(SystemClock));
    assert_eq!(read_dump(&mut dump.as_slice(), &memory).unwrap(), written);
    assert!(
        read_dump(&mut dump.as_slice(), &memory).is_err(),
        "a store with something in it is not restored over"
    );

    let after = Config { data: folder.path().join("after"), ..Config::default() };
    let target = Sled::open(&SledOptions::new(&after.data), Arc::new(SystemClock)).unwrap();
    assert_eq!(read_dump(&mut dump.as_slice(), &target).unwrap(), written);
    target.close().unwrap();
    drop(target);
    // It also opens from its journal alone: durability does not depend on sled's directory.
    std::fs::remove_dir_all(after.data.join("sled")).unwrap();
    let house = House::open(&after).unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    let engine = house.engine(&after, "http://127.0.0.1/fhir", false).unwrap();
    let found = send(&engine, Verb::Get, "Patient/n1", Headers::default(), None);
    assert_eq!((found.body.json(), &found.version_id), (before.body.json(), &before.version_id));
    let headers = Headers {
        if_match: found.version_id.map(|version| format!("W/\"{version}\"")),
        ..Headers::default()
    };
    let patient = json!({"resourceType": "Patient", "id": "n1", "multipleBirthInteger": 9});
    send(&engine, Verb::Put, "Patient/n1", headers, Some(&patient));
    let history = send(&engine, Verb::Get, "Patient/n1/_history", Headers::default(), None);
    let history: Value = serde_json::from_str(history.body.json().unwrap()).unwrap();
    assert_eq!(history["total"], 4);
    let made =
        send(&engine, Verb::Post, "Patient", Headers::default(), Some(&json!({"resourceType": "Patient"})));
    assert_eq!(made.kind.status(), 201);
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
}

#[test]
fn a_running_server_is_backed_up_without_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { data: folder.path().join("data"), listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let house = House::open(&config).unwrap();
    let mut running = chartward::cli::start(&config, &house, true, None).unwrap();
    std::fs::write(config.data.join("server.json"), json!({"base_url": running.base_url}).to_string())
        .unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let patient = r#"{"resourceType":"Patient"}"#;
    let write = || {
        let url = format!("{}/Patient", running.base_url);
        agent.post(url).header("Content-Type", "application/fhir+json").send(patient).unwrap().status()
    };
    assert_eq!(write(), 201);
    let origin = running.base_url.strip_suffix("/fhir").unwrap().to_owned();
    // The party of an open server is the hospital's system, which is not an administrator.
    assert_eq!(agent.post(format!("{origin}/admin/backup")).send_empty().unwrap().status(), 403);
    let file = folder.path().join("backup.cwdump");
    let chartward = |arguments: &[&str]| {
        std::process::Command::new(crate::shipped::binary()).args(arguments).output().unwrap()
    };
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let ran = chartward(&["backup", &text(&file), "--data", &text(&config.data)]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(write(), 201);
    running.stop().unwrap();
    let restored = folder.path().join("restored");
    let ran = chartward(&["restore", &text(&file), "--data", &text(&restored)]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let house = House::open(&Config { data: restored, ..Config::default() }).unwrap();
    let findings = house.verify().unwrap();
    assert_eq!((findings.resources, findings.faults), (1, Vec::new()));
}

#[test]
fn a_damaged_backup_is_noticed() {
    let memory = Memory::new(Arc::new(SystemClock));
    let write = chartward::store::Write {
        key: vec![8, 1],
        value: Some(vec![7; 5_000]),
        ..chartward::store::Write::default()
    };
    memory.commit(chartward::store::Batch { writes: vec![write], ..Default::default() }).wait().unwrap();
    let mut dump = Vec::new();
    write_dump(&*memory.snapshot(At::Latest).unwrap(), &mut dump).unwrap();
    for at in 0..dump.len() {
        let mut damaged = dump.clone();
        damaged[at] ^= 0x40;
        let target = Memory::new(Arc::new(SystemClock));
        let restored = read_dump(&mut damaged.as_slice(), &target);
        // A flipped bit in the compression's framing may leave the content unchanged.
        let same = restored.is_ok()
            && target.snapshot(At::Latest).unwrap().get(&[8, 1]).unwrap().unwrap().0 == vec![7; 5_000];
        assert!(restored.is_err() || same, "byte {at}");
    }
    assert!(read_dump(&mut &dump[..dump.len() - 3], &Memory::new(Arc::new(SystemClock))).is_err());
}

#[test]
fn a_backup_and_the_journal_after_it_give_any_point_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: folder.path().join("data"), ..Config::default() };
    let put = |house: &House, number: u64, round: u64| {
        let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
        let patient =
            json!({"resourceType": "Patient", "id": format!("n{number}"), "multipleBirthInteger": round});
        let answer =
            send(&engine, Verb::Put, &format!("Patient/n{number}"), Headers::default(), Some(&patient));
        answer.last_modified.unwrap()
    };
    let house = House::open(&config).unwrap();
    for number in 0..10 {
        put(&house, number, 1);
    }
    drop(house);
    let file = folder.path().join("file");
    let (done, said) = run(&config.data, &["backup", file.to_str().unwrap()], "");
    assert!(done, "{said}");
    let house = House::open(&config).unwrap();
    let mut moments = Vec::new();
    for round in 2..6 {
        for number in 0..12 {
            put(&house, number, round);
        }
        moments.push(put(&house, 20 + round, round));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Erased after the second moment, so no restore contains it.
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let reason =
        json!({"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "asked"}]});
    let path = ["Patient", "n3", "$erase"].map(str::to_owned).to_vec();
    let payload = Payload::Resource(parse(reason.to_string().into_bytes()).unwrap());
    let (query, headers) = (Vec::new(), Headers::default());
    let request = Request { headers, payload, ..Request::new(Verb::Post, path, query) };
    engine.handle(&party(Role::Administrator), request).unwrap();
    drop(engine);
    drop(house);
    let restore = |name: &str, more: &[&str]| {
        let target = folder.path().join(name);
        let journal = config.data.to_str().unwrap();
        let arguments = [&["restore", file.to_str().unwrap(), "--journal", journal][..], more].concat();
        (run(&target, &arguments, ""), target)
    };
    let at = |moment: i64| chartward::model::Temporal::from_millis(moment).to_text();
    for (number, moment) in moments.iter().enumerate() {
        let ((done, said), target) = restore(&format!("at{number}"), &["--until", &at(*moment)]);
        assert!(done, "{said}");
        let config = Config { data: target, ..Config::default() };
        let house = House::open(&config).unwrap();
        assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
        let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
        let value = |id: u64| {
            let party = Arc::new(Party::open("Organization/hospital"));
            let path = vec!["Patient".to_owned(), format!("n{id}")];
            let (query, headers, payload) = (Vec::new(), Headers::default(), Payload::None);
            let request = Request { headers, payload, ..Request::new(Verb::Get, path, query) };
            let answer = engine.handle(&party, request).ok()?;
            let patient: Value = serde_json::from_str(answer.body.json()?).ok()?;
            patient["multipleBirthInteger"].as_u64()
        };
        let round = number as u64 + 2;
        assert_eq!(
            (value(1), value(11), value(20 + round)),
            (Some(round), Some(round), Some(round)),
            "{said}"
        );
        assert_eq!((value(20 + round + 1), value(3)), (None, None), "{said}");
        // New writes continue after the restored state.
        put(&house, 1, 99);
        assert_eq!(value(1), Some(99));
        assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    }
    let ((done, said), target) = restore("all", &[]);
    assert!(done, "{said}");
    assert!(run(&target, &["verify"], "").0);
    let ((done, said), target) = restore("too-early", &["--until", "2020-01-01T00:00:00Z"]);
    assert!(!done && said.contains("later moment") && !target.exists(), "{said}");
    // A journal copied before the backup does not continue from it.
    let copy = folder.path().join("copy");
    std::fs::create_dir_all(copy.join("journal")).unwrap();
    for file in journal_files(&config.data) {
        std::fs::copy(&file, copy.join("journal").join(file.file_name().unwrap())).unwrap();
    }
    let later = folder.path().join("later");
    put(&House::open(&config).unwrap(), 40, 1);
    assert!(run(&config.data, &["backup", later.to_str().unwrap()], "").0);
    let arguments = ["restore", later.to_str().unwrap(), "--journal", copy.to_str().unwrap()];
    let (done, said) = run(&folder.path().join("not-of"), &arguments, "");
    assert!(!done && said.contains("does not go on"), "{said}");
    // From a damaged journal nothing is restored that would look complete.
    let files = journal_files(&config.data);
    let last = files.iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(last, bytes).unwrap();
    let ((done, said), target) = restore("damaged", &[]);
    assert!(!done && !target.exists(), "{said}");
}

fn journal_files(data: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_backup_of_an_earlier_release_opens() {
    // A backup with two resources, one of them in two versions, written before versions were compressed with dictionaries.
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/backups/before-dictionaries.cwdump");
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: folder.path().join("data"), ..Config::default() };
    let (done, said) = run(&config.data, &["restore", file.to_str().unwrap()], "");
    assert!(done, "{said}");
    // The indexes of an earlier release are rebuilt, as a server does before it serves requests.
    let (done, said) = run(&config.data, &["reindex"], "");
    assert!(done, "{said}");
    let house = House::open(&config).unwrap();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    let get = |path: &str| -> Value {
        let answer = send(&engine, Verb::Get, path, Headers::default(), None);
        serde_json::from_str(answer.body.json().unwrap()).unwrap()
    };
    assert_eq!(get("Patient/a")["name"][0]["given"][0], "Bea");
    assert_eq!(get("Patient/a/_history")["total"], 2);
    assert_eq!(get("Observation/o")["valueQuantity"]["value"], 72);
    let patient = json!({"resourceType": "Patient", "id": "a", "active": true});
    send(&engine, Verb::Put, "Patient/a", Headers::default(), Some(&patient));
    assert_eq!(get("Patient/a/_history")["total"], 3);
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
}

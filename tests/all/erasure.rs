//! A patient's file is erased: nobody can read it any more, on any backend, and nothing of it is left on disk, whenever the
//! server stops meanwhile.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chartward::auth::{Issuer, Party, Role, Scopes};
use chartward::cli::{Config, House, claims};
use chartward::model::parse;
use chartward::operations::{Answer, Engine, Headers, Payload, Refusal, Request, Verb, decode_pairs};
use chartward::store::{At, Batch, Kv, Memory, SystemClock, read_dump, verify_chain, write_dump};
use serde_json::{Value, json};

use crate::in_process::Server;
use crate::process::Process;

const HOSPITAL: &str = "Organization/hospital";
/// Strings that occur in texts and index entries of the erased file, and nowhere else.
const NEEDLES: [&str; 4] = ["Quillfeather", "quillfeather", "zygomorph", "1931-07-19"];

pub fn party(role: Role) -> Arc<Party> {
    let scopes = Scopes::parse("user/*.cruds");
    let purposes = vec!["HOPERAT".to_owned()];
    let subject = role.code().to_owned();
    Arc::new(Party { subject, role, purposes, scopes, assign_ids: false, ..Party::open(HOSPITAL) })
}

fn ask(
    engine: &Engine,
    party: &Arc<Party>,
    verb: Verb,
    url: &str,
    body: Option<&Value>,
) -> Result<Answer, Refusal> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.split('/').map(str::to_owned).collect();
    let payload =
        body.map_or(Payload::None, |body| Payload::Resource(parse(body.to_string().into_bytes()).unwrap()));
    let (query, headers) = (decode_pairs(query), Headers::default());
    engine.handle(party, Request { headers, payload, ..Request::new(verb, path, query) })
}

fn status(engine: &Engine, party: &Arc<Party>, verb: Verb, url: &str, body: Option<&Value>) -> u16 {
    match ask(engine, party, verb, url, body) {
        Ok(answer) => answer.kind.status(),
        Err(refusal) => refusal.kind.status(),
    }
}

fn get(engine: &Engine, party: &Arc<Party>, url: &str) -> Value {
    let answer = ask(engine, party, Verb::Get, url, None);
    let answer = answer.unwrap_or_else(|refusal| panic!("{url}: {}", refusal.outcome.to_json()));
    serde_json::from_str(answer.body.json().unwrap()).unwrap()
}

fn reference(to: &str) -> Value {
    json!({"reference": to})
}

/// A file of ten resources with twelve versions, one resource about two patients, one that was once about this patient, and
/// another file.
fn resources() -> Vec<Value> {
    let of = |kind: &str, id: &str, patient: &str, text: &str| json!({"resourceType": kind, "id": id, "status": "final", "code": {"text": text}, "subject": reference(patient)});
    let patient = json!({"resourceType": "Patient", "id": "q", "birthDate": "1931-07-19", "name": [{"family": "Quillfeather"}]});
    let mut married = patient.clone();
    married["name"] = json!([{"family": "Quillfeather-Smith"}]);
    vec![
        patient,
        married,
        json!({"resourceType": "Patient", "id": "other", "name": [{"family": "Kept"}]}),
        of("Observation", "o1", "Patient/q", "zygomorph"),
        of("Observation", "o1", "Patient/q", "zygomorph, again"),
        of("Observation", "o2", "Patient/other", "kept"),
        of("Observation", "moved", "Patient/q", "once of the one"),
        of("Observation", "moved", "Patient/other", "now of the other"),
        of("Observation", "deleted", "Patient/q", "zygomorph, deleted"),
        json!({"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "enlnb21vcnBo"}),
        json!({"resourceType": "Binary", "id": "b2", "contentType": "text/plain", "data": "enlnb21vcnBo"}),
        document("b1"),
        document("b2"),
        json!({"resourceType": "Provenance", "id": "p1", "recorded": "2026-01-01T00:00:00Z", "target": [reference("Observation/o1")],
            "agent": [{"who": reference("Practitioner/d")}]}),
        json!({"resourceType": "Provenance", "id": "p2", "recorded": "2026-01-01T00:00:00Z", "target": [reference("Observation/o2")],
            "agent": [{"who": reference("Practitioner/d")}]}),
        json!({"resourceType": "Consent", "id": "c1", "status": "inactive", "patient": reference("Patient/q"),
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}], "policyRule": {"text": "x"}}),
        json!({"resourceType": "Task", "id": "t1", "status": "draft", "intent": "plan", "for": reference("Patient/q")}),
        json!({"resourceType": "Group", "id": "both", "type": "person", "actual": true,
            "member": [{"entity": reference("Patient/q")}, {"entity": reference("Patient/other")}]}),
    ]
}

fn document(binary: &str) -> Value {
    json!({"resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": reference("Patient/q"),
        "content": [{"attachment": {"url": format!("Binary/{binary}")}}]})
}

fn seed(engine: &Engine) {
    let ehr = Arc::new(Party::open(HOSPITAL));
    for resource in resources() {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        ask(engine, &ehr, Verb::Put, &url, Some(&resource))
            .unwrap_or_else(|refusal| panic!("{url}: {}", refusal.outcome.to_json()));
    }
    assert_eq!(status(engine, &ehr, Verb::Delete, "Observation/deleted", None), 204);
}

fn erase(engine: &Engine) -> Value {
    let answer = ask(engine, &party(Role::Administrator), Verb::Post, "Patient/q/$erase?reason=wish", None);
    let answer = answer.unwrap_or_else(|refusal| panic!("{}", refusal.outcome.to_json()));
    serde_json::from_str(answer.body.json().unwrap()).unwrap()
}

/// Reads by id only, because search values would appear in the access record.
fn erased_is_not_read(engine: &Engine) {
    let ehr = Arc::new(Party::open(HOSPITAL));
    for id in [
        "Patient/q",
        "Observation/o1",
        "Observation/deleted",
        "DocumentReference/d1",
        "Binary/b1",
        "Binary/b2",
        "Provenance/p1",
        "Consent/c1",
        "Task/t1",
    ] {
        assert_eq!(status(engine, &ehr, Verb::Get, id, None), 404, "{id}");
        assert_eq!(status(engine, &ehr, Verb::Get, &format!("{id}/_history"), None), 404, "{id}");
    }
    for id in ["Patient/other", "Observation/o2", "Observation/moved", "Provenance/p2", "Group/both"] {
        assert_eq!(status(engine, &ehr, Verb::Get, id, None), 200, "{id}");
    }
    // The id cannot be used again.
    let again = json!({"resourceType": "Patient", "id": "q"});
    assert_eq!(status(engine, &ehr, Verb::Put, "Patient/q", Some(&again)), 403);
}

fn erased_is_gone(engine: &Engine) {
    let ehr = Arc::new(Party::open(HOSPITAL));
    for (url, total) in [
        ("Patient?birthdate=1931-07-19", 0),
        ("Patient?family=quillfeather", 0),
        ("Observation?subject=Patient/q", 0),
        ("Patient", 1),
        ("Observation", 2),
        ("Patient/_history", 1),
        ("Binary/_history", 0),
    ] {
        assert_eq!(get(engine, &ehr, url)["total"], total, "{url}");
    }
    erased_is_not_read(engine);
}

fn what_an_erasure_does(server: &Server) {
    let engine = &server.engine;
    let (administrator, officer) = (party(Role::Administrator), party(Role::PrivacyOfficer));
    let ehr = Arc::new(Party::open(HOSPITAL));
    seed(engine);
    let first = get(engine, &ehr, "Observation?_count=1");
    let next = first["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap();
    let next = next["url"].as_str().unwrap().split_once("/fhir/").unwrap().1.to_owned();
    assert_eq!(status(engine, &ehr, Verb::Get, &next, None), 200);
    let refused = |party: &Arc<Party>, url: &str| status(engine, party, Verb::Post, url, None);
    let url = "Patient/q/$erase?reason=wish";
    assert_eq!(refused(&officer, url), 403);
    assert_eq!(refused(&party(Role::Clinician), url), 403);
    let elsewhere = Party { organization: Some("Organization/other".to_owned()), ..(*administrator).clone() };
    assert_eq!(refused(&Arc::new(elsewhere), url), 403);
    assert_eq!(refused(&administrator, "Patient/q/$erase"), 400);
    assert_eq!(refused(&administrator, "Patient/nobody/$erase?reason=wish"), 404);
    assert_eq!(refused(&officer, "Patient/q/$hold?reason=court"), 200);
    assert_eq!(refused(&administrator, url), 409);
    assert_eq!(refused(&officer, "Patient/q/$release-hold"), 200);

    let said = erase(engine);
    let values = |name: &str| -> Vec<&Value> {
        let all = said["parameter"].as_array().unwrap().iter().filter(|part| part["name"] == name);
        all.map(|part| part.get("valueInteger").unwrap_or(&part["valueReference"]["reference"])).collect()
    };
    // The Task of the hold, which was created and closed, belongs to the file, too.
    assert_eq!((values("resources"), values("versions")), (vec![&json!(10)], vec![&json!(15)]), "{said}");
    assert_eq!(values("kept"), [&json!("Group/both"), &json!("Observation/moved")]);
    erased_is_gone(engine);
    assert_eq!(status(engine, &ehr, Verb::Get, &next, None), 410, "a page of before");
    assert_eq!(refused(&administrator, url), 404);
    assert_eq!(server.house.verify().unwrap().faults, Vec::<String>::new());
    let events = get(engine, &administrator, "AuditEvent?patient=Patient/q&_count=50");
    let told = events["entry"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["resource"]["outcomeDesc"].as_str());
    assert_eq!(told.filter(|text| text.contains("erased 10 resources with 15 versions: wish")).count(), 1);
}

#[test]
fn an_erased_file_is_gone_on_disk() {
    what_an_erasure_does(&Server::new());
}

#[test]
fn an_erased_file_is_gone_in_memory() {
    what_an_erasure_does(&Server::in_memory());
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files below a folder that contain a needle; compressed ones are unpacked first.
fn found_in(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    files(folder, &mut paths);
    let mut found = Vec::new();
    for path in paths {
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "zst") {
            bytes = zstd::decode_all(bytes.as_slice()).unwrap();
        }
        for needle in NEEDLES {
            if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                found.push(format!("{needle} in {}", path.display()));
            }
        }
    }
    found
}

/// Waits until the background work of an erasure is done.
fn completed(house: &House) {
    let since = Instant::now();
    while house.sled.as_ref().unwrap().is_erasing() {
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", house.sled.as_ref().unwrap().failure());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn open(data: &Path) -> (Config, House) {
    let config = Config { data: data.to_owned(), ..Config::default() };
    let house = House::open(&config).unwrap();
    (config, house)
}

fn close(house: House) {
    house.sled.as_ref().unwrap().close().unwrap();
}

fn audit_verify(data: &Path) -> (bool, String) {
    let ran = Command::new(crate::shipped::binary())
        .args(["audit", "verify", data.to_str().unwrap()])
        .output()
        .unwrap();
    (ran.status.success(), [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat())
}

#[test]
fn no_byte_of_an_erased_file_is_left_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (config, house) = open(&data);
    seed(&house.engine(&config, "http://127.0.0.1/fhir", false).unwrap());
    close(house);
    // While the data is there, the search for the needles finds it.
    let (sled, journal) = (data.join("sled"), data.join("journal"));
    assert!(found_in(&sled).len() >= 3, "{:?}", found_in(&sled));
    assert_eq!(found_in(&journal).len(), NEEDLES.len());

    let (config, house) = open(&data);
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    erase(&engine);
    erased_is_not_read(&engine);
    completed(&house);
    assert_eq!(found_in(&journal), Vec::<String>::new());
    erased_is_not_read(&engine);
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    drop(engine);
    close(house);
    let (config, house) = open(&data);
    assert_eq!(house.sled.as_ref().unwrap().opened().not_renewed, None);
    erased_is_not_read(&house.engine(&config, "http://127.0.0.1/fhir", false).unwrap());
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    close(house);
    // sled's files were rewritten when the directory was opened.
    assert_eq!(found_in(&data), Vec::<String>::new());

    let (is_content, said) = audit_verify(&data);
    assert!(
        is_content && said.contains("the file of Patient/q was erased, 9 resources with 13 versions"),
        "{said}"
    );
    assert!(said.contains("9 resources are erased; ") && !said.contains("fault"), "{said}");
    // A store rebuilt from the journal alone is the same.
    std::fs::remove_dir_all(&sled).unwrap();
    let (config, house) = open(&data);
    erased_is_gone(&house.engine(&config, "http://127.0.0.1/fhir", false).unwrap());
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    completed(&house);
    close(house);
}

#[test]
fn an_older_backup_is_restored_without_what_was_erased_since() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (config, house) = open(&path("data"));
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    seed(&engine);
    let mut dump = Vec::new();
    write_dump(&*house.kv().snapshot(At::Latest).unwrap(), &mut dump).unwrap();
    std::fs::write(path("before.cwdump"), dump).unwrap();
    erase(&engine);
    // The row of a resource that was created after the backup and then erased must not be assigned again.
    let late = json!({"resourceType": "Patient", "id": "late", "name": [{"family": "Late"}]});
    ask(&engine, &Arc::new(Party::open(HOSPITAL)), Verb::Put, "Patient/late", Some(&late)).unwrap();
    let url = "Patient/late/$erase?reason=wish";
    assert_eq!(status(&engine, &party(Role::Administrator), Verb::Post, url, None), 200);
    drop(engine);
    close(house);
    let (_, other) = open(&path("unrelated"));
    close(other);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let restore = |to: &str, erased_in: &str| {
        let mut command = Command::new(crate::shipped::binary());
        command.args([
            "restore",
            &text("before.cwdump"),
            "--data",
            &text(to),
            "--erased-in",
            &text(erased_in),
        ]);
        command.output().unwrap()
    };
    let ran = restore("wrong", "unrelated");
    assert!(
        !ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("another store"),
        "{ran:?}"
    );
    let ran = restore("restored", "data");
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(found_in(&path("restored")), Vec::<String>::new());
    let (config, house) = open(&path("restored"));
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    erased_is_gone(&engine);
    ask(&engine, &Arc::new(Party::open(HOSPITAL)), Verb::Put, "Patient/late", Some(&late)).unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    // A restored backup of what is left assigns no row a second time.
    let url = "Patient/late/$erase?reason=wish";
    assert_eq!(status(&engine, &party(Role::Administrator), Verb::Post, url, None), 200);
    let mut dump = Vec::new();
    write_dump(&*house.kv().snapshot(At::Latest).unwrap(), &mut dump).unwrap();
    let again = Memory::new(Arc::new(SystemClock));
    read_dump(&mut dump.as_slice(), &again).unwrap();
    let rows = |kv: &dyn Kv| kv.commit(Batch { rows: 1, ..Batch::default() }).wait().unwrap().first_row;
    assert_eq!(rows(&again), rows(&**house.kv()));
}

#[test]
fn a_directory_in_a_dropped_format_is_refused_with_the_commands_that_convert_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("journal")).unwrap();
    let file = data.join("journal/00000000000000000001.journal");
    std::fs::write(&file, [b"CWJOURN1", &1_u64.to_be_bytes()[..], &[0; 32], b"records"].concat()).unwrap();
    let ran = Command::new(crate::shipped::binary()).arg("verify").arg("--data").arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("`chartward backup FILE`") && said.contains("`chartward restore FILE`"), "{said}");
    assert!(file.exists() && !data.join("sled.damaged").exists(), "the directory stays as it is");
}

/// An administrator's token, signed with the key in the directory.
fn token(data: &Path, base: &str) -> String {
    let key = std::fs::read(data.join("keys/issuer.p8")).unwrap();
    let mut token = claims(base, 60).unwrap();
    "administrator".clone_into(&mut token.sub);
    Role::Administrator.code().clone_into(&mut token.role);
    "user/*.cruds".clone_into(&mut token.scope);
    token.purpose_of_use = vec!["HOPERAT".to_owned()];
    token.organization = Some(HOSPITAL.to_owned());
    Issuer::new(base, &key).unwrap().sign(&token).unwrap()
}

#[test]
fn an_erasure_that_is_killed_is_done_or_taken_up_again() {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let (mut erased, mut whole) = (0, 0);
    // Stop times from before the commit to the middle of the background work, about a second later.
    for after in [0, 5, 15, 40, 200, 900, 1_050, 1_200] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (config, house) = open(&data);
        seed(&house.engine(&config, "http://127.0.0.1/fhir", false).unwrap());
        close(house);
        let mut process = Process::start(&data);
        let (url, bearer) =
            (format!("{}/Patient/q/$erase?reason=wish", process.base), token(&data, &process.base));
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let sent = agent.post(&url).header("Authorization", format!("Bearer {bearer}")).send_empty();
                sent.ok().map(|answer| answer.status().as_u16())
            });
            let (since, enough) = (Instant::now(), Duration::from_millis(after));
            while since.elapsed() < enough {
                std::thread::park_timeout(enough.saturating_sub(since.elapsed()));
            }
            process.kill();
            asking.join().unwrap()
        });
        assert!(asked.is_none_or(|status| status == 200), "{after}: {asked:?}");
        let (config, house) = open(&data);
        let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
        let ehr = Arc::new(Party::open(HOSPITAL));
        assert_eq!(house.verify().unwrap().faults, Vec::<String>::new(), "{after}");
        if status(&engine, &ehr, Verb::Get, "Patient/q", None) == 200 {
            assert_eq!(asked, None, "{after}: what was acknowledged is not there");
            assert_eq!(status(&engine, &ehr, Verb::Get, "Binary/b1", None), 200);
            whole += 1;
            continue;
        }
        erased += 1;
        completed(&house);
        assert_eq!(found_in(&data.join("journal")), Vec::<String>::new(), "{after}");
        drop(engine);
        close(house);
        let (_, house) = open(&data);
        close(house);
        assert_eq!(found_in(&data.join("sled")), Vec::<String>::new(), "{after}");
        verify_chain(&data).unwrap();
    }
    assert!(erased > 0, "nothing was erased");
    println!("killed {} times: {erased} erased, {whole} whole", erased + whole);
}

//! `chartward demo --tour`: shows a hospital's work as requests, each with the expected and the actual result. It starts a server
//! process of its own, which it also kills.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::store::verify_chain;

use super::config::Config;
use super::conform::{Target, scenarios};
use super::demo_hospital::{LIFETIME_SECONDS, load};
use super::house::House;
use super::parties::{DEMO_PARTIES, Party, SCENARIO_PARTIES, signed};
use super::response::ReceivedResponse;

/// The longest time that a server may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// A folder that is removed when this value is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server in a process of its own.
struct Server {
    child: Child,
    base_url: String,
}

impl Server {
    fn start(data: &Path) -> Result<Self, String> {
        let ready = data.join("ready.json");
        // The file exists only if the server was started here before.
        let _ = std::fs::remove_file(&ready);
        let executable = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(executable)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut server = Self { child, base_url: String::new() };
        let since = Instant::now();
        while since.elapsed() < START_MAX {
            if let Ok(text) = std::fs::read(&ready) {
                let ready: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
                server.base_url =
                    ready.get("base_url").and_then(Value::as_str).unwrap_or_default().to_owned();
                return Ok(server);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Err("the server does not start".to_owned())
    }

    fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have been killed already.
        let _ = self.kill();
    }
}

/// The server under test, and the number of steps that differed so far.
struct Tour {
    target: Target,
    different: u64,
}

impl Tour {
    fn ask(
        &self,
        party: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ReceivedResponse, String> {
        self.target.ask(party, method, path, &[], body)
    }

    /// Prints a step: the request, the expected result, and the actual result if it differs.
    fn step(&mut self, what: &str, expected: &str, came: &str) -> Result<(), String> {
        let mark = if expected == came { "✓" } else { "✗" };
        self.different += u64::from(expected != came);
        let came = if expected == came { String::new() } else { format!("   came: {came}") };
        writeln!(std::io::stdout(), "{mark} {what:72} {expected}{came}").map_err(|error| error.to_string())
    }
}

fn party_of(name: &str) -> Value {
    json!({
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"reference": format!("Organization/{name}")},
    })
}

/// The Consent of p1 that permits the insurer to see p1's coverage and explanations of benefit for payment.
pub(super) fn consent(status: &str) -> Value {
    let class = |code: &str| json!({"system": "http://hl7.org/fhir/resource-types", "code": code});
    json!({
        "resourceType": "Consent",
        "status": status,
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p1"},
        "policy": [{"uri": "urn:example:privacy-policy"}],
        "provision": {
            "type": "permit",
            "actor": [party_of("acme")],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HPAYMT"}],
            "class": [class("Patient"), class("Coverage"), class("ExplanationOfBenefit")],
        },
    })
}

fn registration() -> Value {
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {
            "fullUrl": "urn:uuid:6a0e5a2c-0000-4000-8000-000000000001",
            "resource": {"resourceType": "Patient", "identifier": [{"system": "urn:example:mrn", "value": "tour"}]},
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:example:mrn|tour"},
        },
        {
            "resource": {
                "resourceType": "AllergyIntolerance",
                "code": {"text": "penicillin"},
                "patient": {"reference": "urn:uuid:6a0e5a2c-0000-4000-8000-000000000001"},
            },
            "request": {"method": "POST", "url": "AllergyIntolerance"},
        },
    ]})
}

fn statuses(bundle: &Value) -> String {
    let entries = bundle.get("entry").and_then(Value::as_array).into_iter().flatten();
    let of = |entry: &Value| {
        let status = entry.pointer("/response/status").and_then(Value::as_str).unwrap_or_default();
        status.chars().take(3).collect::<String>()
    };
    entries.map(of).collect::<Vec<_>>().join(",")
}

pub fn run() -> Result<(), String> {
    let folder = Folder(std::env::temp_dir().join(format!("chartward-tour-{}", std::process::id())));
    let config = Config { data: folder.0.join("data"), ..Config::default() };
    std::fs::create_dir_all(&config.data).map_err(|error| error.to_string())?;
    {
        let house = House::open(&config)?;
        load(&house, &config, 20, 1)?;
        house.sled.as_ref().map_or(Ok(()), |sled| sled.close()).map_err(|error| error.to_string())?;
    }
    let mut server = Server::start(&config.data)?;
    let issuer_tokens = |parties: &[Party], url: &str| -> Result<BTreeMap<String, String>, String> {
        let key = std::fs::read(config.data.join("keys/issuer.p8")).map_err(|error| error.to_string())?;
        signed(parties, &House::with_key(key)?.issuer(url)?, url, LIFETIME_SECONDS)
    };
    let people = |url: &str| issuer_tokens(&DEMO_PARTIES, url);
    let mut tour = Tour { target: Target::new(&server.base_url, people(&server.base_url)?), different: 0 };
    registrations(&mut tour)?;
    let location = disclosures(&mut tour)?;

    let before = tour.ask("patient", "GET", &location, None)?.headers.get("etag").cloned();
    server.kill()?;
    server = Server::start(&config.data)?;
    tour.target = Target::new(&server.base_url, people(&server.base_url)?);
    let after = tour.ask("patient", "GET", &location, None)?.headers.get("etag").cloned();
    let same = if before.is_some() && before == after { "the same ETag" } else { "another ETag" };
    tour.step("kill -9, start again, PAT GET the Consent", "the same ETag", same)?;

    let chosen: Vec<_> = scenarios()?.into_iter().filter(|scenario| scenario.chapter == "http").collect();
    let of_scenarios = issuer_tokens(&SCENARIO_PARTIES, &server.base_url)?;
    let report = Target::new(&server.base_url, of_scenarios).run(&chosen);
    let all = format!("{} of {} scenarios hold", chosen.len(), chosen.len());
    tour.step("conform --only http", &all, &format!("{} of {} scenarios hold", report.held(), chosen.len()))?;
    server.kill()?;
    audit(&mut tour, &config.data, &folder.0)?;
    if tour.different == 0 { Ok(()) } else { Err(format!("{} steps differ", tour.different)) }
}

fn registrations(tour: &mut Tour) -> Result<(), String> {
    let status = |came: &ReceivedResponse| came.status.to_string();
    let came = tour.ask("none", "GET", "/metadata", None)?;
    tour.step("GET /metadata without a token", "200", &status(&came))?;
    let came = tour.ask("none", "GET", "/Patient/p1", None)?;
    tour.step("GET /Patient/p1 without a token", "401", &status(&came))?;
    let first = tour.ask("ehr", "POST", "/", Some(&registration()))?.json();
    let second = tour.ask("ehr", "POST", "/", Some(&registration()))?.json();
    let came = format!("{} then {}", statuses(&first), statuses(&second));
    tour.step(
        "EHR POST transaction {Patient ifNoneExist, AllergyIntolerance} twice",
        "201,201 then 200,201",
        &came,
    )?;
    let patient = tour.ask("ehr", "GET", "/Patient/p1", None)?.json();
    let stale = [("If-Match", "W/\"0000000000000000\"")];
    let came = tour.target.ask("ehr", "PUT", "/Patient/p1", &stale, Some(&patient))?;
    tour.step("EHR PUT /Patient/p1 with a stale If-Match", "412", &status(&came))?;
    let came = tour.ask("doctor", "GET", "/Patient?identifier=urn:example:mrn%7Ctour", None)?.json();
    let id = came.pointer("/entry/0/resource/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let came = tour.ask("doctor", "GET", &format!("/AllergyIntolerance?patient={id}"), None)?;
    tour.step("DOC GET AllergyIntolerance?patient=", "total 2", &came.total())
}

/// The steps about disclosure and consent; returns the path of the Consent.
fn disclosures(tour: &mut Tour) -> Result<String, String> {
    let came = tour.ask("insurer", "GET", "/Patient?identifier=urn:example:mrn%7C100001", None)?;
    tour.step("INS GET Patient?identifier= of p1", "total 0", &came.total())?;
    let conditions = tour.ask("patient", "GET", "/Condition?patient=p1&_count=1", None)?.json();
    let id =
        conditions.pointer("/entry/0/resource/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let hidden = tour.ask("insurer", "GET", &format!("/Condition/{id}"), None)?;
    let absent = tour.ask("insurer", "GET", "/Condition/none", None)?;
    let same = if hidden.body == absent.body { "the same bytes" } else { "other bytes" };
    let came = format!("{} and {}, {same}", hidden.status, absent.status);
    tour.step("INS GET a Condition of p1 and Condition/none", "404 and 404, the same bytes", &came)?;
    let of_patient =
        tour.ask("patient", "GET", "/ExplanationOfBenefit?patient=p1&_summary=count", None)?.total();
    let made = tour.ask("patient", "POST", "/Consent", Some(&consent("active")))?;
    tour.step(
        "PAT POST Consent: the insurer, for payment, explanations of benefit",
        "201",
        &made.status.to_string(),
    )?;
    let came = tour.ask("insurer", "GET", "/ExplanationOfBenefit?patient=p1&_summary=count", None)?.total();
    tour.step("INS GET ExplanationOfBenefit?patient=p1", &of_patient, &came)?;
    let came = tour.ask("insurer", "GET", "/Condition?patient=p1&_summary=count", None)?.total();
    tour.step("INS GET Condition?patient=p1&_summary=count", "total 0", &came)?;
    explanations(tour, &id)?;
    let page = tour.ask("insurer", "GET", "/ExplanationOfBenefit?_count=1", None)?.json();
    let links = page.get("link").and_then(Value::as_array).into_iter().flatten();
    let next = links
        .filter(|link| link.get("relation") == Some(&json!("next")))
        .find_map(|link| link.get("url")?.as_str());
    let next = next.unwrap_or_default().to_owned();
    let consent_id = made.json().get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut ended = consent("inactive");
    if let Some(members) = ended.as_object_mut() {
        members.insert("id".to_owned(), json!(consent_id));
    }
    let path = format!("/Consent/{consent_id}");
    let came = tour.ask("patient", "PUT", &path, Some(&ended))?;
    tour.step("PAT PUT the Consent inactive", "200", &came.status.to_string())?;
    let rest = tour.ask("insurer", "GET", &next, None)?;
    let text = String::from_utf8_lossy(&rest.body).into_owned();
    let came =
        format!("{}, {}", rest.status, if text.contains("Patient/p1\"") { "p1" } else { "nothing of p1" });
    tour.step("INS GET the next link", "200, nothing of p1", &came)?;
    Ok(path)
}

/// The steps that explain why the insurer sees no Condition, and who saw the patient's file.
fn explanations(tour: &mut Tour, condition: &str) -> Result<(), String> {
    let asked = json!({"resourceType": "Parameters", "parameter": [
        {"name": "actor", "valueReference": {"reference": "Organization/acme"}},
        {"name": "purpose", "valueCode": "HPAYMT"},
        {"name": "resource", "valueReference": {"reference": format!("Condition/{condition}")}},
    ]});
    let came = tour.ask("administrator", "POST", "/Consent/$decide", Some(&asked))?.json();
    let parameter = |name: &str, pointer: &str| {
        let mut all = came.get("parameter").and_then(Value::as_array).into_iter().flatten();
        let found = all.find(|parameter| parameter.get("name") == Some(&json!(name)));
        found.and_then(|parameter| parameter.pointer(pointer)).and_then(Value::as_str).unwrap_or_default()
    };
    let is_versioned = parameter("consent", "/valueReference/reference").contains("/_history/");
    let version = if is_versioned { "the Consent's version" } else { "no version" };
    let told =
        format!("{}, {}, {version}", parameter("decision", "/valueCode"), parameter("rule", "/valueString"));
    tour.step("ADM POST Consent/$decide", "deny, provision, the Consent's version", &told)?;

    let came = tour.ask("patient", "GET", "/Patient/p1/$who-saw", None)?.json();
    let accesses = came.get("parameter").and_then(Value::as_array).into_iter().flatten();
    let parts = |access: &Value, name: &str| -> Vec<String> {
        let parts = access.get("part").and_then(Value::as_array).into_iter().flatten();
        let named = parts.filter(|part| part.get("name") == Some(&json!(name)));
        named.filter_map(|part| part.as_object()?.values().nth(1)?.as_str().map(str::to_owned)).collect()
    };
    let is_insurer = |access: &&Value| parts(access, "role").iter().any(|role| role.contains("insurer"));
    let seen = accesses.filter(is_insurer).find(|access| !parts(access, "purpose").is_empty());
    let told = match seen {
        Some(access) if !parts(access, "last").is_empty() => "the insurer, when, why",
        Some(_) => "the insurer",
        None => "nobody",
    };
    tour.step("PAT GET Patient/p1/$who-saw", "the insurer, when, why", told)
}

/// Verifies the journal, then flips one byte in a copy of it and expects verification to name the damaged record.
fn audit(tour: &mut Tour, data: &Path, folder: &Path) -> Result<(), String> {
    let whole =
        verify_chain(data).map_or_else(|error| error.to_string(), |_| "the chain is whole".to_owned());
    tour.step("audit verify", "the chain is whole", &whole)?;
    let copy = folder.join("copy/journal");
    std::fs::create_dir_all(&copy).map_err(|error| error.to_string())?;
    let mut flipped = false;
    for entry in std::fs::read_dir(data.join("journal")).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let mut bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        if !flipped && path.extension().is_some_and(|extension| extension == "journal") && bytes.len() > 2_000
        {
            if let Some(byte) = bytes.get_mut(1_000) {
                *byte ^= 1;
            }
            flipped = true;
        }
        let name = path.file_name().unwrap_or_default();
        std::fs::write(copy.join(name), bytes).map_err(|error| error.to_string())?;
    }
    let came = match verify_chain(&folder.join("copy")) {
        Err(error) if error.to_string().contains("at byte") => "names the record",
        Err(_) => "does not name the record",
        Ok(_) => "notices nothing",
    };
    tour.step("a byte flipped in a copy; audit verify", "names the record", came)
}

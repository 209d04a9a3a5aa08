//! The server is killed under load, again and again. Afterwards everything that it acknowledged is there, a transaction
//! completely or not at all, and the store verifies.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chartward::cli::{Config, House};
use serde_json::{Value, json};

use crate::process::{Process, agent};

/// How often the server is killed; more often with `LONG_TESTS`.
fn rounds() -> u64 {
    if std::env::var_os("LONG_TESTS").is_some() { 200 } else { 20 }
}

fn post(agent: &ureq::Agent, url: &str, body: &Value) -> Option<Value> {
    let mut response = agent
        .post(url)
        .header("Content-Type", "application/fhir+json")
        .send(body.to_string().as_str())
        .ok()?;
    if !response.status().is_success() {
        return None;
    }
    serde_json::from_slice(&response.body_mut().read_to_vec().ok()?).ok()
}

fn get(agent: &ureq::Agent, url: &str) -> (u16, Value) {
    let mut response = agent.get(url).call().unwrap();
    let body = response.body_mut().read_to_vec().unwrap();
    (response.status().as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn pair(number: u64) -> Value {
    let entry = |kind: &str, extra: Value| {
        let mut resource = json!({"resourceType": kind, "identifier": [{"system": "urn:pair", "value": number.to_string()}]});
        resource.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"resource": resource, "request": {"method": "POST", "url": kind}})
    };
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        entry("Patient", json!({})), entry("Organization", json!({"name": "x"})),
    ]})
}

/// The answers that a writer received.
#[derive(Default)]
struct Told {
    /// Reference (type/id) and version.
    written: Vec<(String, String)>,
    pairs: Vec<u64>,
    tried: Vec<u64>,
}

fn write_until(base: &str, end: &AtomicBool, numbers: &AtomicU64) -> Told {
    let agent = agent();
    let mut told = Told::default();
    while !end.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(3) {
            told.tried.push(number);
            if post(&agent, base, &pair(number)).is_some() {
                told.pairs.push(number);
            }
        } else {
            let patient = json!({"resourceType": "Patient", "name": [{"family": format!("N{number}")}]});
            if let Some(made) = post(&agent, &format!("{base}/Patient"), &patient) {
                let text = |pointer: &str| made.pointer(pointer).unwrap().as_str().unwrap().to_owned();
                told.written.push((format!("Patient/{}", text("/id")), text("/meta/versionId")));
            }
        }
    }
    told
}

#[test]
fn acknowledged_writes_survive_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let numbers = AtomicU64::new(0);
    let mut all = Told::default();
    for round in 0..rounds() {
        let mut server = Process::start(&data);
        let end = AtomicBool::new(false);
        let base = server.base.clone();
        let told: Vec<Told> = std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| write_until(&base, &end, &numbers))).collect();
            // Some rounds end during the first writes, some after many.
            let (since, enough) = (Instant::now(), Duration::from_millis(60 + round * 37 % 400));
            while since.elapsed() < enough {
                // The wait may end early, because a thread of the previous round ended.
                std::thread::park_timeout(enough.saturating_sub(since.elapsed()));
            }
            server.kill();
            end.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for told in told {
            all.written.extend(told.written);
            all.pairs.extend(told.pairs);
            all.tried.extend(told.tried);
        }
    }
    assert!(!all.written.is_empty() && !all.pairs.is_empty(), "nothing was written");
    let mut server = Process::start(&data);
    let agent = agent();
    for (reference, version) in &all.written {
        let (status, resource) = get(&agent, &format!("{}/{reference}", server.base));
        assert_eq!(
            (status, resource["meta"]["versionId"].as_str()),
            (200, Some(version.as_str())),
            "{reference}"
        );
    }
    for number in &all.tried {
        let count = |kind: &str| {
            get(&agent, &format!("{}/{kind}?identifier=urn:pair%7C{number}&_summary=count", server.base)).1["total"].as_u64()
        };
        let (patients, organizations) = (count("Patient"), count("Organization"));
        assert_eq!(patients, organizations, "half of transaction {number}");
        assert!(patients == Some(1) || !all.pairs.contains(number), "transaction {number} is lost");
    }
    server.kill();
    let house = House::open(&Config { data, ..Config::default() }).unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    println!(
        "killed {} times: {} writes and {} transactions acknowledged, all there",
        rounds(),
        all.written.len(),
        all.pairs.len()
    );
}

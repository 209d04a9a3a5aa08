//! The cost of searching AuditEvents: `cargo bench --bench accesses -- 10000000 [DIRECTORY [QUERY...]]` writes so many access
//! records directly to the store (a million by default; none if the directory already has some), builds their index and measures
//! pages and counts. 40,000 patients, 2,000 users of whom few make most accesses, 60 days; one record in ten is a search, one in
//! twenty a write, one in fifty a refusal.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing
)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chartward::audit::{Access, Action, Ground, Item, RequesterKind, writes};
use chartward::auth::{Party, Role, Scopes};
use chartward::cli::{Config, House};
use chartward::operations::{Engine, Request, Verb, decode_pairs};
use chartward::store::{Batch, CommitError};

const RECORDS_PER_COMMIT: u64 = 500;
const PATIENTS: u64 = 40_000;
const USERS: u64 = 2_000;
/// 2026-01-01, in milliseconds since 1970.
const START: i64 = 1_767_225_600_000;
const DAYS: i64 = 60;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn below(state: &mut u64, end: u64) -> u64 {
    random(state) % end
}

fn access(number: u64, count: u64, state: &mut u64) -> Access {
    // Forty users make half of all accesses.
    let user = if below(state, 2) == 0 { below(state, 40) } else { below(state, USERS) };
    let is_insurer = user % 50 == 7;
    let party = Party {
        subject: format!("user-{user}"),
        client: format!("application-{}", user % 9),
        role: if is_insurer { Role::Insurer } else { Role::Clinician },
        organization: Some(format!("Organization/{}", if is_insurer { user } else { 1 })),
        fhir_user: Some(format!("Practitioner/u{user}")),
        purposes: vec![if is_insurer { "HPAYMT" } else { "TREAT" }.to_owned()],
        token_id: format!("{user:x}-{:x}", number / 50_000),
        ..Party::nobody()
    };
    let (interaction, action) = match below(state, 20) {
        0 => ("update", Action::Update),
        1 | 2 => ("search-type", Action::Execute),
        _ => ("read", Action::Read),
    };
    let spread = (DAYS * 86_400_000) as u64;
    let time = START + ((u128::from(number) * u128::from(spread) / u128::from(count)) as i64);
    let patient = format!("Patient/p{}", below(state, PATIENTS));
    let request = format!("GET /Observation?patient={patient}&code=8867-4");
    let mut access = Access::of(&party, interaction, action, request, time + below(state, 2_000) as i64);
    access.issuer = "https://hospital.example/fhir".to_owned();
    access.requester_kind = Some(if is_insurer { RequesterKind::Outside } else { RequesterKind::Own });
    access.peer = Some(format!("10.0.{}.{}", user % 16, user % 250));
    access.request_id = Some(format!("{number:032x}"));
    access.patients.push(patient);
    let refused = below(state, 50) == 0;
    access.status = if refused { 404 } else { 200 };
    let shown = if refused { 0 } else { 1 + below(state, 3) };
    for _ in 0..shown {
        let what = format!("Observation/{:x}/_history/{:x}", below(state, 20_000_000), random(state));
        let ground = if is_insurer {
            Ground::Consent("Consent/c1".to_owned(), "provision".to_owned())
        } else {
            Ground::Policy
        };
        access.released.push(Item { what, about: Some(vec![0]), ground, ..Item::default() });
    }
    access
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn ask(engine: &Engine, officer: &Arc<Party>, query: &str) -> (u64, usize) {
    let request = Request::new(Verb::Get, vec!["AuditEvent".to_owned()], decode_pairs(query));
    let answer = engine.handle(officer, request).unwrap();
    let body: serde_json::Value = serde_json::from_str(answer.body.json().unwrap()).unwrap();
    (body["total"].as_u64().unwrap_or(0), body["entry"].as_array().map_or(0, Vec::len))
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let count: u64 = numbers.next().and_then(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let data = numbers.next().map_or_else(|| folder.path().join("data"), PathBuf::from);
    let is_filled = data.exists();
    let config = Config { data, ..Config::default() };
    let house = House::open(&config).unwrap();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    if !is_filled {
        let mut state = 88_172_645_463_325_252;
        let started = Instant::now();
        let mut number = 0;
        while number < count {
            let mut batch = Batch::default();
            for within in 0..RECORDS_PER_COMMIT.min(count - number) {
                batch.writes.extend(writes(&access(number, count, &mut state), within as u32));
                number += 1;
            }
            // The store refuses writes that come too fast; they are repeated.
            while house.kv().commit(batch.clone()).wait() == Err(CommitError::Busy) {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{count} records written in {seconds:.0} s, {} MB resident", resident_mb());
    }
    let started = Instant::now();
    loop {
        match engine.index_accesses() {
            Ok(true) => {}
            Ok(false) => break,
            // The store is busy; indexing is repeated, as a server does.
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "indexed in {seconds:.1} s, {:.0} records/s, {} MB resident",
        count as f64 / seconds,
        resident_mb()
    );
    let officer = Arc::new(Party {
        subject: "officer".to_owned(),
        role: Role::PrivacyOfficer,
        organization: Some(config.organization.clone()),
        scopes: Scopes::parse("user/AuditEvent.rs"),
        ..Party::open(&config.organization)
    });
    println!("| search | total | entries | median ms | worst ms of 15 |\n|---|---|---|---|---|");
    let asked: Vec<String> = numbers.collect();
    let own = asked.iter().map(String::as_str);
    for query in QUERIES.into_iter().filter(|_| asked.is_empty()).chain(own) {
        let mut times = Vec::new();
        let mut answer = (0, 0);
        for _ in 0..15 {
            // The searches are recorded too; they are indexed here as a server does in the background.
            while engine.index_accesses().unwrap() {}
            let started = Instant::now();
            answer = ask(&engine, &officer, query);
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let (total, entries) = answer;
        let (median, worst) = (times.get(7).unwrap(), times.last().unwrap());
        println!("| `{query}` | {total} | {entries} | {median:.1} | {worst:.1} |");
    }
}

const QUERIES: [&str; 24] = [
    "",
    "_sort=date",
    "type=rest",
    "subtype=update",
    "outcome=8",
    "agent=Practitioner/u7",
    "agent=Practitioner/u1907",
    "agent=Practitioner/nobody",
    "agent-name=user-1907",
    "agent=Organization/57",
    "purpose=HPAYMT",
    "entity=Observation/777",
    "patient=Patient/p777",
    "patient=Patient/p777&agent=Practitioner/u7",
    "date=2026-01-15",
    "date=ge2026-01-15T10:00&date=lt2026-01-15T11:00&agent=Practitioner/u7",
    "agent=Practitioner/u7&outcome=8&_sort=date",
    "_summary=count",
    "type=rest&_summary=count",
    "outcome=8&_summary=count",
    "agent=Practitioner/u7&_summary=count",
    "date=ge2026-01-10&date=lt2026-02-10&_summary=count",
    "date=ge2026-01-10&date=lt2026-02-10&agent=Practitioner/u7&_summary=count",
    "outcome:not=0&_summary=count",
];

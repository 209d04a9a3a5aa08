//! Checks the index against an oracle that examines every resource: random queries of every kind over resources of the standard,
//! of Synthea and of the generator.
use std::collections::BTreeMap;

use chartward::cli::generated;
use chartward::definitions::r4;
use chartward::model::{Temporal, Tree, parse};
use chartward::operations::{Headers, Payload, Verb};
use chartward::store::{At, Repository};
use serde_json::Value;

use crate::in_process::Server;
use crate::oracle::{Oracle, queries};
use crate::process::{Process, agent};
use crate::shared;

/// Puts resources into a server one by one; refused ones are left out.
fn filled(server: &Server, resources: impl Iterator<Item = String>) -> Vec<(Tree, i64)> {
    for text in resources {
        // An active Consent would hide from the searches what the oracle sees.
        let is_consent = text.contains("\"resourceType\":\"Consent\"");
        let text =
            if is_consent { text.replace("\"status\":\"active\"", "\"status\":\"inactive\"") } else { text };
        let Ok(tree) = parse(text.into_bytes()) else { continue };
        let (Some(name), Some(id)) = (tree.root().str_at("resourceType"), tree.root().str_at("id")) else {
            continue;
        };
        let url = format!("{name}/{id}");
        if name == "AuditEvent" {
            continue;
        }
        // Invalid resources are refused.
        let _ = server.send_as(&server.party, Verb::Put, &url, Headers::default(), Payload::Resource(tree));
    }
    held(server)
}

/// The resources of a server in the order of creation, each with its version id, which is the commit's number.
pub fn held(server: &Server) -> Vec<(Tree, i64)> {
    let snapshot = server.house.kv().snapshot(At::Latest).unwrap();
    let repository = Repository::new(&*snapshot);
    let mut rows: Vec<u64> = Vec::new();
    for def in r4().resources() {
        rows.extend(repository.rows_of_type(def, None, usize::MAX).unwrap());
    }
    rows.sort_unstable();
    let read = |row: u64| {
        let stored = repository.newest(&repository.current_of_row(row).unwrap().unwrap()).unwrap();
        (parse(stored.stamped(&stored.sequence.0.to_string()).into_bytes()).unwrap(), stored.time)
    };
    // Tasks of the server's own are visible only to those who work on them, not to this party.
    let is_work = |(tree, _): &(Tree, i64)| tree.text().contains("urn:chartward:work");
    rows.into_iter().map(read).filter(|held| !is_work(held)).collect()
}

fn encoded(pairs: &[(String, String)]) -> String {
    let encode = chartward::operations::encode;
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Sends a GET for a URL below the base; gives the Bundle, or the text of the refusal.
type Ask<'a> = dyn Fn(&str) -> Result<Value, String> + 'a;

/// Asks a server in this process.
fn within(server: &Server) -> impl Fn(&str) -> Result<Value, String> + '_ {
    |url| {
        let answer = server.send(Verb::Get, url, Headers::default(), None);
        let answer = answer.map_err(|refusal| refusal.outcome.to_json())?;
        Ok(serde_json::from_str(answer.body.json().unwrap()).unwrap())
    }
}

/// Asks a server that runs the shipped program.
fn over_the_wire(process: &Process) -> impl Fn(&str) -> Result<Value, String> + '_ {
    let agent = agent();
    move |url| {
        // Queries name local resources by the base URL that the oracle uses.
        let url = url.replace("http://127.0.0.1/fhir", &process.base);
        let mut answer = agent.get(format!("{}/{url}", process.base)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        if answer.status() == 200 { Ok(serde_json::from_str(&text).unwrap()) } else { Err(text) }
    }
}

/// All matches of all pages.
fn answer(
    ask: &Ask<'_>,
    type_name: &str,
    pairs: &[(String, String)],
    count: usize,
) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut url = format!("{type_name}?{}&_count={count}", encoded(pairs));
    loop {
        let bundle = ask(&url)?;
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            found.push(format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            ));
        }
        let next = bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
        match next {
            Some(next) => {
                url = next["url"].as_str().unwrap().split_once("/fhir/").unwrap().1.to_owned();
            }
            None => return Ok(found),
        }
    }
}

/// Compares the answers to random queries; gives how many queries found something.
fn compare(ask: &Ask<'_>, resources: Vec<(Tree, i64)>, seed: u64, count: usize) -> usize {
    let now = Temporal::parse("2026-01-01").unwrap().interval().start;
    let size = resources.len();
    let oracle = Oracle::new(resources, now.max(chartward::cli::now()));
    let (mut found_some, mut wrong) = (0, BTreeMap::new());
    // `_id` is a token, but its values belong to no code system, so coded modifiers do not apply.
    let is_served = |(_, pairs): &(String, Vec<(String, String)>)| {
        let modifier = |name: &str| name.split_once("_id:").map(|(_, modifier)| modifier.to_owned());
        let in_filter = |value: &str| value.contains("_id in ") || value.contains("_id ni ");
        pairs.iter().filter_map(|(name, _)| modifier(name)).all(|known| known == "not" || known == "missing")
            && !pairs.iter().any(|(_, value)| in_filter(value))
    };
    let asked = queries(&oracle, seed, count).into_iter().filter(is_served);
    for (number, (type_name, pairs)) in asked.enumerate() {
        let expected = oracle.search(&type_name, &pairs);
        // Small pages test paging; large ones make the server choose another plan.
        let page_len = if number.is_multiple_of(3) { 1_000 } else { 1 + number % 7 };
        let got = answer(ask, &type_name, &pairs, page_len);
        match (&expected, &got) {
            (Ok(expected), Ok(got)) if expected == got => found_some += usize::from(!got.is_empty()),
            (Err(_), Err(_)) => {}
            _ => {
                let short = |answer: &Result<Vec<String>, String>| match answer {
                    Ok(found) => format!("{} {:?}", found.len(), found.iter().take(5).collect::<Vec<_>>()),
                    Err(error) => format!("error {error}"),
                };
                let text = format!("oracle {}; index {}", short(&expected), short(&got));
                wrong.insert(format!("{type_name}?{}", encoded(&pairs)), text);
            }
        }
    }
    let report: Vec<String> =
        wrong.iter().take(40).map(|(query, text)| format!("{query}\n    {text}")).collect();
    assert!(
        wrong.is_empty(),
        "seed {seed}, {size} resources: {} of {count} differ\n{}",
        wrong.len(),
        report.join("\n")
    );
    found_some
}

fn queries_wanted(short: usize) -> usize {
    if std::env::var_os("LONG_TESTS").is_some() { short * 10 } else { short }
}

#[test]
fn the_index_answers_as_the_oracle_does_on_the_generator() {
    let server = Server::in_memory();
    let resources = filled(&server, generated(12, 7).into_iter());
    assert!(resources.len() > 300, "{}", resources.len());
    let count = queries_wanted(400);
    let found = compare(&within(&server), resources, 1, count);
    assert!(found * 2 > count, "only {found} of {count} found something");
}

#[test]
fn the_index_answers_as_the_oracle_does_on_the_examples_of_the_standard() {
    let needed_by = "the oracle on the examples of the standard";
    let Some(path) = shared::find("data/hl7-r4-examples/instances.ndjson.xz", needed_by) else { return };
    let server = Server::new();
    let resources = filled(&server, shared::xz_lines(&path, needed_by).into_iter());
    let count = queries_wanted(1_000);
    let found = compare(&within(&server), resources, 2, count);
    assert!(found * 2 > count, "only {found} of {count} found something");
}

#[test]
fn the_program_answers_as_the_oracle_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::at(&data);
    let mut resources: Vec<String> = generated(12, 11);
    let needed_by = "the program and the oracle on the examples of the standard";
    if let Some(path) = shared::find("data/hl7-r4-examples/instances.ndjson.xz", needed_by) {
        resources.extend(shared::xz_lines(&path, needed_by));
    }
    let resources = filled(&server, resources.into_iter());
    server.house.sled.as_ref().unwrap().close().unwrap();
    drop(server);
    let mut process = Process::start(&data);
    let count = queries_wanted(600);
    let found = compare(&over_the_wire(&process), resources, 4, count);
    assert!(found * 2 > count, "only {found} of {count} found something");
    process.stop();
}

#[test]
fn the_index_answers_as_the_oracle_does_on_synthea() {
    let needed_by = "the oracle on Synthea";
    let Some(folder) = shared::find("data/synthea-2019", needed_by) else { return };
    let server = Server::new();
    for (file, count) in [("00-infrastructure.ndjson.xz", 2), ("patients-00.ndjson.xz", 3)] {
        for line in shared::xz_lines(&folder.join(file), needed_by).into_iter().take(count) {
            let payload = Payload::Resource(parse(line.into_bytes()).unwrap());
            server.send_as(&server.party, Verb::Post, "", Headers::default(), payload).unwrap();
        }
    }
    let resources = held(&server);
    let count = queries_wanted(300);
    let found = compare(&within(&server), resources, 3, count);
    assert!(found * 2 > count, "only {found} of {count} found something");
}

//! Synthea records are loaded as transactions, and every resource is read back equal to what was sent.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chartward::auth::Party;
use chartward::cli::Config;
use chartward::model::parse;
use chartward::operations::{Payload, Request, Verb};
use serde_json::Value;

use crate::shared;

/// The files of a set in order, and how many Bundles of each are loaded; with `LONG_TESTS` all of them.
fn files(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(".ndjson.xz"));
    found.sort();
    if std::env::var_os("LONG_TESTS").is_some() {
        return found.into_iter().map(|path| (path, usize::MAX)).collect();
    }
    // The infrastructure is loaded first, because patients refer to it.
    found.into_iter().zip([usize::MAX, 4]).collect()
}

/// Rewrites references to other entries and conditional references as the server does. All else stays, including business
/// identifiers that look like an entry's address.
fn without_what_the_server_changes(value: &mut Value, ids: &HashMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if matches!(name.as_str(), "reference" | "url" | "uri")
                    && let Some(text) = member.as_str()
                {
                    if let Some(target) = ids.get(text) {
                        *member = Value::String(target.clone());
                    } else if name == "reference" && text.contains('?') {
                        *member = Value::String(text.split('?').next().unwrap().to_owned());
                    }
                } else {
                    without_what_the_server_changes(member, ids);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without_what_the_server_changes(item, ids)),
        _ => {}
    }
}

fn check_set(folder: &str) {
    let Some(folder) = shared::find(folder, "synthea") else { return };
    let config = Config::default();
    let house = crate::shared::house();
    let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
    let party = Arc::new(Party::open(&config.organization));
    let send = |verb: Verb, path: &[&str], body: Option<String>| {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        let payload = body.map_or(Payload::None, |body| Payload::Resource(parse(body.into_bytes()).unwrap()));
        let request = Request { payload, ..Request::new(verb, path, Vec::new()) };
        let answer = engine.handle(&party, request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        serde_json::from_str::<Value>(answer.body.json().unwrap()).unwrap()
    };
    let mut checked = 0;
    for (file, limit) in files(&folder) {
        for line in shared::xz_lines(&file, "synthea").into_iter().take(limit) {
            let sent: Value = serde_json::from_str(&line).unwrap();
            let answered = send(Verb::Post, &[], Some(line));
            let entries = sent["entry"].as_array().unwrap();
            let locations: Vec<String> = answered["entry"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| {
                    let location =
                        entry["response"]["location"].as_str().unwrap_or_else(|| panic!("{entry}"));
                    let path = location.strip_prefix("http://127.0.0.1/fhir/").unwrap();
                    path.split("/_history/").next().unwrap().to_owned()
                })
                .collect();
            let ids: HashMap<String, String> = entries
                .iter()
                .zip(&locations)
                .filter_map(|(entry, location)| {
                    Some((entry["fullUrl"].as_str()?.to_owned(), location.clone()))
                })
                .collect();
            for (entry, location) in entries.iter().zip(&locations) {
                if entry["request"].get("ifNoneExist").is_some() {
                    continue;
                }
                let mut before = entry["resource"].clone();
                without_what_the_server_changes(&mut before, &ids);
                let (kind, id) = location.split_once('/').unwrap();
                let mut after = send(Verb::Get, &[kind, id], None);
                let object = after.as_object_mut().unwrap();
                object.shift_remove("id");
                let meta = object["meta"].as_object_mut().unwrap();
                meta.shift_remove("versionId");
                meta.shift_remove("lastUpdated");
                if meta.is_empty() {
                    object.shift_remove("meta");
                }
                // A conditional reference became a literal one, so only its type can be compared.
                shorten(&mut after, &before);
                before.as_object_mut().unwrap().shift_remove("id");
                for resource in [&mut before, &mut after] {
                    resource.as_object_mut().unwrap().sort_keys();
                }
                assert_eq!(before, after, "{location}");
                checked += 1;
            }
        }
    }
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    println!("{checked} resources of {} are read back as they were sent", folder.display());
}

/// Reduces a literal reference to its type if a conditional reference of that type was sent.
fn shorten(after: &mut Value, before: &Value) {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            for (name, member) in after.iter_mut() {
                let Some(sent) = before.get(name) else { continue };
                if name == "reference"
                    && let (Some(text), Some(sent)) = (member.as_str(), sent.as_str())
                    && !sent.contains('/')
                    && text.split('/').next() == Some(sent)
                {
                    *member = Value::String(sent.to_owned());
                } else {
                    shorten(member, sent);
                }
            }
        }
        (Value::Array(after), Value::Array(before)) => {
            after.iter_mut().zip(before).for_each(|(after, before)| shorten(after, before));
        }
        _ => {}
    }
}

#[test]
fn records_of_2019_are_read_back_as_they_were_sent() {
    check_set("data/synthea-2019");
}

#[test]
fn us_core_records_are_read_back_as_they_were_sent() {
    check_set("data/synthea-2021-uscore");
}

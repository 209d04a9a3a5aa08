//! Includes that do not fit on a page continue on the next one: each included resource appears once, whatever the page size.
use std::collections::BTreeSet;

use chartward::operations::Verb;
use serde_json::{Value, json};

use crate::in_process::Server;

const LIMIT: usize = 3;

/// The number of Observations of each patient.
const OBSERVATIONS: [usize; 6] = [8, 2, 1, 0, 3, 4];

fn server() -> Server {
    let mut server = Server::in_memory();
    server.engine.options.include_len_max = LIMIT;
    for (patient, count) in OBSERVATIONS.iter().enumerate() {
        put(
            &server,
            &json!({"resourceType": "Patient", "id": format!("p{patient}"), "birthDate": format!("19{patient}0")}),
        );
        for number in 0..*count {
            put(
                &server,
                &json!({"resourceType": "Observation", "id": format!("o{patient}-{number}"), "status": "final",
                    "code": {"text": "x"}, "subject": {"reference": format!("Patient/p{patient}")}}),
            );
        }
    }
    server
}

fn put(server: &Server, resource: &Value) {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    server.send(Verb::Put, &url, chartward::operations::Headers::default(), Some(resource)).unwrap();
}

/// The ids of the entries with a search mode.
fn ids(page: &Value, mode: &str) -> Vec<String> {
    let entries = page["entry"].as_array().cloned().unwrap_or_default();
    let of_mode = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
    of_mode.map(|entry| entry["resource"]["id"].as_str().unwrap_or("-").to_owned()).collect()
}

fn link(page: &Value, relation: &str) -> Option<String> {
    let links = page["link"].as_array()?;
    let found = links.iter().find(|link| link["relation"] == relation)?;
    let url = found["url"].as_str()?.strip_prefix("http://127.0.0.1/fhir")?;
    Some(url.trim_start_matches('/').to_owned())
}

#[test]
fn all_of_a_chart_comes_page_by_page() {
    let server = server();
    let all: BTreeSet<String> = (0..)
        .zip(OBSERVATIONS)
        .flat_map(|(patient, count)| (0..count).map(move |number| format!("o{patient}-{number}")))
        .collect();
    for (query, order) in [
        ("Patient?_revinclude=Observation:subject", [0, 1, 2, 3, 4, 5]),
        ("Patient?_revinclude=Observation:subject&_count=2", [0, 1, 2, 3, 4, 5]),
        ("Patient?_revinclude=Observation:subject&_count=1&_sort=-birthdate", [5, 4, 3, 2, 1, 0]),
        ("Patient?_revinclude=Observation:subject&_sort=-birthdate", [5, 4, 3, 2, 1, 0]),
        ("?_type=Patient&_revinclude=Observation:subject&_sort=-_lastUpdated", [5, 4, 3, 2, 1, 0]),
    ] {
        let (mut matches, mut included) = (Vec::new(), Vec::new());
        let mut next = Some(query.to_owned());
        while let Some(url) = next {
            let page = server.get(&url);
            let more = ids(&page, "include");
            assert!(more.len() <= LIMIT, "{url}");
            // An included resource belongs to a match of this page, or continues the page before.
            matches.extend(ids(&page, "match"));
            included.extend(more);
            next = link(&page, "next");
            let is_told = page["entry"].to_string().contains("include_len_max");
            assert!(!is_told || next.is_some(), "{url}");
        }
        let expected: Vec<String> = order.iter().map(|number| format!("p{number}")).collect();
        assert_eq!(matches, expected, "{query}");
        assert_eq!(included.len(), all.len(), "{query}: each once");
        assert_eq!(included.into_iter().collect::<BTreeSet<String>>(), all, "{query}");
    }
}

#[test]
fn going_back_gives_whole_matches() {
    let server = server();
    let mut page = server.get("Patient?_revinclude=Observation:subject&_count=2");
    while let Some(next) = link(&page, "next") {
        page = server.get(&next);
    }
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        seen.extend(ids(&page, "match"));
        let Some(previous) = link(&page, "previous") else { break };
        page = server.get(&previous);
    }
    let expected: BTreeSet<String> = (0..OBSERVATIONS.len()).map(|number| format!("p{number}")).collect();
    assert_eq!(seen, expected);
}

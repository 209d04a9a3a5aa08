//! Hidden resources change no answer: a party's search finds, counts, sorts, includes and pages the same as in a store that
//! holds only what the party may see, byte for byte except for times, version ids, page links and random ids.
use std::sync::Arc;

use chartward::auth::{AccessToken, Party};
use chartward::cli::{claims, generated};
use chartward::definitions::{TypeDef, r4};
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Verb, encode};
use serde_json::Value;

use crate::in_process::Server;
use crate::oracle::{Oracle, queries};
use crate::search_oracle::held;

const BASE: &str = "http://127.0.0.1/fhir";

/// The party of a token; Consents decide for it.
fn party(
    server: &Server,
    (role, scope): (&str, &str),
    organization: Option<&str>,
    user: Option<&str>,
    purpose: &str,
) -> Arc<Party> {
    let token = AccessToken {
        sub: user.unwrap_or("somebody").to_owned(),
        role: role.to_owned(),
        fhir_user: user.map(str::to_owned),
        organization: organization.map(str::to_owned),
        purpose_of_use: vec![purpose.to_owned()],
        scope: scope.to_owned(),
        ..claims(BASE, 3_600).unwrap()
    };
    let signed = server.house.issuer(BASE).unwrap().sign(&token).unwrap();
    server.engine.authenticate(Some(&signed)).unwrap()
}

fn put(server: &Server, text: &str) -> bool {
    let tree = parse(text.as_bytes().to_vec()).unwrap();
    let root = tree.root();
    let url = format!("{}/{}", root.str_at("resourceType").unwrap(), root.str_at("id").unwrap());
    server.send_as(&server.party, Verb::Put, &url, Headers::default(), Payload::Resource(tree)).is_ok()
}

/// The answer without what may differ: id and time of the Bundle, version stamps, cursors, and the outcome that every party
/// subject to consent receives.
fn comparable(text: &str) -> String {
    let mut bundle: Value = serde_json::from_str(text).unwrap();
    for name in ["id", "meta"] {
        bundle.as_object_mut().unwrap().shift_remove(name);
    }
    if let Some(entries) = bundle.get_mut("entry").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["search"]["mode"] != "outcome");
        for entry in entries.iter_mut() {
            let meta = entry["resource"]["meta"].as_object_mut().unwrap();
            meta.shift_remove("versionId");
            meta.shift_remove("lastUpdated");
        }
        if entries.is_empty() {
            bundle.as_object_mut().unwrap().shift_remove("entry");
        }
    }
    for link in bundle["link"].as_array_mut().unwrap() {
        let url = link["url"].as_str().unwrap().split("_cursor=").next().unwrap().to_owned();
        link["url"] = Value::String(url);
    }
    bundle.to_string()
}

/// All pages of a search, or the refusal.
fn pages(server: &Server, party: &Arc<Party>, url: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut url = url.to_owned();
    loop {
        let answer = server
            .send_as(party, Verb::Get, &url, Headers::default(), Payload::None)
            .map_err(|refusal| format!("{} {}", refusal.kind.status(), refusal.outcome.to_json()))?;
        let text = answer.body.json().unwrap();
        found.push(comparable(text));
        let bundle: Value = serde_json::from_str(text).unwrap();
        let next = bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
        match next {
            Some(next) => {
                url = next["url"]
                    .as_str()
                    .unwrap()
                    .strip_prefix(BASE)
                    .unwrap()
                    .trim_start_matches('/')
                    .to_owned()
            }
            None => return Ok(found),
        }
    }
}

/// Queries of every kind on all resources, some with includes, counts and totals.
fn urls(server: &Server, seed: u64, count: usize) -> Vec<String> {
    let oracle = Oracle::new(held(server), chartward::cli::now());
    let extras = [
        "_count=3",
        "_count=2&_total=accurate",
        "_summary=count",
        "_count=5&_include=*",
        "_count=4&_include=*&_include:iterate=Patient:general-practitioner",
        "_count=3&_revinclude=Observation:patient&_revinclude=Provenance:target",
        "_count=7&_revinclude=Condition:encounter&_total=none",
    ];
    let all = queries(&oracle, seed, count * 2).into_iter();
    // Times of update differ between the two stores.
    let timeless = all.filter(|(_, pairs)| {
        !pairs.iter().any(|(name, value)| format!("{name}={value}").contains("_lastUpdated"))
    });
    let url = |(number, (type_name, pairs)): (usize, (String, Vec<(String, String)>))| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        format!("{type_name}?{}&{}", pairs.join("&"), extras[number % extras.len()])
    };
    let mut urls: Vec<String> = timeless.take(count).enumerate().map(url).collect();
    for number in 1..=4 {
        urls.push(format!("Patient/p{number}/*?_count=9"));
        urls.push(format!("Patient/p{number}/Observation?_sort=-date&_count=4"));
    }
    urls.push("?_type=Patient,Observation,Condition&_count=20".to_owned());
    urls.push("?_type=Patient,Condition&_sort=-_id&_count=6".to_owned());
    urls.push("Encounter?_contained=both&_count=10".to_owned());
    urls
}

fn check(
    (seed, count): (u64, usize),
    (role, scope): (&str, &str),
    organization: Option<&str>,
    user: Option<&str>,
    purpose: &str,
) {
    let whole = Server::in_memory();
    let resources: Vec<String> = generated(10, seed).into_iter().filter(|text| put(&whole, text)).collect();
    let asking = party(&whole, (role, scope), organization, user, purpose);
    let seen = Server::in_memory();
    let mut shown = 0;
    for text in &resources {
        let tree = parse(text.as_bytes().to_vec()).unwrap();
        let url =
            format!("{}/{}", tree.root().str_at("resourceType").unwrap(), tree.root().str_at("id").unwrap());
        if whole.send_as(&asking, Verb::Get, &url, Headers::default(), Payload::None).is_ok() {
            shown += 1;
            assert!(put(&seen, text));
        }
    }
    assert!(shown > 20 && shown < resources.len(), "{role}: {shown} of {} are shown", resources.len());
    for url in urls(&whole, seed, count) {
        let (got, expected) = (pages(&whole, &asking, &url), pages(&seen, &seen.party, &url));
        assert_eq!(got, expected, "seed {seed}, {role}: {url}");
    }
}

#[test]
fn an_insurer_finds_what_a_store_of_what_it_may_see_holds() {
    check((11, 150), ("insurer", "system/*.rs"), Some("Organization/acme"), None, "HPAYMT");
    check((12, 150), ("insurer", "system/*.rs"), Some("Organization/acme"), None, "HPAYMT");
}

#[test]
fn a_patient_finds_what_a_store_of_the_own_file_holds() {
    check((13, 150), ("patient", "patient/*.rs"), None, Some("Patient/p2"), "PATRQT");
}

#[test]
fn constrained_scopes_find_what_a_store_of_what_they_reach_holds() {
    let constrained = [
        ("Observation", "user/Observation.rs?status=final&category:not=laboratory"),
        ("Condition", "user/Condition.rs?clinical-status=active"),
        ("Encounter", "user/Encounter.rs?class=AMB user/Encounter.rs?status=in-progress"),
    ];
    let scope = |def: &TypeDef| {
        let found = constrained.iter().find(|(name, _)| *name == &*def.name);
        found.map_or_else(|| format!("user/{}.rs", def.name), |(_, scope)| (*scope).to_owned())
    };
    let scopes: Vec<String> = r4().resources().map(scope).collect();
    // Constrained scopes examine every resource, which takes time.
    check((14, 40), ("clinician", &scopes.join(" ")), Some("Organization/hospital"), None, "TREAT");
}

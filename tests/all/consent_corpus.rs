//! The corpus of consent decisions: every case that is not marked divergent agrees, divergent ones give our own answer.
use std::collections::BTreeSet;

use chartward::consent::{
    Code, CodeSystem, Combining, DataFacts, DefaultPolicy, Program, Requester, Settings, compile, decide,
};
use chartward::model::{Interval, Temporal, parse};
use serde_json::Value as Json;

use crate::shared;

/// Cases that we answer otherwise, each with the reason. May only shrink.
const DIFFERENT: [(&str, &str); 0] = [];

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn texts(json: &Json, key: &str) -> Vec<String> {
    json.get(key)
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect()
}

fn plain(reference: &str) -> String {
    let mut parts = reference.split("/_history/").next().unwrap().rsplitn(3, '/');
    let (id, name) = (parts.next().unwrap(), parts.next());
    name.map_or(reference.to_owned(), |name| format!("{name}/{id}"))
}

fn code(json: &Json) -> Code {
    match json {
        Json::String(purpose) => Code::purpose(purpose),
        other => Code::new(CodeSystem::of(text(other, "system")), text(other, "code")),
    }
}

fn settings(json: &Json) -> Settings {
    let plain_set = |key: &str| texts(json, key).into_iter().collect::<BTreeSet<String>>();
    let scopes = texts(json, "scopes");
    Settings {
        default_policy: match text(json, "default") {
            "own-tpo" => DefaultPolicy::OwnTpo,
            "own-treat" => DefaultPolicy::OwnTreatment,
            "treat-only" => DefaultPolicy::TreatmentOnly,
            "tpo" => DefaultPolicy::Tpo,
            "permit-all" => DefaultPolicy::PermitAll,
            _ => DefaultPolicy::Deny,
        },
        combining: match text(json, "combining") {
            "most-recent" => Combining::MostRecent,
            "permit-overrides" => Combining::PermitOverrides,
            _ => Combining::DenyOverrides,
        },
        any_purpose_is_enough: text(json, "multi_purpose") == "any",
        own: plain_set("own"),
        no_self_labels: texts(json, "no_self_labels"),
        part2_programs: plain_set("part2_programs"),
        part2_general: json.get("part2_general") == Some(&Json::Bool(true)),
        unsupported_denies: text(json, "unsupported") == "deny",
        scopes: if scopes.is_empty() { vec!["patient-privacy".to_owned()] } else { scopes },
        break_glass_overrides: !matches!(text(json, "btg"), "consent-only" | "off"),
    }
}

fn data(resource: &Json, extra: Option<&Json>) -> DataFacts {
    let tree = parse(resource.to_string().into_bytes()).unwrap();
    let mut facts = DataFacts::of(tree.root());
    for (key, value) in extra.and_then(Json::as_object).into_iter().flatten() {
        let set =
            || value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
        match key.as_str() {
            "owners" => facts.owners = set(),
            "authors" => facts.authors = set(),
            "custodians" => facts.custodians = set(),
            "in" => facts.incoming = set(),
            "out" => facts.outgoing = set(),
            "mime" => facts.mime_types = set(),
            "profiles" => facts.profiles = set(),
            "when" => {
                facts.when = value.as_array().map(|ends| {
                    let at =
                        |index: usize| Temporal::parse(ends[index].as_str().unwrap()).unwrap().interval();
                    Interval { start: at(0).start, end: at(1).end }
                });
            }
            other => panic!("the fact {other} is not read"),
        }
    }
    facts
}

fn requester(case: &Json, own: &BTreeSet<String>) -> Requester {
    let context = &case["context"];
    let actors: BTreeSet<String> = texts(context, "actors").iter().map(|actor| plain(actor)).collect();
    let pair = |json: &Json| (text(json, "system").to_owned(), text(json, "value").to_owned());
    let list = |json: &Json, key: &str| json.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
    let interaction = context.get("interaction").and_then(Json::as_str).unwrap_or("read");
    let reads = ["read", "vread", "search", "history", "everything", "export", "subscription"];
    let named: Vec<&'static str> = ["access", "use", "disclose", "correct", "collect"]
        .into_iter()
        .filter(|action| texts(context, "actions").iter().any(|named| named == action))
        .collect();
    let actions = if !named.is_empty() {
        named
    } else if !reads.contains(&interaction) {
        vec!["correct", "collect"]
    } else if actors.is_disjoint(own) {
        vec!["access", "use", "disclose"]
    } else {
        vec!["access", "use"]
    };
    let now = context.get("now").and_then(Json::as_str).unwrap_or("2026-01-01T00:00:00Z");
    let subject = context.get("subject_patient").and_then(Json::as_str).map(str::to_owned);
    let breaks = context.get("btg").is_some_and(|btg| btg != &Json::Bool(false) && !btg.is_null());
    let named_patient = context.get("btg_patient").and_then(Json::as_str).map(str::to_owned);
    Requester {
        now: Temporal::parse(now).unwrap().interval().start,
        actors,
        identifiers: list(context, "identifiers").iter().map(pair).collect(),
        purposes: list(context, "purposes").iter().map(code).collect(),
        actions,
        environment: texts(context, "env").into_iter().collect(),
        payer: context.get("payer") == Some(&Json::Bool(true)),
        self_patient: subject,
        represents: BTreeSet::new(),
        directory: case
            .get("directory")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(reference, entry)| {
                (reference.clone(), list(entry, "identifier").iter().map(pair).collect())
            })
            .collect(),
        unresolved: texts(context, "unresolved").into_iter().collect(),
        break_glass: breaks.then(|| named_patient.unwrap_or_else(|| "*".to_owned())),
    }
}

#[test]
fn corpus_agrees() {
    let Some(folder) = shared::find("suites/consent", "corpus_agrees") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in ["own", "hl7-r4", "leap", "google", "pcf"] {
        let corpus: Json =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{file}.json"))).unwrap()).unwrap();
        let resolve = |json: &Json| match json {
            Json::String(name) => corpus["defs"][name].clone(),
            other => other.clone(),
        };
        for case in corpus["cases"].as_array().unwrap() {
            if text(case, "level") == "http" {
                continue;
            }
            count += 1;
            let settings = settings(case.get("settings").unwrap_or(&Json::Null));
            let data = data(&resolve(&case["resource"]), case.get("facts"));
            let mut requester = requester(case, &settings.own);
            if requester.break_glass.as_deref() == Some("*") {
                requester.break_glass = data.owners.first().cloned();
            }
            let programs: Vec<Program> = case["consents"]
                .as_array()
                .into_iter()
                .flatten()
                .map(&resolve)
                // A Consent whose patient does not resolve is refused when it is written.
                .filter(|consent| {
                    consent.get("patient").is_none_or(|patient| patient.get("reference").is_some())
                })
                .map(|consent| compile(parse(consent.to_string().into_bytes()).unwrap().root()))
                .collect();
            let decision = decide(&programs, &data, &requester, &settings);
            let ours = case.get("divergent").map(|divergent| text(divergent, "ours"));
            let expected = ours.unwrap_or_else(|| text(&case["expected"], "decision"));
            let got = match (decision.permit, data.owners.is_empty()) {
                (_, true) => "not-governed",
                (true, _) => "permit",
                (false, _) => "deny",
            };
            let known = DIFFERENT.iter().any(|(id, _)| *id == text(case, "id"));
            if (got != expected) != known {
                wrong.push(format!("{}: {got}, expected {expected}; {:?}", text(case, "id"), decision.basis));
            }
        }
    }
    println!("consent corpus: {} of {count} decisions agree", count - wrong.len());
    assert!(wrong.is_empty(), "{}\n{} of {count}", wrong.join("\n"), wrong.len());
}

//! The corpus of consent decisions: every case that is not marked divergent agrees, divergent ones give our own answer.
use chartward::consent::Case;
use serde_json::Value as Json;

use crate::shared;

/// Cases that we answer otherwise, each with the reason. May only shrink.
const DIFFERENT: [(&str, &str); 0] = [];

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

#[test]
fn corpus_agrees() {
    let Some(folder) = shared::find("suites/consent", "corpus_agrees") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in ["own", "hl7-r4", "leap", "google", "pcf"] {
        let corpus: Json =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{file}.json"))).unwrap()).unwrap();
        for case in corpus["cases"].as_array().unwrap() {
            if text(case, "level") == "http" {
                continue;
            }
            count += 1;
            let decided = Case::read(case, &corpus["defs"]).unwrap().decide();
            let ours = case.get("divergent").map(|divergent| text(divergent, "ours"));
            let expected = ours.unwrap_or_else(|| text(&case["expected"], "decision"));
            let known = DIFFERENT.iter().any(|(id, _)| *id == text(case, "id"));
            if (decided.decision != expected) != known {
                wrong.push(format!("{}: {decided:?}, expected {expected}", text(case, "id")));
            }
        }
    }
    println!("consent corpus: {} of {count} decisions agree", count - wrong.len());
    assert!(wrong.is_empty(), "{}\n{} of {count}", wrong.join("\n"), wrong.len());
}

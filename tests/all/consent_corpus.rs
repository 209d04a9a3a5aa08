//! The corpus of consent decisions: every case agrees, except that cases marked divergent must give our own answer. Both the
//! library and the shipped program decide it.
use chartward::consent::{Case, compile};
use chartward::model::parse;
use chartward::operations::sentences;
use serde_json::{Value as Json, json};

use crate::{shared, shipped};

/// Cases where our answer differs, each with the reason. The list may only shrink.
const DIFFERENT: [(&str, &str); 0] = [];

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// Checks the corpus; `decide` gives the decisions for the cases of one file and its definitions.
fn agrees(needed_by: &str, decide: &dyn Fn(&[Json], &Json) -> Vec<String>) {
    let Some(folder) = shared::find("suites/consent", needed_by) else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in ["own", "hl7-r4", "leap", "google", "pcf"] {
        let corpus: Json =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{file}.json"))).unwrap()).unwrap();
        let mut cases = corpus["cases"].as_array().unwrap().clone();
        cases.retain(|case| text(case, "level") != "http");
        let decided = decide(&cases, &corpus["defs"]);
        assert_eq!(decided.len(), cases.len(), "{file}");
        count += cases.len();
        for (case, decided) in cases.iter().zip(decided) {
            let ours = case.get("divergent").map(|divergent| text(divergent, "ours"));
            let expected = ours.unwrap_or_else(|| text(&case["expected"], "decision"));
            let known = DIFFERENT.iter().any(|(id, _)| *id == text(case, "id"));
            if (decided != expected) != known {
                wrong.push(format!("{}: {decided}, expected {expected}", text(case, "id")));
            }
        }
    }
    println!("{needed_by}: {} of {count} decisions agree", count - wrong.len());
    assert!(wrong.is_empty(), "{}\n{} of {count}", wrong.join("\n"), wrong.len());
}

#[test]
fn consent_corpus_agrees() {
    agrees("consent_corpus_agrees", &|cases, defs| {
        let decided = cases.iter().map(|case| Case::read(case, defs).unwrap().decide());
        decided.map(|decided| decided.decision.to_owned()).collect()
    });
}

#[test]
fn consent_corpus_agrees_as_the_program_decides_it() {
    agrees("consent_corpus_agrees_as_the_program_decides_it", &|cases, defs| {
        let answers = shipped::answers(&["consent", "decide"], &json!({"defs": defs, "cases": cases}));
        answers.iter().map(|answer| text(answer, "decision").to_owned()).collect()
    });
}

/// Every Consent of the corpus is told in sentences: each rule that may decide, without gaps where words are missing.
#[test]
fn every_consent_of_the_corpus_is_told_in_sentences() {
    let Some(folder) = shared::find("suites/consent", "every_consent_of_the_corpus_is_told_in_sentences")
    else {
        return;
    };
    let mut count = 0;
    for file in ["own", "hl7-r4", "leap", "google", "pcf"] {
        let corpus = parse(std::fs::read(folder.join(format!("{file}.json"))).unwrap()).unwrap();
        let consents = corpus.root().subtree().filter(|node| node.str_at("resourceType") == Some("Consent"));
        for consent in consents {
            let compiled = compile(consent);
            let said = sentences(consent, &|_| None);
            let rules = || compiled.readings.iter().flatten();
            for rule in rules() {
                assert!(
                    said.iter().any(|sentence| sentence.rule == rule.path),
                    "{file} {}: {}",
                    compiled.id,
                    rule.path
                );
            }
            assert!(said.len() >= rules().count().max(1), "{file} {}", compiled.id);
            for sentence in said {
                let text = sentence.text;
                let is_whole = text.ends_with('.')
                    && !["  ", " .", " ,", " ;", "for and", "or or"].iter().any(|gap| text.contains(gap));
                assert!(is_whole, "{file} {}: {text}", compiled.id);
            }
            count += 1;
        }
    }
    println!("{count} Consents are told in sentences");
    assert!(count > 100, "{count}");
}

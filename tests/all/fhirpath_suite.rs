//! The published FHIRPath test suite for R4, case by case.
use serde_json::{Value as Json, json};

use crate::{shared, shipped};

/// Cases where our answer differs, each with the reason. The list may only shrink.
const DIFFERENT: [(&str, &str); 6] = [
    ("testObservations/testPolymorphismAsB", "no static types: an empty cast is empty, not an error"),
    (
        "testDollar/testDollarOrderNotAllowed",
        "children() have the order of the JSON, so skip() is not refused",
    ),
    ("testQuantity/testQuantity9", "the product of two different units of length is left as it is"),
    ("testPlus/testPlusDate19", "a tenth of a second is added, not dropped"),
    ("LowBoundary/LowBoundaryDecimal15", "zero has no sign"),
    (
        "testInheritance/testFHIRPathAsFunction21",
        "as() filters lists, as the search parameters of R4 need it",
    ),
];

fn text<'j>(case: &'j Json, key: &str) -> &'j str {
    case.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// The result of an expression: its values as type and text, or why it failed.
type Came = Result<Vec<(String, String)>, String>;

/// How our answer differs from the expected one, if it does.
fn wrong(case: &Json, came: Came) -> Option<String> {
    let values = match (came, case.get("invalid").is_some()) {
        (Err(_), true) => return None,
        (Err(error), false) => return Some(format!("fails: {error}")),
        (Ok(values), true) => return Some(format!("is {} but should fail", values.len())),
        (Ok(values), false) => values,
    };
    let outputs = case["outputs"].as_array().unwrap();
    if case.get("predicate") == Some(&Json::Bool(true)) {
        let truth = !values.is_empty();
        return (text(&outputs[0], "value") != truth.to_string()).then(|| format!("predicate is {truth}"));
    }
    let theirs: Vec<(String, String)> = outputs
        .iter()
        .map(|output| (text(output, "type").to_owned(), text(output, "value").to_owned()))
        .collect();
    let same = values.len() == theirs.len()
        && values.iter().zip(&theirs).all(|(ours, theirs)| {
            let same_type = theirs.0.is_empty() || ours.0.eq_ignore_ascii_case(&theirs.0);
            // An element that is not a primitive has no text to compare.
            same_type && (ours.1 == theirs.1 || theirs.1.is_empty())
        });
    (!same).then(|| format!("is {values:?}, expected {theirs:?}"))
}

/// The suite evaluated by the shipped program, which compiles each expression, reads each resource and prints the result.
#[test]
fn published_suite_agrees() {
    let Some(folder) = shared::find("suites/fhirpath-r4", "published_suite_agrees") else { return };
    let suite: Json = serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let cases = suite["cases"].as_array().unwrap();
    let asked: Vec<Json> = cases
        .iter()
        .map(|case| {
            let file = case.get("inputfile").and_then(Json::as_str).unwrap_or("patient-example.json");
            let resource = std::fs::read(folder.join("inputs").join(file)).unwrap();
            let resource: Json = serde_json::from_slice(&resource).unwrap();
            let strict = text(case, "invalid") == "semantic";
            json!({"expression": text(case, "expression"), "resource": resource, "strict": strict})
        })
        .collect();
    let answers = shipped::answers(&["fhirpath", "--cases"], &json!(asked));
    assert_eq!(answers.len(), cases.len());
    let mut failed = Vec::new();
    for (case, answer) in cases.iter().zip(answers) {
        let came = match answer["values"].as_array() {
            Some(values) => Ok(values
                .iter()
                .map(|value| (text(value, "type").to_owned(), text(value, "text").to_owned()))
                .collect()),
            None => Err(text(&answer, "error").to_owned()),
        };
        let name = format!("{}/{}", text(case, "group"), text(case, "name"));
        let known = DIFFERENT.iter().any(|(known, _)| *known == name);
        match wrong(case, came) {
            Some(how) if !known => failed.push(format!("{name}: `{}` {how}", text(case, "expression"))),
            None if known => failed.push(format!("{name} agrees: take it off the list")),
            _ => {}
        }
    }
    println!(
        "fhirpath suite: {} of {} cases agree",
        cases.len() - DIFFERENT.len() - failed.len(),
        cases.len()
    );
    assert!(failed.is_empty(), "{}\n{} of {} cases", failed.join("\n"), failed.len(), cases.len());
}

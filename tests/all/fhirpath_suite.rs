//! The published FHIRPath test suite for R4, case by case.
use chartward::fhirpath::{Element, Environment, Expression, Value};
use chartward::model::{Temporal, Tree, parse};
use serde_json::Value as Json;

use crate::shared;

/// Cases that we answer otherwise, each with the reason. May only shrink.
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

fn type_of(value: &Value<'_>) -> String {
    match value {
        Value::Element(element) => element.def.name.to_string(),
        other => {
            let name = other.system_type().unwrap_or("?");
            name[..1].to_lowercase() + &name[1..]
        }
    }
}

fn shown(value: &Value<'_>) -> String {
    let text = value.to_text().map(|text| text.into_owned()).unwrap_or_default();
    match value.system() {
        Value::Date(_) | Value::DateTime(_) => format!("@{text}"),
        Value::Time(_) => format!("@T{text}"),
        _ => text,
    }
}

/// What is wrong with our answer, if anything.
fn wrong(case: &Json, tree: &Tree) -> Option<String> {
    let resource = Element::resource(tree.root()).unwrap();
    let invalid = case.get("invalid").and_then(Json::as_str);
    let expression = match Expression::compile(text(case, "expression")) {
        Ok(expression) => expression,
        Err(_) if invalid.is_some() => return None,
        Err(error) => return Some(format!("does not parse: {error}")),
    };
    let now = Temporal::from_millis(1_790_000_000_000);
    let strict = invalid == Some("semantic");
    let environment = Environment { strict, ..Environment::of(resource, now) };
    let values = match expression.evaluate(&environment, resource) {
        Ok(values) => values,
        Err(_) if invalid.is_some() => return None,
        Err(error) => return Some(format!("fails: {error}")),
    };
    if invalid.is_some() {
        return Some(format!("is {} but should fail", values.len()));
    }
    let outputs = case["outputs"].as_array().unwrap();
    if case.get("predicate") == Some(&Json::Bool(true)) {
        let truth = !values.is_empty();
        return (text(&outputs[0], "value") != truth.to_string()).then(|| format!("predicate is {truth}"));
    }
    let ours: Vec<(String, String)> = values.iter().map(|value| (type_of(value), shown(value))).collect();
    let theirs: Vec<(String, String)> = outputs
        .iter()
        .map(|output| (text(output, "type").to_owned(), text(output, "value").to_owned()))
        .collect();
    let same = ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(ours, theirs)| {
            let same_type = theirs.0.is_empty() || ours.0.eq_ignore_ascii_case(&theirs.0);
            // An element that is no primitive has no text to compare.
            same_type && (ours.1 == theirs.1 || theirs.1.is_empty())
        });
    (!same).then(|| format!("is {ours:?}, expected {theirs:?}"))
}

#[test]
fn published_suite_agrees() {
    let Some(folder) = shared::find("suites/fhirpath-r4", "published_suite_agrees") else { return };
    let suite: Json = serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let mut failed = Vec::new();
    let cases = suite["cases"].as_array().unwrap();
    for case in cases {
        let file = case.get("inputfile").and_then(Json::as_str).unwrap_or("patient-example.json");
        let tree = parse(std::fs::read(folder.join("inputs").join(file)).unwrap()).unwrap();
        let name = format!("{}/{}", text(case, "group"), text(case, "name"));
        let known = DIFFERENT.iter().any(|(known, _)| *known == name);
        match wrong(case, &tree) {
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

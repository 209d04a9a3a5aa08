//! The published suites for FHIRPath Patch and JSON Patch, case by case, applied by the shipped program.
use serde_json::{Value as Json, json};

use crate::{shared, shipped};

fn cases(file: &str, test: &str) -> Option<Vec<Json>> {
    let path = shared::find("suites/patch-r4", test)?.join(file);
    let suite: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    Some(suite.get("cases").unwrap_or(&suite).as_array().unwrap().clone())
}

/// The program's result for each case: the patched document or the error. `document` and `patch` are the cases' member names.
fn patched(cases: &[Json], document: &str, patch: &str) -> Vec<Result<Json, Json>> {
    let asked: Vec<Json> =
        cases.iter().map(|case| json!({"document": case[document], "patch": case[patch]})).collect();
    let answers = shipped::answers(&["patch", "--cases"], &json!(asked));
    assert_eq!(answers.len(), cases.len());
    let came = |answer: Json| answer.get("document").cloned().ok_or_else(|| answer["error"].clone());
    answers.into_iter().map(came).collect()
}

#[test]
fn fhirpath_patch_suite_agrees() {
    let Some(cases) = cases("cases.json", "fhirpath_patch_suite_agrees") else { return };
    for (case, patched) in cases.iter().zip(patched(&cases, "input", "diff")) {
        if case.get("error").is_some() {
            assert!(patched.is_err(), "{}", case["name"]);
        } else {
            assert_eq!(patched, Ok(case["output"].clone()), "{}", case["name"]);
        }
    }
    println!("FHIRPath Patch suite: {} cases agree", cases.len());
}

#[test]
fn json_patch_suite_agrees() {
    let Some(cases) = cases("json-patch-cases.json", "json_patch_suite_agrees") else { return };
    for (case, patched) in cases.iter().zip(patched(&cases, "doc", "patch")) {
        match case.get("expected") {
            Some(expected) => assert_eq!(patched.as_ref(), Ok(expected), "{}", case["comment"]),
            None => assert!(patched.is_err() || case.get("error").is_none(), "{}", case["comment"]),
        }
    }
    println!("JSON Patch suite: {} cases agree", cases.len());
}

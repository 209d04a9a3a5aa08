//! The published suites for FHIRPath Patch and JSON Patch, case by case.
use chartward::fhirpath::apply_patch;
use chartward::model::{Temporal, apply_json_patch, parse};
use serde_json::Value as Json;

use crate::shared;

fn cases(file: &str, test: &str) -> Option<Json> {
    let path = shared::find("suites/patch-r4", test)?.join(file);
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

#[test]
fn fhirpath_patch_suite_agrees() {
    let Some(suite) = cases("cases.json", "fhirpath_patch_suite_agrees") else { return };
    let cases = suite["cases"].as_array().unwrap();
    for case in cases {
        let diff = parse(case["diff"].to_string().into_bytes()).unwrap();
        let patched = apply_patch(&case["input"].to_string(), diff.root(), Temporal::from_millis(0));
        if case.get("error").is_some() {
            assert!(patched.is_err(), "{}", case["name"]);
            continue;
        }
        let patched: Json =
            serde_json::from_str(&patched.unwrap_or_else(|error| panic!("{} {error:?}", case["name"])))
                .unwrap();
        assert_eq!(patched, case["output"], "{}", case["name"]);
    }
    println!("FHIRPath Patch suite: {} cases agree", cases.len());
}

#[test]
fn json_patch_suite_agrees() {
    let Some(suite) = cases("json-patch-cases.json", "json_patch_suite_agrees") else { return };
    for case in suite.as_array().unwrap() {
        let patched = apply_json_patch(&case["doc"].to_string(), case["patch"].to_string().as_bytes());
        match case.get("expected") {
            Some(expected) => {
                let patched: Json = serde_json::from_str(&patched.unwrap()).unwrap();
                assert_eq!(&patched, expected, "{}", case["comment"]);
            }
            None => assert!(patched.is_err() || case.get("error").is_none(), "{}", case["comment"]),
        }
    }
}

//! JSON Patch and FHIRPath Patch on a resource: the result is valid JSON.
#![no_main]
use chartward::fhirpath::apply_patch;
use chartward::model::{Temporal, apply_json_patch, parse};
use libfuzzer_sys::fuzz_target;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","active":true,"birthDate":"1970-01-02","name":[{"family":"Cole","given":["Ann","B"]}]}"#;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(patched) = apply_json_patch(PATIENT, bytes) {
        parse(patched.into_bytes()).expect("a patched resource is JSON");
    }
    if let Ok(tree) = parse(bytes.to_vec())
        && let Ok(patched) = apply_patch(PATIENT, tree.root(), Temporal::from_millis(1_780_000_000_000))
    {
        parse(patched.into_bytes()).expect("a patched resource is JSON");
    }
});

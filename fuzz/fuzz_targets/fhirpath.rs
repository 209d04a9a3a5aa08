//! Compiles an expression and evaluates it on a resource, within the step limit.
#![no_main]
use chartward::fhirpath::{Element, Environment, Expression};
use chartward::model::{Temporal, parse};
use libfuzzer_sys::fuzz_target;

const PATIENT: &str = r#"{"resourceType": "Patient", "id": "p", "active": true, "birthDate": "1970-01-02",
    "name": [{"family": "Cole", "given": ["Ann", "B"]}, {"family": "Dole", "period": {"start": "2001"}}],
    "contact": [{"name": {"family": "X"}}], "multipleBirthInteger": 2,
    "extension": [{"url": "urn:e", "valueQuantity": {"value": 1.50, "code": "mg", "system": "http://unitsofmeasure.org"}}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(expression) = Expression::compile(text) else { return };
    let tree = parse(PATIENT.as_bytes().to_vec()).expect("a resource");
    let resource = Element::resource(tree.root()).expect("of R4");
    let environment = Environment::of(resource, Temporal::from_millis(1_780_000_000_000));
    if let Ok(values) = expression.evaluate(&environment, resource) {
        for value in values.iter() {
            let _ = value.to_text();
        }
    }
});

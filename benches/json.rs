//! How fast resources are read, checked, indexed and written: `cargo bench --bench json`. serde_json reads the same bytes
//! for comparison.
#![allow(clippy::unwrap_used, clippy::as_conversions, clippy::print_stdout, clippy::cast_precision_loss)]
use std::hint::black_box;
use std::time::Instant;

use chartward::definitions::r4;
use chartward::model::{minify, normalize, parse};
use chartward::search::{entries, search_params};
use chartward::validate::{Incoming, Rules, Valid};

/// A Patient and an Observation as they come from an EHR.
const RESOURCES: [&str; 2] = [
    r#"{"resourceType":"Patient","identifier":[{"use":"usual","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:example:mrn","value":"100001"}],"active":true,"name":[{"use":"official","family":"Müller","given":["Anna","Maria"]}],"telecom":[{"system":"phone","value":"+1 555 0000001","use":"home"}],"gender":"female","birthDate":"1970-02-01","address":[{"use":"home","line":["1 Main Street"],"city":"Ashford","postalCode":"01101","country":"US"}]}"#,
    r#"{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}],"text":"Heart rate"},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2026-01-02T10:00:00Z","issued":"2026-01-02T11:00:00Z","performer":[{"reference":"Practitioner/d1"}],"valueQuantity":{"value":72.0,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#,
];
const ROUNDS: u32 = 20_000;

/// Prints the median of seven runs.
fn time(what: &str, mut act: impl FnMut(&str)) {
    let bytes: usize = RESOURCES.iter().map(|text| text.len()).sum();
    let mut runs: Vec<f64> = (0..7)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..ROUNDS {
                RESOURCES.iter().for_each(|text| act(black_box(text)));
            }
            started.elapsed().as_secs_f64()
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    let seconds = runs.get(3).copied().unwrap_or(f64::NAN);
    let each = seconds * 1e6 / f64::from(ROUNDS) / RESOURCES.len() as f64;
    let rate = bytes as f64 * f64::from(ROUNDS) / seconds / 1e6;
    println!("| {what} | {each:.2} us | {rate:.0} MB/s |");
}

fn main() {
    println!("| step | each resource | rate |");
    println!("|---|---|---|");
    time("serde_json: parse to Value", |text| {
        black_box(serde_json::from_str::<serde_json::Value>(text).unwrap());
    });
    time("parse", |text| {
        black_box(parse(text.as_bytes().to_vec()).unwrap());
    });
    time("parse, check", |text| {
        let tree = parse(text.as_bytes().to_vec()).unwrap();
        black_box(Valid::check(Incoming::new(tree), r4(), Rules::default()).unwrap());
    });
    let trees: Vec<_> = RESOURCES.iter().map(|text| parse(text.as_bytes().to_vec()).unwrap()).collect();
    let tree_of = |text: &str| trees.iter().find(|tree| tree.text() == text).unwrap();
    time("write minified", |text| {
        let mut out = String::with_capacity(text.len());
        minify(tree_of(text).root(), &mut out);
        black_box(out);
    });
    time("normal form", |text| {
        black_box(normalize(tree_of(text).root(), "id"));
    });
    time("index entries", |text| {
        black_box(entries(search_params(), tree_of(text).root()));
    });
}

//! The data subjects of resources: for every type the elements that name them, as a golden file for review, generated from
//! `profiles/data-subjects.ndjson`, which gives the reasons. `BLESS=1 cargo test subjects` rewrites it.
use std::fmt::Write as _;

use chartward::definitions::{TypeDef, r4};
use chartward::model::parse;
use chartward::search::Facts;
use serde_json::json;

/// The paths of the elements below a type that name data subjects.
fn below(def: &'static TypeDef, path: &str, seen: &mut Vec<String>, found: &mut Vec<String>) {
    if seen.contains(&def.name.to_string()) {
        return;
    }
    seen.push(def.name.to_string());
    for element in &def.elements {
        let at = format!("{path}.{}", element.name);
        if element.is_subject {
            found.push(at.clone());
        }
        for (id, _) in &element.types {
            let of = r4().get(*id).unwrap();
            // Contained resources are covered by their own types.
            if of.has_subjects && of.kind != chartward::definitions::Kind::Resource {
                below(of, &at, seen, found);
            }
        }
    }
    seen.pop();
}

#[test]
fn subjects_are_what_the_golden_file_says() {
    let mut table = String::from(
        "The elements of each type that name its data subjects; why, in profiles/data-subjects.ndjson.\n\n",
    );
    for def in r4().resources() {
        let mut found = Vec::new();
        below(def, &def.name, &mut Vec::new(), &mut found);
        let nobody = if &*def.name == "Patient" { "itself" } else { "-" };
        writeln!(
            table,
            "{:32}{}",
            def.name,
            if found.is_empty() { nobody.to_owned() } else { found.join(", ") }
        )
        .unwrap();
    }
    crate::shared::assert_golden("subjects.txt", &table);
}

#[test]
fn every_reason_is_told_and_every_path_exists() {
    for row in r4().subjects() {
        let (of, name) = row.path.trim_end_matches("[x]").rsplit_once('.').unwrap();
        let def = r4().find(of).unwrap_or_else(|| panic!("{}", row.path));
        let element = def.element(name).unwrap_or_else(|| panic!("{}", row.path));
        assert_eq!(element.choice, row.path.ends_with("[x]"), "{}", row.path);
        assert!(row.why.len() > 10, "{}", row.path);
    }
}

#[test]
fn subjects_are_found_by_elements_not_by_names() {
    let check = |resource: serde_json::Value, expected: &[&str]| {
        let tree = parse(resource.to_string().into_bytes()).unwrap();
        let def = r4().resource(tree.root().str_at("resourceType").unwrap()).unwrap();
        assert_eq!(Facts::of(def, tree.root()).patients, expected, "{resource}");
    };
    let to = |id: &str| json!({"reference": format!("Patient/{id}")});
    check(json!({"resourceType": "AppointmentResponse", "actor": to("a")}), &["a"]);
    check(json!({"resourceType": "Schedule", "actor": [to("a"), {"reference": "Practitioner/b"}]}), &["a"]);
    check(json!({"resourceType": "EnrollmentRequest", "candidate": to("a")}), &["a"]);
    check(
        json!({"resourceType": "Appointment", "participant": [{"actor": to("a")}, {"actor": to("b")}]}),
        &["a", "b"],
    );
    check(
        json!({"resourceType": "AllergyIntolerance", "patient": to("a"), "asserter": to("mother")}),
        &["a"],
    );
    check(
        json!({"resourceType": "Coverage", "beneficiary": to("a"), "payor": [to("b")], "policyHolder": to("c")}),
        &["a"],
    );
    check(
        json!({"resourceType": "Observation", "subject": to("a"), "focus": [to("b")], "performer": [to("c")]}),
        &["a"],
    );
    check(
        json!({"resourceType": "Observation", "contained": [
        {"resourceType": "Patient", "id": "p"}, {"resourceType": "Condition", "id": "c", "subject": to("b")}]}),
        &["b"],
    );
    check(
        json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": {"resourceType": "Patient", "id": "p"}},
        {"resource": {"resourceType": "EnrollmentRequest", "candidate": to("b")}}]}),
        &["b", "p"],
    );
    check(json!({"resourceType": "Task", "for": to("a"), "requester": to("b"), "owner": to("c")}), &["a"]);
}

#[test]
fn a_patient_who_cannot_be_told_is_seen_in_every_element() {
    let identifier = json!({"system": "urn:example", "value": "1"});
    let cases = [
        (json!({"type": "Patient", "identifier": identifier}), true),
        (json!({"type": "http://hl7.org/fhir/StructureDefinition/Patient", "identifier": identifier}), true),
        (json!({"reference": "https://elsewhere.example/fhir/Patient/1"}), true),
        (json!({"reference": "https://elsewhere.example/fhir/RelatedPerson/1"}), true),
        (json!({"type": "Patient", "reference": "urn:uuid:5c7e0ed7-2f2c-4a0e-8b51-0f8c3f6d1f11"}), true),
        (json!({"type": "Device", "identifier": identifier}), false),
        (json!({"reference": "https://elsewhere.example/fhir/Group/1"}), false),
        (json!({"reference": "Patient/1"}), false),
        (json!({"display": "somebody"}), false),
    ];
    let mut looked_at = 0;
    for row in r4().subjects().iter().filter(|row| row.subject) {
        let (of, name) = row.path.split_once('.').unwrap();
        // Deeper elements are reached by the same code.
        let Some(def) = r4().resource(of).filter(|_| !name.contains('.')) else { continue };
        let element = def.element(name.trim_end_matches("[x]")).unwrap();
        let name = name.replace("[x]", "Reference");
        for (reference, is_unknown) in &cases {
            let is_list = element.max.is_list();
            let value = if is_list { json!([reference]) } else { reference.clone() };
            let resource = json!({"resourceType": of, name.as_str(): value});
            let tree = parse(resource.to_string().into_bytes()).unwrap();
            assert_eq!(Facts::of(def, tree.root()).of_unknown, *is_unknown, "{resource}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 500, "{looked_at}");
}

//! Resources from external sources are read and written unchanged, and pass validation.
use chartward::definitions::r4;
use chartward::model::{from_xml, minify, parse, to_xml};
use chartward::validate::{Incoming, Rules, Valid};

use crate::shared;

/// The examples of the specification that violate its own rules, each with the reason. The list may only shrink.
const INVALID_EXAMPLES: [(&str, &str); 9] = [
    ("ActivityDefinition/blood-tubes-supply", "a narrative of blanks (txt-2)"),
    ("ActivityDefinition/heart-valve-replacement", "a narrative of blanks (txt-2)"),
    ("EventDefinition/example", "a narrative of blanks (txt-2)"),
    ("Questionnaire/zika-virus-exposure-assessment", "a narrative of blanks (txt-2)"),
    ("DeviceMetric/example", "parent refers to a DeviceDefinition, the standard permits a Device"),
    ("DeviceUseStatement/example", "reasonReference refers to a Procedure"),
    ("MedicationRequest/medrx0301", "dispenseRequest.performer refers to a Practitioner"),
    ("Observation/clinical-gender", "performer refers to an Encounter"),
    ("Questionnaire/qs1", "items without a linkId"),
];

fn examples(test: &str) -> Vec<String> {
    shared::find("data/hl7-r4-examples/instances.ndjson.xz", test)
        .map(|path| shared::xz_lines(&path, test))
        .unwrap_or_default()
}

#[test]
fn examples_of_the_specification_are_valid() {
    let mut wrong = Vec::new();
    for line in examples("examples_of_the_specification_are_valid") {
        let tree = parse(line.into_bytes()).unwrap();
        let name = format!(
            "{}/{}",
            tree.root().str_at("resourceType").unwrap_or_default(),
            tree.root().str_at("id").unwrap_or_default()
        );
        let known = INVALID_EXAMPLES.iter().any(|(known, _)| *known == name);
        if let Err(outcome) = Valid::check(Incoming::new(tree), r4(), Rules::default())
            && !known
        {
            let issues: Vec<String> = outcome
                .issues
                .iter()
                .map(|issue| {
                    format!("  {} {}", issue.expression.as_deref().unwrap_or("-"), issue.diagnostics)
                })
                .collect();
            wrong.push(format!("{name}\n{}", issues.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} resources", wrong.join("\n"), wrong.len());
}

#[test]
fn json_goes_in_and_out_unchanged() {
    for line in examples("json_goes_in_and_out_unchanged") {
        let before: serde_json::Value = serde_json::from_str(&line).unwrap();
        let tree = parse(line.into_bytes()).unwrap();
        let mut out = String::new();
        minify(tree.root(), &mut out);
        let after: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(before, after);
    }
}

#[test]
fn json_goes_through_xml_unchanged() {
    for line in examples("json_goes_through_xml_unchanged") {
        let before: serde_json::Value = serde_json::from_str(&line).unwrap();
        let tree = parse(line.into_bytes()).unwrap();
        if tree.root().str_at("id") == Some("qs1") {
            continue;
        }
        let xml = to_xml(tree.root()).unwrap_or_else(|outcome| panic!("{outcome:?} {}", tree.text()));
        let again = from_xml(xml.as_bytes()).unwrap_or_else(|outcome| panic!("{outcome:?} {xml}"));
        let mut out = String::new();
        minify(again.root(), &mut out);
        let after: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(before, after, "{xml}");
    }
}

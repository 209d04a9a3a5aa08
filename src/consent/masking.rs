//! References to what is not shown: they keep their id and lose what tells who or what is behind them. Hidden and absent
//! targets are treated alike, so that the difference tells nothing.
use serde_json::{Value, json};

use crate::model::{JsonKind, Node, Reference, ReferenceTarget};

use super::reach::ADMINISTRATIVE;

/// What is behind a reference to one of these is no patient's secret. A Location may be somebody's house.
fn is_open(target: &str) -> bool {
    let name = target.split('/').next().unwrap_or_default();
    ADMINISTRATIVE.contains(&name) && name != "Location"
}

/// `Type/id` of the local references that carry a display or an identifier which may tell of somebody.
pub(super) fn telling_references(resource: Node<'_>) -> Vec<String> {
    let nodes = resource.subtree().filter(|node| node.kind() == JsonKind::Object);
    let telling = nodes.filter(|node| node.get("display").is_some() || node.get("identifier").is_some());
    let targets = telling.filter_map(|node| local(node.str_at("reference")?));
    let mut found: Vec<String> = targets.filter(|target| !is_open(target)).collect();
    found.sort();
    found.dedup();
    found
}

fn local(reference: &str) -> Option<String> {
    match Reference::parse(reference).target {
        ReferenceTarget::Relative(key) => Some(key.to_string()),
        ReferenceTarget::Absolute { .. }
        | ReferenceTarget::Fragment(_)
        | ReferenceTarget::Urn(_)
        | ReferenceTarget::Other(_) => None,
    }
}

/// The text without what tells of these references; and without its narrative, which may tell the same. It is marked, so
/// that nobody writes it back and loses the rest.
pub(super) fn masked(text: &str, hidden: &[String]) -> Option<String> {
    let mut json: Value = serde_json::from_str(text).ok()?;
    mask(&mut json, hidden);
    json.as_object_mut()?.shift_remove("text");
    add_label(&mut json, &json!({"system": OBSERVATION_VALUE, "code": "REDACTED"}));
    Some(json.to_string())
}

const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// 42 CFR 2.32(a)(2).
const NOTICE: &str = "42 CFR part 2 prohibits unauthorized use or disclosure of these records.";
/// Where the Consent stands that a disclosure rests on, its scope in words, and the form that was signed.
const DISCLOSED_UNDER: &str = "https://chartward.org/fhir/StructureDefinition/disclosed-under";

/// What goes with a disclosure of Part 2 data (42 CFR 2.32): the notice, as a refrain label; and the consent: which it is, to
/// whom and for what, and its form where one was signed.
pub(super) struct Accompaniment {
    /// `Consent/id`.
    pub(super) consent: String,
    pub(super) scope: String,
    /// `sourceAttachment` or `sourceReference` of the Consent, as an extension has it.
    pub(super) form: Option<(&'static str, Value)>,
}

/// The text with what has to go with it.
pub(super) fn accompanied(text: &str, with: &Accompaniment) -> Option<String> {
    let mut json: Value = serde_json::from_str(text).ok()?;
    add_label(&mut json, &json!({"system": ACT_CODE, "code": "NORDSCLCD", "display": NOTICE}));
    let mut parts = vec![
        json!({"url": "consent", "valueReference": {"reference": with.consent}}),
        json!({"url": "scope", "valueString": with.scope}),
    ];
    if let Some((name, form)) = &with.form {
        let mut part = json!({"url": "form"});
        part.as_object_mut()?.insert((*name).to_owned(), form.clone());
        parts.push(part);
    }
    let meta = json.get_mut("meta")?.as_object_mut()?;
    let extensions = meta.entry("extension").or_insert_with(|| json!([]));
    extensions.as_array_mut()?.push(json!({"url": DISCLOSED_UNDER, "extension": parts}));
    Some(json.to_string())
}

fn add_label(resource: &mut Value, label: &Value) {
    let Some(members) = resource.as_object_mut() else { return };
    let meta = members.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    let labels = meta.entry("security").or_insert_with(|| json!([]));
    if let Some(labels) = labels.as_array_mut()
        && !labels.iter().any(|known| known.get("code") == label.get("code"))
    {
        labels.push(label.clone());
    }
}

fn mask(value: &mut Value, hidden: &[String]) {
    match value {
        Value::Object(members) => {
            let is_hidden = members
                .get("reference")
                .and_then(Value::as_str)
                .and_then(local)
                .is_some_and(|target| hidden.contains(&target));
            if is_hidden {
                for name in ["display", "_display", "identifier"] {
                    members.shift_remove(name);
                }
            }
            members.values_mut().for_each(|member| mask(member, hidden));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, hidden)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{masked, telling_references};
    use crate::model::parse;

    #[test]
    fn what_is_hidden_keeps_its_id_alone() {
        let text = r#"{"resourceType":"Observation","text":{"status":"generated","div":"<div>Ann</div>"},
            "subject":{"reference":"Patient/a","display":"Ann"},"encounter":{"reference":"Encounter/b"},
            "performer":[{"reference":"Practitioner/c","display":"Doc"}]}"#;
        let tree = parse(text.as_bytes().to_vec()).unwrap();
        // Who works here is no secret.
        assert_eq!(telling_references(tree.root()), ["Patient/a"]);
        let after = masked(text, &["Patient/a".to_owned()]).unwrap();
        assert!(!after.contains("Ann") && after.contains("Patient/a") && after.contains("Doc"), "{after}");
        assert!(after.contains("REDACTED"), "{after}");
    }
}

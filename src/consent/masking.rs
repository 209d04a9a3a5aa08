//! References to what is not shown: they keep their id and lose what tells who or what is behind them. Hidden and absent
//! targets are treated alike, so that the difference tells nothing.
use serde_json::Value;

use crate::model::{JsonKind, Node, Reference, ReferenceTarget};

/// `Type/id` of the local references that carry a display or an identifier.
pub(super) fn telling_references(resource: Node<'_>) -> Vec<String> {
    let nodes = resource.subtree().filter(|node| node.kind() == JsonKind::Object);
    let telling = nodes.filter(|node| node.get("display").is_some() || node.get("identifier").is_some());
    let mut found: Vec<String> = telling.filter_map(|node| local(node.str_at("reference")?)).collect();
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

/// The text without what tells of these references; and without its narrative, which may tell the same.
pub(super) fn masked(text: &str, hidden: &[String]) -> Option<String> {
    let mut json: Value = serde_json::from_str(text).ok()?;
    mask(&mut json, hidden);
    json.as_object_mut()?.shift_remove("text");
    Some(json.to_string())
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
        assert_eq!(telling_references(tree.root()), ["Patient/a", "Practitioner/c"]);
        let after = masked(text, &["Patient/a".to_owned()]).unwrap();
        assert!(!after.contains("Ann") && after.contains("Patient/a") && after.contains("Doc"), "{after}");
    }
}

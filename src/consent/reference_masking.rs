//! Masks references to hidden resources: they keep their id and lose display and identifier. For parties outside the own
//! organization hidden and absent targets are treated alike, so that the difference tells nothing.
use serde_json::{Value, json};

use crate::definitions::{TypeDef, TypeId, r4};
use crate::model::{JsonKind, Node, Reference, ReferenceTarget};

use super::scope_reach::ADMINISTRATIVE;

/// Whether resources of a type are never confidential. A Location may be a patient's home.
fn is_open(type_name: &str) -> bool {
    ADMINISTRATIVE.contains(&type_name) && type_name != "Location"
}

/// The target of a reference that may reveal something about a patient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum NamedTarget {
    /// `Type/id` on this server.
    Resource(String),
    /// A resource known by an identifier alone, of one of these types, or of any type if there are none.
    Identified { types: Vec<&'static str>, system: Option<String>, value: String },
}

impl NamedTarget {
    fn of(reference: Node<'_>, targets: &[TypeId]) -> Option<Self> {
        if let Some(literal) = reference.str_at("reference") {
            let target = local(literal)?;
            return (!is_open(target.split('/').next().unwrap_or_default()))
                .then_some(Self::Resource(target));
        }
        let identifier = reference.get("identifier").filter(|node| node.kind() == JsonKind::Object)?;
        let said = reference.str_at("type").and_then(|name| r4().resource(name));
        let types: Vec<&'static str> = match said {
            Some(def) => vec![&def.name],
            None => targets.iter().filter_map(|id| r4().get(*id)).map(|def| &*def.name).collect(),
        };
        let is_any = types.is_empty() || types.contains(&"Resource");
        let types: Vec<&'static str> = types.into_iter().filter(|name| !is_open(name)).collect();
        if types.is_empty() && !is_any {
            return None;
        }
        Some(Self::Identified {
            types: if is_any { Vec::new() } else { types },
            system: identifier.str_at("system").map(str::to_owned),
            value: identifier.str_at("value")?.to_owned(),
        })
    }

    /// Whether a reference, given as the members of its JSON object, has this target.
    fn is_named_by(&self, members: &serde_json::Map<String, Value>) -> bool {
        let literal = members.get("reference").and_then(Value::as_str);
        match self {
            Self::Resource(target) => literal.and_then(local).is_some_and(|named| named == *target),
            Self::Identified { system, value, .. } => {
                let text = |name: &str| members.get("identifier")?.get(name)?.as_str();
                literal.is_none() && text("value") == Some(value) && text("system") == system.as_deref()
            }
        }
    }
}

/// The targets of a resource's references that may reveal something: of those with a display or an identifier, and of all
/// references if there is a narrative, which may reveal the same.
pub(super) fn telling_references(resource: Node<'_>) -> Vec<NamedTarget> {
    let mut found = Vec::new();
    let def = resource.str_at("resourceType").and_then(|name| r4().resource(name));
    if let Some(def) = def {
        gather(resource, def, has_narrative(resource), &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn has_narrative(resource: Node<'_>) -> bool {
    resource.get("text").is_some() || resource.items_at("contained").any(|inner| inner.get("text").is_some())
}

fn gather(node: Node<'_>, def: &'static TypeDef, all: bool, found: &mut Vec<NamedTarget>) {
    for child in node.children() {
        let Some(property) = def.property(child.key()) else { continue };
        let Some(of) = r4().get(property.type_id) else { continue };
        for item in child.items() {
            if item.kind() != JsonKind::Object {
                continue;
            }
            if &*of.name == "Reference" {
                let element = def.element_at(property.element);
                let of_type = element.and_then(|element| {
                    element.types.iter().find(|(type_id, _)| *type_id == property.type_id)
                });
                let targets = of_type.map_or(&[][..], |(_, targets)| targets);
                let tells = ["display", "_display", "identifier"].iter().any(|name| item.get(name).is_some());
                if all || tells {
                    found.extend(NamedTarget::of(item, targets));
                }
            }
            let inner = item.str_at("resourceType").and_then(|name| r4().resource(name));
            gather(item, inner.unwrap_or(of), all, found);
        }
    }
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

/// The text with references to these targets masked, and without narratives, which may reveal the same. It is labelled
/// `REDACTED`, so that nobody writes this copy back and thereby loses the rest.
pub(super) fn masked(text: &str, hidden: &[NamedTarget]) -> Option<String> {
    let mut json: Value = serde_json::from_str(text).ok()?;
    mask(&mut json, hidden);
    json.as_object_mut()?.shift_remove("text");
    for inner in json.get_mut("contained").and_then(Value::as_array_mut).into_iter().flatten() {
        inner.as_object_mut()?.shift_remove("text");
    }
    add_label(&mut json, &json!({"system": OBSERVATION_VALUE, "code": "REDACTED"}));
    Some(json.to_string())
}

const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// 42 CFR 2.32(a)(2).
const NOTICE: &str = "42 CFR part 2 prohibits unauthorized use or disclosure of these records.";
/// The extension for a disclosure's Consent, the Consent's scope in words, and the signed form.
const DISCLOSED_UNDER: &str = "https://chartward.org/fhir/StructureDefinition/disclosed-under";

/// What accompanies a disclosure of Part 2 data (42 CFR 2.32), beside the notice: the Consent, its scope (recipient and purposes)
/// in words, and its form if one was signed.
pub(super) struct Redisclosure {
    /// `Consent/id`.
    pub(super) consent: String,
    pub(super) scope: String,
    /// `Consent.source[x]` as the name and the value of an extension's `value[x]`.
    pub(super) form: Option<(&'static str, Value)>,
}

/// The text with the notice as a refrain label, and with the Consent as an extension.
pub(super) fn accompanied(text: &str, with: &Redisclosure) -> Option<String> {
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

fn mask(value: &mut Value, hidden: &[NamedTarget]) {
    match value {
        Value::Object(members) => {
            let may_be = members.get("reference").is_some_and(Value::is_string)
                || members.get("identifier").is_some_and(Value::is_object);
            if may_be && hidden.iter().any(|named| named.is_named_by(members)) {
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
    use super::{NamedTarget, masked, telling_references};
    use crate::model::parse;

    fn named(text: &str) -> Vec<NamedTarget> {
        telling_references(parse(text.as_bytes().to_vec()).unwrap().root())
    }

    #[test]
    fn what_is_hidden_keeps_its_id_alone() {
        let text = r#"{"resourceType":"Observation","text":{"status":"generated","div":"<div>Ann</div>"},
            "subject":{"reference":"Patient/a","display":"Ann"},"encounter":{"reference":"Encounter/b"},
            "performer":[{"reference":"Practitioner/c","display":"Doc"}]}"#;
        let resource = |reference: &str| NamedTarget::Resource(reference.to_owned());
        // A Practitioner is not confidential. The Encounter has no display and counts only because the narrative may describe it.
        assert_eq!(named(text), [resource("Encounter/b"), resource("Patient/a")]);
        assert_eq!(named(&text.replace("\"text\"", "\"x\"")), [resource("Patient/a")]);
        let after = masked(text, &[resource("Patient/a")]).unwrap();
        assert!(!after.contains("Ann") && after.contains("Patient/a") && after.contains("Doc"), "{after}");
        assert!(after.contains("REDACTED"), "{after}");
        let displayed = r#"{"resourceType":"Observation","subject":{"reference":"Patient/a","_display":{"extension":[
            {"url":"urn:x","valueString":"Ann"}]}}}"#;
        let after = masked(displayed, &named(displayed)).unwrap();
        assert!(!after.contains("Ann") && after.contains("Patient/a"), "{after}");
    }

    #[test]
    fn references_by_an_identifier_alone_may_tell_as_well() {
        let text = r#"{"resourceType":"Observation","identifier":[{"value":"1"}],
            "subject":{"identifier":{"system":"urn:mrn","value":"1"},"display":"Ann"},
            "performer":[{"type":"Practitioner","identifier":{"value":"7"}}]}"#;
        let found = named(text);
        let [NamedTarget::Identified { types, system, value }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(types.contains(&"Patient") && !types.contains(&"Practitioner"), "{types:?}");
        assert_eq!((system.as_deref(), value.as_str()), (Some("urn:mrn"), "1"));
        let after = masked(text, &found).unwrap();
        assert!(!after.contains("Ann") && !after.contains("urn:mrn"), "{after}");
        assert!(after.contains("\"identifier\":[{\"value\":\"1\"}]") && after.contains("\"7\""), "{after}");
    }
}

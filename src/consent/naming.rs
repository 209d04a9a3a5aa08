//! The elements through which a resource takes on the subjects and labels of another.
use crate::model::{JsonKind, Node};
use crate::search::plain;

/// Whether visibility of a type's resources depends on other resources, so that the facts of a row cannot decide it.
pub fn depends_on_others(type_name: &str) -> bool {
    matches!(type_name, "Provenance" | "Consent" | "Task" | "Binary")
}

/// Whether a child element names resources whose subjects and labels this one takes on. CHOICE: neither who acted nor a Consent's
/// grantees.
pub(super) fn names(child: Node<'_>, type_name: &str) -> bool {
    match type_name {
        "Provenance" => matches!(child.key(), "target" | "entity"),
        "Task" => {
            matches!(child.key(), "focus" | "for" | "basedOn" | "partOf" | "input" | "output" | "encounter")
        }
        "Consent" => matches!(child.key(), "sourceReference" | "provision"),
        _ => false,
    }
}

/// The Binaries (`Binary/id`) that a resource refers to, in an element `reference` or `url`.
pub(super) fn binaries_named(resource: Node<'_>) -> Vec<String> {
    let texts = resource.subtree().filter(|node| node.kind() == JsonKind::String);
    let named = texts.filter(|node| matches!(node.key(), "reference" | "url")).map(|node| plain(node.text()));
    let mut found: Vec<String> = named.filter(|reference| reference.starts_with("Binary/")).collect();
    found.sort();
    found.dedup();
    found
}

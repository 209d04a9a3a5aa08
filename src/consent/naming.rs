//! By which elements resources belong to the file of another.
use crate::model::{JsonKind, Node};
use crate::search::plain;

/// Whether facts alone cannot tell of a type's resources who may see them.
pub fn depends_on_others(type_name: &str) -> bool {
    matches!(type_name, "Provenance" | "Consent" | "Task" | "Binary")
}

/// What a resource names, where that makes it its concern (CHOICE: not who acted, nor whom a Consent gives rights to).
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

/// `Binary/id` of the Binaries that a resource refers to, by a reference or an address.
pub(super) fn binaries_named(resource: Node<'_>) -> Vec<String> {
    let texts = resource.subtree().filter(|node| node.kind() == JsonKind::String);
    let named = texts.filter(|node| matches!(node.key(), "reference" | "url")).map(|node| plain(node.text()));
    let mut found: Vec<String> = named.filter(|reference| reference.starts_with("Binary/")).collect();
    found.sort();
    found.dedup();
    found
}

//! The Binaries that a resource refers to.
use crate::model::{JsonKind, Node, Reference, ReferenceTarget, ResourceId};

/// The ids of the Binaries that a resource refers to in a `reference` or `url` element.
pub(super) fn binaries_of(resource: Node<'_>) -> Vec<ResourceId> {
    let texts = resource.subtree().filter(|node| node.kind() == JsonKind::String);
    texts
        .filter(|node| matches!(node.key(), "reference" | "url"))
        .filter_map(|node| match Reference::parse(node.text()).target {
            ReferenceTarget::Relative(key) if key.type_name == "Binary" => Some(key.id.clone()),
            _ => None,
        })
        .collect()
}

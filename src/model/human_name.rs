//! A person's name as people read it (R4 datatypes.html#HumanName).
use super::tree::Node;

/// The text of a HumanName, or else its parts: prefixes, given names, family name, suffixes. `None` if it has none of them.
#[must_use]
pub fn human_name(name: Node<'_>) -> Option<String> {
    if let Some(text) = name.str_at("text") {
        return Some(text.to_owned());
    }
    let texts = |part: &str| name.items_at(part).filter_map(Node::as_str).collect::<Vec<_>>();
    let parts = ["prefix", "given", "family", "suffix"].map(texts).concat();
    (!parts.is_empty()).then(|| parts.join(" "))
}

//! Required bindings: a code outside the value set is an error (R4 terminologies.html#required).
use crate::definitions::{Registry, ValueSet};
use crate::model::Node;

/// The code that violates a required binding; `None` if the value conforms. `type_name` is the type of the bound element.
pub(super) fn refused<'t>(
    registry: &Registry,
    url: &str,
    type_name: &str,
    node: Node<'t>,
) -> Option<&'t str> {
    // Value sets that cannot be enumerated (MIME types, languages) are grammars of other standards and are not checked.
    let value_set = registry.value_set(url)?;
    match type_name {
        "code" | "string" | "uri" => {
            let code = node.as_str()?;
            (!value_set.contains(None, code)).then_some(code)
        }
        "Coding" => refused_coding(value_set, node),
        "CodeableConcept" => {
            let mut codings = node.items_at("coding").peekable();
            codings.peek()?;
            let refused: Vec<Option<&str>> =
                codings.map(|coding| refused_coding(value_set, coding)).collect();
            // One coding from the value set is enough; others may translate it.
            if refused.contains(&None) { None } else { refused.into_iter().flatten().next() }
        }
        _ => None,
    }
}

fn refused_coding<'t>(value_set: &ValueSet, coding: Node<'t>) -> Option<&'t str> {
    let code = coding.str_at("code")?;
    (!value_set.contains(coding.str_at("system"), code)).then_some(code)
}

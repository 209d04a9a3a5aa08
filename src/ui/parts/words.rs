//! What a resource is called on a page.
use crate::model::{Node, human_name};

use super::values::concept;

/// The name of a resource: of a person or organization its name, else what it is about.
pub(in super::super) fn name_of(resource: Node<'_>) -> Option<String> {
    if let Some(name) = resource.get("name") {
        if let Some(text) = name.as_str() {
            return Some(text.to_owned());
        }
        let official = name.items().find(|name| name.str_at("use") == Some("official"));
        if let Some(found) = official.or_else(|| name.items().next()).and_then(human_name) {
            return Some(found);
        }
    }
    if let Some(title) = resource.str_at("title") {
        return Some(title.to_owned());
    }
    let places = ["code", "medicationCodeableConcept", "vaccineCode", "class", "type", "category", "scope"];
    places.iter().find_map(|place| resource.items_at(place).find_map(concept))
}

#[cfg(test)]
mod tests {
    use super::name_of;
    use crate::model::parse;

    #[test]
    fn a_resource_is_called_by_its_own_words() {
        let check = |text: &str, expected: Option<&str>| {
            let tree = parse(text.as_bytes().to_vec()).unwrap();
            assert_eq!(name_of(tree.root()).as_deref(), expected, "{text}");
        };
        check(
            r#"{"name":[{"use":"old","family":"A"},{"use":"official","family":"Cole","given":["Ann","B."]}]}"#,
            Some("Ann B. Cole"),
        );
        check(r#"{"name":"Riverside"}"#, Some("Riverside"));
        check(r#"{"code":{"coding":[{"code":"1"},{"display":"Asthma"}]}}"#, Some("Asthma"));
        check(r#"{"code":{"text":"Asthma","coding":[{"code":"1"}]}}"#, Some("Asthma"));
        check(r#"{"class":{"code":"AMB","display":"ambulatory"}}"#, Some("ambulatory"));
        check(r#"{"status":"active"}"#, None);
    }
}

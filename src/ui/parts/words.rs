//! What a resource is called on a page.
use crate::model::Node;

/// A person's name as it is read, or the text of it.
fn human_name(name: Node<'_>) -> Option<String> {
    if let Some(text) = name.str_at("text") {
        return Some(text.to_owned());
    }
    let given = name.items_at("given").filter_map(Node::as_str);
    let parts: Vec<&str> = given.chain(name.str_at("family")).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The text of a CodeableConcept or Coding: its own words before a code.
fn concept(node: Node<'_>) -> Option<String> {
    let of_coding =
        |coding: Node<'_>| coding.str_at("display").or_else(|| coding.str_at("code")).map(str::to_owned);
    let text = node.str_at("text").map(str::to_owned);
    text.or_else(|| node.items_at("coding").find_map(of_coding)).or_else(|| of_coding(node))
}

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
        check(r#"{"code":{"coding":[{"code":"1"},{"display":"Asthma"}]}}"#, Some("1"));
        check(r#"{"code":{"text":"Asthma","coding":[{"code":"1"}]}}"#, Some("Asthma"));
        check(r#"{"class":{"code":"AMB","display":"ambulatory"}}"#, Some("ambulatory"));
        check(r#"{"status":"active"}"#, None);
    }
}

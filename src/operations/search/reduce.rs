//! `_summary` and `_elements`: parts of resources (R4 search.html#summary, #elements).
use crate::consent::Disclosed;
use crate::definitions::TypeDef;
use crate::model::IssueCode;
use crate::search::{Query, Reading, Summary, ValueContext, parse_query, search_params};

use super::super::answer::Refusal;

/// Applies `_summary` and `_elements` to a read or vread, which allow no other parameters but `_format` and `_pretty`.
pub(in super::super) fn reduce(
    disclosed: &Disclosed,
    def: &'static TypeDef,
    pairs: &[(String, String)],
) -> Result<Disclosed, Refusal> {
    let asking = ValueContext { now: 0, base_url: "" };
    let reading = Reading { params: search_params(), asking, lenient: false };
    let mut query = Query::default();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let known = matches!(name.as_str(), "_summary" | "_elements" | "_format" | "_pretty");
        let parsed = if known {
            parse_query(&reading, def, &[(name.clone(), value.clone())])
        } else {
            Ok(Query::default())
        };
        let parsed = parsed.map_err(|error| Refusal::bad_request(IssueCode::Invalid, error.message))?;
        if !known {
            let message = format!("unknown parameter `{name}`; a read takes _summary, _elements and _format");
            return Err(Refusal::bad_request(IssueCode::NotSupported, message));
        }
        match name.as_str() {
            "_summary" => query.summary = parsed.summary,
            "_elements" => query.elements = parsed.elements,
            _ => {}
        }
    }
    if let Some(name) = query.elements.iter().find(|name| def.element(name).is_none()) {
        let message = format!("`_elements`: {} has no element `{name}`", def.name);
        return Err(Refusal::bad_request(IssueCode::NotSupported, message));
    }
    Ok(reduce_by(disclosed, def, query.summary, &query.elements))
}

pub(super) fn reduce_by(
    disclosed: &Disclosed,
    def: &TypeDef,
    summary: Summary,
    elements: &[String],
) -> Disclosed {
    let is_element = |key: &str, test: &dyn Fn(&crate::definitions::ElementDef) -> bool| {
        let property = def.property(key.trim_start_matches('_'));
        property.and_then(|property| def.element_at(property.element)).is_some_and(test)
    };
    let always = |key: &str| {
        matches!(key, "resourceType" | "id" | "meta") || is_element(key, &|element| element.min > 0)
    };
    if !elements.is_empty() {
        let named = |key: &str| {
            is_element(key, &|element| {
                element.modifier || elements.iter().any(|name| **name == *element.name)
            })
        };
        return disclosed.reduced(&|key| always(key) || named(key));
    }
    match summary {
        Summary::False | Summary::Count => disclosed.clone(),
        Summary::True => disclosed.reduced(&|key| always(key) || is_element(key, &|element| element.summary)),
        Summary::Text => disclosed.reduced(&|key| always(key) || key == "text"),
        Summary::Data => disclosed.reduced(&|key| key != "text"),
    }
}

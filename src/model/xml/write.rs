//! Writes XML: fhirbolt converts the JSON form, because it knows the order of elements; narratives bypass it, because it would
//! change their white space.
use crate::model::normalize::quote;
use crate::model::outcome::{IssueCode, Outcome};
use crate::model::tree::{JsonKind, Node};

use super::unreadable::{DIV_CLOSE, DIV_OPEN, R4Element, stand_in};

/// The XML form of a valid resource.
///
/// # Errors
/// An outcome if the resource does not follow the definitions; a valid resource does.
pub fn to_xml(resource: Node<'_>) -> Result<String, Outcome> {
    let mut json = String::with_capacity(resource.raw().len());
    let mut divs = Vec::new();
    resource_first(resource, &mut json, &mut divs);
    let failed =
        |error: String| Outcome::error(IssueCode::Exception, "the resource has no XML form").because(error);
    let element: R4Element =
        fhirbolt::json::from_str(&json, None).map_err(|error| failed(error.to_string()))?;
    let xml = fhirbolt::xml::to_string(&element, None).map_err(|error| failed(error.to_string()))?;
    Ok(restore(&escape_white_space(&xml), &divs))
}

/// Escapes line breaks and tabs in attribute values, so that no reader turns them into spaces (XML 1.0, 3.3.3). With the
/// narratives replaced, quotation marks only delimit attribute values.
fn escape_white_space(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    for (number, part) in xml.split('"').enumerate() {
        if number > 0 {
            out.push('"');
        }
        if number % 2 == 0 || !part.contains(['\n', '\r', '\t']) {
            out.push_str(part);
        } else {
            out.push_str(&part.replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;"));
        }
    }
    out
}

/// Writes the JSON form with `resourceType` first in every object, as fhirbolt requires, and a [`stand_in`] for each narrative.
fn resource_first<'t>(node: Node<'t>, out: &mut String, divs: &mut Vec<&'t str>) {
    let (open, close) = match node.kind() {
        JsonKind::Object => ('{', '}'),
        JsonKind::Array => ('[', ']'),
        JsonKind::String if node.key() == "div" && node.text().starts_with("<div") => {
            quote(&stand_in(divs.len()), out);
            return divs.push(node.text());
        }
        JsonKind::String | JsonKind::Null | JsonKind::Bool | JsonKind::Number => {
            return crate::model::normalize::minify(node, out);
        }
    };
    out.push(open);
    let is_type = |child: &Node<'_>| child.key() == "resourceType";
    let first = node.children().filter(is_type);
    let rest = node.children().filter(|child| !is_type(child));
    for (child, number) in first.chain(rest).zip(0_usize..) {
        if number > 0 {
            out.push(',');
        }
        if open == '{' {
            out.push('"');
            out.push_str(child.raw_key());
            out.push_str("\":");
        }
        resource_first(child, out, divs);
    }
    out.push(close);
}

/// Puts the narratives back. No text of a resource can look like a stand-in here: in XML its `<` is escaped.
fn restore(xml: &str, divs: &[&str]) -> String {
    let mut out = String::with_capacity(xml.len() + divs.iter().map(|div| div.len()).sum::<usize>());
    let mut rest = xml;
    for div in divs {
        let Some(open) = rest.find(DIV_OPEN) else { break };
        let Some(close) = rest.get(open..).and_then(|tail| tail.find(DIV_CLOSE)) else { break };
        out.push_str(rest.get(..open).unwrap_or_default());
        out.push_str(div);
        rest = rest.get(open + close + DIV_CLOSE.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

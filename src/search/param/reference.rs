//! References (R4 search.html#reference): to local resources, by URL, by canonical with a version, or by identifier.
use crate::definitions::{Kind, TypeDef};
use crate::model::{Node, Reference, ReferenceTarget};
use crate::search::entry::{Encoded, Form, cut, cut_open, push_open_text, push_text};
use crate::search::matcher::Ask;
use crate::search::params::Param;
use crate::search::text::{split_escaped, unescape};

use super::ValueContext;

pub(super) fn extract(param: &Param, def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    if def.kind == Kind::Primitive {
        return of_text(node.text(), out);
    }
    if def.kind == Kind::Resource {
        // A resource within another, such as the Composition of a document, is found by its id.
        let is_meant = param.targets.contains(&&*def.name);
        return out.extend(node.str_at("id").filter(|_| is_meant).map(|id| local(id, &def.name)));
    }
    if let Some(text) = node.str_at("reference") {
        of_text(text, out);
    }
    if let Some(identifier) = node.get("identifier") {
        let value = identifier.str_at("value").unwrap_or_default();
        let system = identifier.str_at("system").unwrap_or_default();
        out.push(Encoded::new(Form::Identifier).text(cut(value)).tail(cut(system)));
    }
}

fn of_text(text: &str, out: &mut Vec<Encoded>) {
    match Reference::parse(text).target {
        ReferenceTarget::Relative(key) => out.push(local(key.id.as_str(), key.type_name)),
        ReferenceTarget::Absolute { .. } | ReferenceTarget::Urn(_) | ReferenceTarget::Other(_) => {
            let (url, version) = text.split_once('|').unwrap_or((text, ""));
            out.push(Encoded::new(Form::Second).text(cut(url)).text(cut(version)));
        }
        // The second, empty text keeps the shape of the other reference forms, which all have two.
        ReferenceTarget::Fragment(id) if !id.is_empty() => {
            out.push(Encoded::new(Form::Fragment).text(cut(id)).text(b""));
        }
        ReferenceTarget::Fragment(_) => {}
    }
}

fn local(id: &str, type_name: &str) -> Encoded {
    Encoded::new(Form::Value).text(id.as_bytes()).text(type_name.as_bytes())
}

/// Finds references to a local resource.
pub(in crate::search) fn to_resource(type_name: &str, id: &str) -> Ask {
    Ask::key(local(id, type_name))
}

/// Finds references to contained resources.
pub(in crate::search) fn to_contained() -> Ask {
    Ask::all(Form::Fragment)
}

/// Finds references to a URL in that version, and those without a version.
pub(in crate::search) fn to_version(url: &str, version: &str) -> [Ask; 2] {
    [version, ""].map(|version| Ask::key(Encoded::new(Form::Second).text(cut(url)).text(cut(version))))
}

/// Finds canonical references to a URL in a version or below it: `1` is above `1.0` and `1-beta`, not above `10`.
pub(in crate::search) fn to_versions_below(url: &str, version: &str) -> Vec<Ask> {
    let begins = |end: &str| {
        let mut start = Encoded::new(Form::Second).text(cut(url)).key;
        push_open_text(&mut start, cut_open(&format!("{version}{end}")));
        Ask::beginning(start)
    };
    let whole = Ask::key(Encoded::new(Form::Second).text(cut(url)).text(cut(version)));
    [whole].into_iter().chain([".", "-", "+"].map(begins)).collect()
}

/// Finds references to a URL in any version.
pub(in crate::search) fn to_url(url: &str) -> Ask {
    Ask::beginning(Encoded::new(Form::Second).text(cut(url)).key)
}

pub(super) fn asks(modifier: Option<&str>, value: &str, asking: ValueContext<'_>) -> Vec<Ask> {
    if modifier == Some("identifier") {
        return vec![by_identifier(value)];
    }
    let value = unescape(value);
    let value = value
        .strip_prefix(asking.base_url)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|_| !asking.base_url.is_empty())
        .unwrap_or(&value);
    match (Reference::parse(value).target, modifier) {
        (ReferenceTarget::Relative(key), None) => vec![to_resource(key.type_name, key.id.as_str())],
        (ReferenceTarget::Relative(key), Some(named)) if key.type_name == named => {
            vec![to_resource(named, key.id.as_str())]
        }
        (ReferenceTarget::Relative(_), Some(_)) => Vec::new(),
        (ReferenceTarget::Other(_), Some(named)) => vec![to_resource(named, value)],
        (ReferenceTarget::Other(_), None) if !value.contains([':', '/', '|']) => {
            // The id of a resource of any type, or a URL that looks like an id.
            let of_any_type = Encoded::new(Form::Value).text(value.as_bytes());
            vec![Ask::beginning(of_any_type.key), to_url(value)]
        }
        _ => match value.split_once('|') {
            Some((url, version)) => {
                vec![Ask::key(Encoded::new(Form::Second).text(cut(url)).text(cut(version)))]
            }
            None => vec![to_url(value)],
        },
    }
}

/// Finds references by their identifier, given as a token: `value`, `system|value`, `|value`, `system|`.
fn by_identifier(value: &str) -> Ask {
    let (system, code) = match split_escaped(value, '|') {
        Some((system, code)) => (Some(unescape(system)), unescape(code)),
        None => (None, unescape(value)),
    };
    match system {
        Some(system) if code.is_empty() => Ask::all(Form::Identifier).with_tails(tail(&system)),
        Some(system) => to_identifier(&system, &code),
        None => Ask::key(Encoded::new(Form::Identifier).text(cut(&code))),
    }
}

/// Finds references that carry this identifier.
pub(in crate::search) fn to_identifier(system: &str, value: &str) -> Ask {
    Ask::key(Encoded::new(Form::Identifier).text(cut(value))).with_tails(tail(system))
}

/// The tail of an identifier entry: its system.
fn tail(system: &str) -> Vec<Vec<u8>> {
    let mut tail = Vec::new();
    push_text(&mut tail, &cut(system));
    vec![tail]
}

//! Turns codings, identifiers, references and similar values into tokens and pointers.
use chartward::definitions::Kind;
use chartward::fhirpath::Value;
use chartward::model::{Node, Reference, ReferenceTarget, ResourceKey};

use super::corpus::OWN_BASE;
use super::elements::{primitive_string, typed};
use super::occurrence::{Pointer, System, Token};
use super::text::Written;

/// The tokens in one result of an expression.
pub fn tokens(value: &Value<'_>) -> Vec<Token> {
    if let Value::Boolean(truth) = value {
        return vec![bare(System::Implied, &truth.to_string())];
    }
    let mut found = match typed(value) {
        Some(("boolean" | "code" | "id", node)) => vec![bare(System::Implied, node.text())],
        Some(("Coding", node)) => vec![coding(node)],
        Some(("CodeableConcept", node)) => concept(node),
        Some(("Identifier", node)) => vec![identifier(node)],
        Some(("ContactPoint", node)) => node.str_at("value").map(caseless).into_iter().collect(),
        Some(("string" | "markdown", node)) => vec![caseless(node.text())],
        _ => primitive_string(value).map(|text| bare(System::None, text)).into_iter().collect(),
    };
    found.retain(is_searchable);
    found
}

fn is_searchable(token: &Token) -> bool {
    token.code.is_some()
        || matches!(token.system, System::Named(_))
        || !token.texts.is_empty()
        || !token.types.is_empty()
}

fn bare(system: System, code: &str) -> Token {
    Token { system, code: Some(code.to_owned()), is_caseless: false, texts: Vec::new(), types: Vec::new() }
}

fn caseless(text: &str) -> Token {
    Token { is_caseless: true, ..bare(System::None, text) }
}

fn named(node: Node<'_>) -> System {
    node.str_at("system").map_or(System::None, |system| System::Named(system.to_owned()))
}

fn coding(node: Node<'_>) -> Token {
    Token {
        system: named(node),
        code: node.str_at("code").map(str::to_owned),
        is_caseless: false,
        texts: node.str_at("display").map(Written::new).into_iter().collect(),
        types: Vec::new(),
    }
}

/// A token for every coding, and one without a code for the text.
fn concept(node: Node<'_>) -> Vec<Token> {
    let text = node.str_at("text").map(|text| Token {
        system: System::None,
        code: None,
        is_caseless: false,
        texts: vec![Written::new(text)],
        types: Vec::new(),
    });
    node.items_at("coding").map(coding).chain(text).collect()
}

fn identifier(node: Node<'_>) -> Token {
    let of_type = node.get("type");
    let pair = |coding: Node<'_>| {
        let (system, code) = (coding.str_at("system")?, coding.str_at("code")?);
        Some((system.to_owned(), code.to_owned()))
    };
    Token {
        system: named(node),
        code: node.str_at("value").map(str::to_owned),
        is_caseless: false,
        texts: of_type.and_then(|of_type| of_type.str_at("text")).map(Written::new).into_iter().collect(),
        types: of_type.into_iter().flat_map(|of_type| of_type.items_at("coding")).filter_map(pair).collect(),
    }
}

/// The target of one result of an expression.
pub fn pointer(value: &Value<'_>) -> Option<Pointer> {
    let found = match typed(value) {
        Some(("Reference", node)) => reference(node),
        Some((type_name, node)) if is_resource(value) => Pointer {
            local: node.str_at("id").and_then(|id| ResourceKey::new(type_name, id)),
            url: None,
            identifier: None,
            fragment: None,
        },
        _ => canonical(primitive_string(value)?),
    };
    let is_any = found.local.is_some() || found.url.is_some() || found.identifier.is_some();
    (is_any || found.fragment.is_some()).then_some(found)
}

fn is_resource(value: &Value<'_>) -> bool {
    matches!(value, Value::Element(element) if element.def.kind == Kind::Resource)
}

/// The target of a Reference; texts that name nothing have none.
fn reference(node: Node<'_>) -> Pointer {
    let text = node.str_at("reference").unwrap_or_default();
    let parsed = Reference::parse(text);
    let local = parsed.local(OWN_BASE).cloned();
    let is_url = match parsed.target {
        ReferenceTarget::Absolute { .. } | ReferenceTarget::Urn(_) => true,
        ReferenceTarget::Other(text) => text.contains("://"),
        ReferenceTarget::Relative(_) | ReferenceTarget::Fragment(_) => false,
    };
    Pointer {
        url: (local.is_none() && is_url).then(|| text.to_owned()),
        local,
        fragment: text.strip_prefix('#').filter(|id| !id.is_empty()).map(str::to_owned),
        identifier: node.get("identifier").map(identifier).filter(is_searchable),
    }
}

/// A canonical may name a local resource like a reference; it is always found by its text, too.
fn canonical(text: &str) -> Pointer {
    let unversioned = text.split('|').next().unwrap_or(text);
    let local = Reference::parse(unversioned).local(OWN_BASE).cloned();
    let url = (!text.starts_with('#')).then(|| text.to_owned());
    let fragment = text.strip_prefix('#').filter(|id| !id.is_empty()).map(str::to_owned);
    Pointer { local, url, identifier: None, fragment }
}

//! The index entries of a resource: evaluates every parameter of its type and encodes every value in the forms that searches
//! need (R4 search.html, the tables of each parameter type).
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::definitions::r4;
use crate::fhirpath::{Element, Environment, Expression, Value};
use crate::model::{Node, Reference, ReferenceTarget, Temporal};

use super::entry::{Encoded, Entry, Form};
use super::param::{content, extract, extract_composite, extract_text, narrative, word, words};
use super::params::{Param, SearchParams, Source};

/// All entries of a resource and of its contained resources, sorted, without duplicates.
#[must_use]
pub fn all_entries(params: &SearchParams, resource: Node<'_>) -> Vec<Entry> {
    let mut found = entries(params, resource);
    for contained in resource.items_at("contained") {
        let def = contained.str_at("resourceType").and_then(|name| r4().resource(name));
        let Some(number) = def.and_then(|def| r4().resource_number(def.id)) else { continue };
        let own = entries(params, contained).into_iter().chain([Entry::present(EVERY)]);
        found.extend(own.map(|entry| Entry { contained: Some(number), ..entry }));
    }
    found.extend(of_binaries(resource));
    found.sort_unstable();
    found.dedup();
    found
}

/// The parameter of the entries that name each Binary to which a resource refers anywhere. They are stored like entries of
/// contained Binaries. No query searches it; decisions on who may see a Binary use it.
pub const OF_BINARY: u32 = 1;

fn of_binaries(resource: Node<'_>) -> Vec<Entry> {
    let number = r4().resource("Binary").and_then(|def| r4().resource_number(def.id));
    let texts =
        resource.subtree().filter(|node| matches!(node.key(), "reference" | "url")).filter_map(Node::as_str);
    let ids = texts.filter_map(|text| match Reference::parse(text).target {
        ReferenceTarget::Relative(key) if key.type_name == "Binary" => Some(key.id),
        _ => None,
    });
    ids.map(|id| Entry { contained: number, ..of_binary(id.as_str()) }).collect()
}

/// The entry of a resource that refers to this Binary.
#[must_use]
pub fn of_binary(id: &str) -> Entry {
    Encoded::new(Form::Value).text(id.as_bytes()).entry(OF_BINARY)
}

/// The parameter of the entry that every resource that is not deleted has; it finds all resources of a type.
pub const EVERY: u32 = 0;

/// The parameter of the entry of resources that their facts set apart ([`Facts::sets_apart`](super::facts::Facts::sets_apart)):
/// counts decide about them one by one.
pub const APART: u32 = 2;

/// The entries of a resource itself, sorted, without duplicates. An expression that fails on the resource yields none.
#[must_use]
pub fn entries(params: &SearchParams, resource: Node<'_>) -> Vec<Entry> {
    let def = resource.str_at("resourceType").and_then(|name| r4().resource(name));
    def.map_or_else(Vec::new, |def| entries_by(params.of(def), resource))
}

/// The entries that a text yields for a string parameter.
#[must_use]
pub fn entries_of_text(param: &Param, text: &str) -> Vec<Entry> {
    let mut values = Vec::new();
    extract_text(text, param.is_name_part, &mut values);
    values.into_iter().map(|value| value.entry(param.id)).collect()
}

/// The entries of a resource for some parameters of its type, sorted, without duplicates.
#[must_use]
pub fn entries_by(params: &[Arc<Param>], resource: Node<'_>) -> Vec<Entry> {
    let Some(root) = Element::resource(resource) else { return Vec::new() };
    let environment = Environment::of(root, Temporal::from_millis(0));
    let mut found = Vec::with_capacity(64);
    let mut values = Vec::new();
    for param in params {
        match &param.source {
            Source::Expressions(expressions) => {
                of_expressions(param, expressions, &environment, root, &mut values)
            }
            Source::Narrative => of_texts(narrative(resource).into_iter(), &mut values),
            Source::Content => of_texts(content(root).into_iter(), &mut values),
        }
        found.extend(values.drain(..).map(|value| value.entry(param.id)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn of_expressions<'t>(
    param: &Param,
    expressions: &[Expression],
    environment: &Environment<'t>,
    root: Element<'t>,
    out: &mut Vec<Encoded>,
) {
    for expression in expressions {
        for value in expression.evaluate(environment, root).unwrap_or_default() {
            if param.components.is_empty() {
                extract(param, &value, out);
            } else if let Value::Element(occurrence) = value {
                of_components(param, environment, occurrence, out);
            }
        }
    }
}

fn of_components<'t>(
    param: &Param,
    environment: &Environment<'t>,
    occurrence: Element<'t>,
    out: &mut Vec<Encoded>,
) {
    let mut parts = Vec::with_capacity(param.components.len());
    for component in &param.components {
        let mut values = Vec::new();
        for expression in &component.expressions {
            for value in expression.evaluate(environment, occurrence).unwrap_or_default() {
                extract(&component.param, &value, &mut values);
            }
        }
        if component.param.kind == crate::definitions::ParamType::Token {
            values.retain(|value| value.key.first() == Some(&super::entry::Form::Value.byte()));
        }
        values.sort_unstable();
        values.dedup();
        parts.push(values);
    }
    extract_composite(&parts, out);
}

fn of_texts(texts: impl Iterator<Item = String>, out: &mut Vec<Encoded>) {
    let found: BTreeSet<String> = texts.flat_map(|text| words(&text)).collect();
    out.extend(found.iter().map(|text| word(text)));
}

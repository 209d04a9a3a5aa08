//! Functions that navigate the tree, and functions added by FHIR: `children`, `descendants`, `extension`, `hasValue`, `resolve`,
//! `type`, `conformsTo`, `now`.
use std::borrow::Cow;
use std::collections::VecDeque;

use crate::definitions::{Kind, r4};
use crate::fhirpath::element::Element;
use crate::fhirpath::operators::single;
use crate::fhirpath::value::{self, Collection, Value};
use crate::model::{JsonKind, Reference, ReferenceTarget, Temporal};

use super::super::evaluator::Evaluated;
use super::call::{Answer, Call};

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    Some(match call.name {
        "children" => children(call),
        "descendants" => descendants(call),
        "extension" => extension(call),
        "hasValue" => Ok(vec![Value::Boolean(has_value(&call.focus))]),
        "getValue" => Ok(if has_value(&call.focus) {
            call.focus.iter().map(Value::system).collect()
        } else {
            Vec::new()
        }),
        "resolve" => resolve(call),
        "type" => Ok(call.focus.iter().map(type_of).collect()),
        "conformsTo" => conforms_to(call),
        "htmlChecks" => Ok(vec![Value::Boolean(true)]),
        "memberOf" => member_of(call),
        "now" => Ok(vec![Value::DateTime(call.evaluator.environment.now)]),
        "today" => Ok(vec![Value::Date(call.evaluator.environment.now.date())]),
        "timeOfDay" => Ok(vec![Value::Time(Temporal { offset: None, ..call.evaluator.environment.now })]),
        _ => return None,
    })
}

fn elements<'t>(values: &[Value<'t>]) -> Vec<Element<'t>> {
    values.iter().filter_map(value::element).copied().collect()
}

fn children<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut found = Vec::new();
    for element in elements(&call.take()) {
        element.children(&mut found);
    }
    call.evaluator.step(found.len())?;
    Ok(found.into_iter().map(Value::Element).collect())
}

fn descendants<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut queue: VecDeque<Element<'t>> = elements(&call.take()).into();
    let mut found: Collection<'t> = Vec::new();
    while let Some(element) = queue.pop_front() {
        let mut below = Vec::new();
        element.children(&mut below);
        call.evaluator.step(below.len())?;
        found.extend(below.iter().copied().map(Value::Element));
        queue.extend(below);
    }
    Ok(found)
}

fn extension<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let Some(url) = call.string(0)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for element in elements(&call.take()) {
        element.children_named("extension", &mut found);
    }
    let is_wanted =
        |element: &Element<'t>| element.node.and_then(|node| node.str_at("url")) == Some(url.as_str());
    Ok(found.into_iter().filter(is_wanted).map(Value::Element).collect())
}

fn has_value(values: &[Value<'_>]) -> bool {
    match values {
        [Value::Element(element)] => element.def.kind == Kind::Primitive && element.node.is_some(),
        [Value::Target(_) | Value::Type { .. }] => false,
        [_] => true,
        _ => false,
    }
}

/// The targets of references: a contained resource itself; for other resources only the type that the reference names.
fn resolve<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let root = call.evaluator.environment.root;
    let mut found = Vec::new();
    for value in call.take() {
        let Value::Element(element) = &value else {
            if let Value::String(text) = &value {
                found.extend(target_of(root, text));
            }
            continue;
        };
        let Some(node) = element.node else { continue };
        let text = if node.kind() == JsonKind::Object { node.str_at("reference") } else { node.as_str() };
        let by_text = text.and_then(|text| target_of(root, text));
        let by_type = || node.str_at("type").and_then(|name| r4().resource(name)).map(Value::Target);
        found.extend(by_text.or_else(by_type));
    }
    Ok(found)
}

fn target_of<'t>(root: Element<'t>, text: &str) -> Option<Value<'t>> {
    match Reference::parse(text).target {
        ReferenceTarget::Fragment("") => Some(Value::Element(root)),
        ReferenceTarget::Fragment(id) => root
            .node?
            .items_at("contained")
            .find(|contained| contained.str_at("id") == Some(id))
            .and_then(Element::resource)
            .map(Value::Element),
        ReferenceTarget::Relative(key) | ReferenceTarget::Absolute { key, .. } => {
            r4().resource(key.type_name).map(Value::Target)
        }
        ReferenceTarget::Urn(_) | ReferenceTarget::Other(_) => None,
    }
}

fn type_of<'t>(value: &Value<'t>) -> Value<'t> {
    let fhir = |name: &'static str| Value::Type { namespace: "FHIR", name: Cow::Borrowed(name) };
    match value {
        Value::Element(element) => fhir(&element.def.name),
        Value::Target(def) => fhir(&def.name),
        other => {
            Value::Type { namespace: "System", name: Cow::Borrowed(other.system_type().unwrap_or("Any")) }
        }
    }
}

fn conforms_to<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let Some(url) = call.string(0)? else { return Ok(Vec::new()) };
    let name = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/").and_then(|name| r4().find(name));
    let Some(wanted) = name else { return Err(format!("the profile {url} is not known here").into()) };
    let Some(Value::Element(element)) = single(&call.focus)? else { return Ok(Vec::new()) };
    Ok(vec![Value::Boolean(r4().is_a(element.def.id, wanted.id))])
}

/// Membership in the value sets that the definitions enumerate; the result for others is empty.
fn member_of<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let Some(url) = call.string(0)? else { return Ok(Vec::new()) };
    let Some(value_set) = r4().value_set(&url) else { return Ok(Vec::new()) };
    let Some(value) = single(&call.focus)? else { return Ok(Vec::new()) };
    let contains = |node: crate::model::Node<'_>| {
        node.str_at("code").is_some_and(|code| value_set.contains(node.str_at("system"), code))
    };
    let is_member = match value {
        Value::Element(element) => element.node.is_some_and(|node| match node.kind() {
            JsonKind::String => value_set.contains(None, node.text()),
            _ => contains(node) || node.items_at("coding").any(contains),
        }),
        Value::String(code) => value_set.contains(None, code),
        _ => false,
    };
    Ok(vec![Value::Boolean(is_member)])
}

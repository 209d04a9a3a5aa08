//! Walks a resource along its type definition and checks elements, cardinality, JSON shape, primitives, bindings and
//! reference targets. It continues after a finding, so that all are reported.
use std::collections::HashSet;

use crate::definitions::{ElementDef, Kind, Max, Property, Registry, Strength, TypeDef, TypeId};
use crate::model::{
    Findings, Issue, IssueCode, JsonKind, Node, PrimitiveFault, Reference, ReferenceTarget, check_primitive,
};

use super::path::{Name, Path};
use super::{binding, narrative};

/// The place of a resource: the root, in `contained`, or carried by a Bundle entry or a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ResourcePlace {
    Root,
    Contained,
    Carried,
}

/// An element of one object: its value, and the sibling `_name` with the id and extensions of a primitive.
#[derive(Clone, Copy, Default)]
struct ElementAt<'t> {
    value: Option<Node<'t>>,
    sibling: Option<Node<'t>>,
}

/// The state of a walk.
pub(super) struct Walk<'r, 't> {
    registry: &'r Registry,
    path: Path<'t>,
    /// The ids of the contained resources of the resource that is being walked.
    contained: HashSet<&'t str>,
    findings: Findings,
}

impl<'r: 't, 't> Walk<'r, 't> {
    pub(super) fn new(registry: &'r Registry) -> Self {
        Self { registry, path: Path::default(), contained: HashSet::new(), findings: Findings::default() }
    }

    /// Checks a whole resource. Returns its type, if that is known, and all findings.
    pub(super) fn resource(mut self, root: Node<'t>) -> (Option<&'r TypeDef>, Findings) {
        let def = self.resource_at(root, ResourcePlace::Root);
        (def, self.findings)
    }

    fn report(&mut self, code: IssueCode, diagnostics: impl Into<String>) {
        let path = &self.path;
        self.findings.push(|| {
            let (issue, place) = (Issue::error(code, diagnostics), path.to_text());
            if place.is_empty() { issue } else { issue.at(place) }
        });
    }

    fn report_child(&mut self, name: Name<'_>, code: IssueCode, diagnostics: impl Into<String>) {
        let path = &self.path;
        self.findings.push(|| Issue::error(code, diagnostics).at(path.child(name)));
    }

    fn resource_at(&mut self, node: Node<'t>, place: ResourcePlace) -> Option<&'r TypeDef> {
        if node.kind() != JsonKind::Object {
            self.report(IssueCode::Structure, "a resource is a JSON object");
            return None;
        }
        let Some(name) = node.str_at("resourceType") else {
            self.report(IssueCode::Structure, "`resourceType` is missing or no string");
            return None;
        };
        let Some(def) = self.registry.resource(name) else {
            self.report(IssueCode::Structure, format!("unknown resource type `{name}`"));
            return None;
        };
        if place == ResourcePlace::Root {
            self.path.push(Name::unknown(&def.name), None);
        } else {
            self.path.is_of_type(&def.name);
        }
        if place == ResourcePlace::Contained && node.get("contained").is_some() {
            self.report_child(
                Name::unknown("contained"),
                IssueCode::Structure,
                "a contained resource contains no other (dom-2)",
            );
        }
        if place == ResourcePlace::Contained {
            self.members(node, def);
        } else {
            // A carried resource has contained resources of its own, so fragments inside it refer to those.
            let own = self.contained_in(node);
            let outer = std::mem::replace(&mut self.contained, own);
            self.members(node, def);
            self.contained = outer;
        }
        if place == ResourcePlace::Root {
            self.path.pop();
        }
        Some(def)
    }

    /// The ids of the contained resources; reports duplicates (R4 references.html#contained).
    fn contained_in(&mut self, node: Node<'t>) -> HashSet<&'t str> {
        let mut ids = HashSet::new();
        for (inner, index) in node.items_at("contained").zip(0_usize..) {
            let Some(id) = inner.str_at("id") else { continue };
            if !ids.insert(id) {
                self.path
                    .push(Name { name: "contained", of_type: inner.str_at("resourceType") }, Some(index));
                let message = format!("another contained resource has the id `{id}`");
                self.report_child(Name::unknown("id"), IssueCode::Invariant, message);
                self.path.pop();
            }
        }
        ids
    }

    fn members(&mut self, node: Node<'t>, def: &'r TypeDef) {
        let mut found: Vec<(&'t str, u16, TypeId, ElementAt<'t>)> = Vec::with_capacity(8);
        for child in node.children() {
            let key = child.key();
            if key == "resourceType" && def.kind == Kind::Resource {
                continue;
            }
            let (name, is_sibling) = key.strip_prefix('_').map_or((key, false), |name| (name, true));
            let Some(property) = def.property(name) else {
                self.report_child(
                    Name::unknown(name),
                    IssueCode::Structure,
                    format!("unknown element `{key}`"),
                );
                continue;
            };
            if child.kind() == JsonKind::Null {
                let known = self.known(def, property, name);
                self.report_child(known, IssueCode::Structure, "null is no value of an element");
                continue;
            }
            let slot = match found.iter().position(|(known, ..)| *known == name) {
                Some(at) => at,
                None => {
                    found.push((name, property.element, property.type_id, ElementAt::default()));
                    found.len() - 1
                }
            };
            let Some((.., slot)) = found.get_mut(slot) else { continue };
            let place = if is_sibling { &mut slot.sibling } else { &mut slot.value };
            // The parser refuses objects with duplicate members.
            *place = Some(child);
        }
        self.present(def, &found);
        for (name, element, type_id, found) in found {
            let (Some(element), Some(of)) = (def.element_at(element), self.registry.get(type_id)) else {
                continue;
            };
            self.element(name, element, of, found);
        }
    }

    fn known(&self, def: &'r TypeDef, property: Property, name: &'t str) -> Name<'t> {
        match (def.element_at(property.element), self.registry.get(property.type_id)) {
            (Some(element), Some(of)) => Name::of(element, of),
            _ => Name::unknown(name),
        }
    }

    /// Reports required elements that are absent, and choice elements with more than one type.
    fn present(&mut self, def: &'r TypeDef, found: &[(&'t str, u16, TypeId, ElementAt<'t>)]) {
        for (element, number) in def.elements.iter().zip(0_u16..) {
            let count = found.iter().filter(|(_, other, ..)| *other == number).count();
            if count == 0 && element.min > 0 {
                let message = format!("`{}` is required", element.name);
                self.report_child(Name::unknown(&element.name), IssueCode::Required, message);
            }
            if count > 1 {
                let message =
                    format!("`{}[x]` is a choice: only one of its types may be given", element.name);
                self.report_child(Name::unknown(&element.name), IssueCode::Structure, message);
            }
        }
    }

    fn element(&mut self, name: &'t str, element: &'r ElementDef, of: &'r TypeDef, found: ElementAt<'t>) {
        if of.kind != Kind::Primitive && found.sibling.is_some() {
            let message = format!("`_{name}` is for primitive elements only");
            self.report_child(Name::of(element, of), IssueCode::Structure, message);
        }
        if element.max.is_list() {
            self.list(name, element, of, found);
        } else {
            self.path.push(Name::of(element, of), None);
            self.occurrence(element, of, found.value, found.sibling);
            self.path.pop();
        }
    }

    fn list(&mut self, name: &'t str, element: &'r ElementDef, of: &'r TypeDef, found: ElementAt<'t>) {
        for node in [found.value, found.sibling].into_iter().flatten() {
            if node.kind() != JsonKind::Array {
                let message = format!("`{}` may repeat, so it is an array", element.name);
                return self.report_child(Name::of(element, of), IssueCode::Structure, message);
            }
        }
        let values: Vec<Node<'t>> = found.value.map(|node| node.children().collect()).unwrap_or_default();
        let siblings: Vec<Node<'t>> = found.sibling.map(|node| node.children().collect()).unwrap_or_default();
        let count = values.len().max(siblings.len());
        if count == 0 || (found.value.is_some() && values.is_empty()) {
            self.report_child(Name::of(element, of), IssueCode::Structure, "an array is not empty");
        }
        if let Max::Times(times) = element.max
            && count > usize::from(times)
        {
            let message = format!("`{name}` occurs {count} times, at most {times} are permitted");
            self.report_child(Name::of(element, of), IssueCode::Structure, message);
        }
        for index in 0..count {
            let some =
                |nodes: &[Node<'t>]| nodes.get(index).copied().filter(|node| node.kind() != JsonKind::Null);
            let (value, sibling) = (some(&values), some(&siblings));
            self.path.push(Name::of(element, of), Some(index));
            if value.is_none() && sibling.is_none() {
                self.report(IssueCode::Structure, "null stands here without an extension");
            } else {
                self.occurrence(element, of, value, sibling);
            }
            self.path.pop();
        }
    }

    /// Checks one value of an element, together with the `_name` sibling of a primitive.
    fn occurrence(
        &mut self,
        element: &'r ElementDef,
        of: &'r TypeDef,
        value: Option<Node<'t>>,
        sibling: Option<Node<'t>>,
    ) {
        if let Some(value) = value {
            match of.kind {
                Kind::Primitive => self.primitive(of, value),
                Kind::Resource => self.carried(element, value),
                Kind::Complex | Kind::Backbone => self.complex(element, of, value),
            }
            self.bound(element, of, value);
        }
        if let Some(sibling) = sibling {
            let Some(plain) = self.registry.find("Element") else { return };
            if sibling.kind() == JsonKind::Object {
                if value.is_none() && has_id_alone(sibling) {
                    self.report(IssueCode::Invariant, ID_ALONE);
                }
                self.object(plain, sibling);
            } else {
                self.report(IssueCode::Structure, "the extensions of a primitive are an object");
            }
        }
    }

    fn primitive(&mut self, of: &'r TypeDef, value: Node<'t>) {
        let text = value.text();
        let result = check_primitive(&of.name, value.kind(), text);
        let Err(fault) = result else {
            if &*of.name == "xhtml"
                && let Some(fault) = narrative::fault(text)
            {
                self.report(IssueCode::Invalid, fault);
            }
            return;
        };
        let name = &of.name;
        let message = match fault {
            PrimitiveFault::Kind(wanted) => format!("a value of type {name} is {wanted} in JSON"),
            PrimitiveFault::Grammar => format!("the value does not follow the grammar of type {name}"),
            PrimitiveFault::Empty => "a value is not empty".to_owned(),
            PrimitiveFault::TooLong => "the string is longer than the limit of 1 MiB".to_owned(),
        };
        let is_shape = matches!(fault, PrimitiveFault::Kind(_));
        self.report(if is_shape { IssueCode::Structure } else { IssueCode::Value }, message);
    }

    fn carried(&mut self, element: &ElementDef, value: Node<'t>) {
        let place =
            if &*element.name == "contained" { ResourcePlace::Contained } else { ResourcePlace::Carried };
        self.resource_at(value, place);
    }

    fn complex(&mut self, element: &'r ElementDef, of: &'r TypeDef, value: Node<'t>) {
        if value.kind() != JsonKind::Object {
            let message = if value.kind() == JsonKind::Array {
                format!("`{}` occurs at most once, so it is no array", element.name)
            } else {
                format!("a value of type {} is an object", of.name)
            };
            return self.report(IssueCode::Structure, message);
        }
        if has_id_alone(value) {
            self.report(IssueCode::Invariant, ID_ALONE);
        }
        self.object(of, value);
        if &*of.name == "Reference" {
            self.reference(element, of, value);
        }
    }

    fn object(&mut self, of: &'r TypeDef, value: Node<'t>) {
        if value.children().next().is_none() {
            return self.report(IssueCode::Structure, "an object is not empty");
        }
        self.members(value, of);
    }

    /// Checks that the type in a literal reference is one that the element permits, and that a fragment exists.
    fn reference(&mut self, element: &ElementDef, of: &TypeDef, value: Node<'t>) {
        let Some(literal) = value.str_at("reference") else { return };
        let key = match Reference::parse(literal).target {
            ReferenceTarget::Relative(key) | ReferenceTarget::Absolute { key, .. } => key,
            ReferenceTarget::Fragment(id) => {
                if !id.is_empty() && !self.contained.contains(id) {
                    let message = format!("nothing that is contained has the id `{id}` (ref-1)");
                    self.report_child(Name::unknown("reference"), IssueCode::Invariant, message);
                }
                return;
            }
            ReferenceTarget::Urn(_) => return,
            ReferenceTarget::Other(text) => {
                if !is_address(text) {
                    // R4 references.html#literal. Stored, `/Patient/1` or `Patient/1#a` would refer to no resource.
                    let message = "it is no reference such as Type/id, an absolute URL, #id or a urn";
                    self.report_child(Name::unknown("reference"), IssueCode::Value, message);
                }
                return;
            }
        };
        let Some(target) = self.registry.find(key.type_name) else { return };
        let permitted = element.types.iter().any(|(type_id, targets)| {
            *type_id == of.id
                && (targets.is_empty()
                    || targets.iter().any(|allowed| self.registry.is_a(target.id, *allowed)))
        });
        if !permitted {
            let message = format!("`{}` may not refer to a resource of type {}", element.name, key.type_name);
            self.report_child(Name::unknown("reference"), IssueCode::Structure, message);
        }
    }

    fn bound(&mut self, element: &ElementDef, of: &TypeDef, value: Node<'t>) {
        let Some((Strength::Required, url)) = &element.binding else { return };
        if let Some(code) = binding::refused(self.registry, url, &of.name, value) {
            let message = format!("the code `{code}` is not in the required value set {url}");
            self.report(IssueCode::CodeInvalid, message);
        }
    }
}

/// R4 element.html, ele-1.
const ID_ALONE: &str = "an element has a value or children beside its id (ele-1)";

fn has_id_alone(object: Node<'_>) -> bool {
    let mut children = object.children();
    children.next().is_some_and(|only| only.key() == "id") && children.next().is_none()
}

/// Whether a text begins with a URI scheme (RFC 3986 section 3.1) and has no blanks.
fn is_address(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) && !text.contains(char::is_whitespace)
}

//! An element of a resource with its type, as FHIRPath navigates it.
use crate::definitions::{Kind, TypeDef, r4};
use crate::model::{JsonKind, Node};

/// An element of a resource. A primitive may consist of its value, of its extensions (the `_name` sibling), or both.
#[derive(Clone, Copy, Debug)]
pub struct Element<'t> {
    pub node: Option<Node<'t>>,
    pub sibling: Option<Node<'t>>,
    pub def: &'static TypeDef,
}

impl<'t> Element<'t> {
    /// A whole resource; `None` if its type is not a resource type of R4.
    #[must_use]
    pub fn resource(node: Node<'t>) -> Option<Self> {
        let def = r4().resource(node.str_at("resourceType")?)?;
        Some(Self { node: Some(node), sibling: None, def })
    }

    /// Adds the children of a name to `out`, in order; a choice has its bare name. A name that the type does not have selects
    /// nothing, which [`Self::has`] tells apart.
    pub fn children_named(self, name: &str, out: &mut Vec<Element<'t>>) {
        if self.def.kind == Kind::Primitive {
            return self.primitive_children(name, out);
        }
        let (Some(node), Some(element)) = (self.node, self.def.element(name)) else { return };
        if element.choice {
            let is_choice = |key: &str| {
                self.def
                    .property(key.trim_start_matches('_'))
                    .and_then(|property| self.def.element_at(property.element))
                    .is_some_and(|found| std::ptr::eq(found, element))
            };
            let key = node.children().map(|child| child.key()).find(|key| is_choice(key));
            if let Some(key) = key {
                self.collect(key.trim_start_matches('_'), out);
            }
        } else {
            self.collect(name, out);
        }
    }

    fn primitive_children(self, name: &str, out: &mut Vec<Element<'t>>) {
        let (Some(sibling), Some(plain)) = (self.sibling, r4().find("Element")) else { return };
        Element { node: Some(sibling), sibling: None, def: plain }.collect(name, out);
    }

    /// Whether the type has an element of that name.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        match self.def.kind {
            Kind::Primitive => matches!(name, "id" | "extension" | "value"),
            Kind::Complex | Kind::Backbone | Kind::Resource => {
                self.def.element(name).is_some()
                    || (name == "resourceType" && self.def.kind == Kind::Resource)
            }
        }
    }

    /// Adds all children to `out`, in the order of the JSON.
    pub fn children(self, out: &mut Vec<Element<'t>>) {
        if self.def.kind == Kind::Primitive {
            return ["id", "extension"].iter().for_each(|name| self.primitive_children(name, out));
        }
        let mut seen = Vec::new();
        for child in self.node.into_iter().flat_map(Node::children) {
            let name = child.key().trim_start_matches('_');
            if !seen.contains(&name) {
                seen.push(name);
                self.collect(name, out);
            }
        }
    }

    /// Adds the values of a JSON property to `out`, each with its type and its `_name` sibling.
    fn collect(self, key: &str, out: &mut Vec<Element<'t>>) {
        let Some(node) = self.node else { return };
        let Some(property) = self.def.property(key) else { return };
        let Some(def) = r4().get(property.type_id) else { return };
        let value = node.get(key);
        let sibling = if def.kind == Kind::Primitive {
            node.children().find(|child| is_sibling(child.key(), key))
        } else {
            None
        };
        match (value, sibling) {
            (None, None) => {}
            (Some(list), None) if list.kind() == JsonKind::Array => {
                out.extend(list.children().filter_map(|item| occurrence(Some(item), None, def)));
            }
            (values, siblings) if is_list(values) || is_list(siblings) => {
                let items = |list: Option<Node<'t>>| -> Vec<Node<'t>> {
                    list.into_iter().flat_map(Node::children).collect()
                };
                let (values, siblings) = (items(values), items(siblings));
                for index in 0..values.len().max(siblings.len()) {
                    out.extend(occurrence(values.get(index).copied(), siblings.get(index).copied(), def));
                }
            }
            (value, sibling) => out.extend(occurrence(value, sibling, def)),
        }
    }
}

fn is_sibling(member: &str, key: &str) -> bool {
    member.strip_prefix('_') == Some(key)
}

fn is_list(node: Option<Node<'_>>) -> bool {
    node.is_some_and(|node| node.kind() == JsonKind::Array)
}

/// One value of a property; JSON `null` means no value. A nested resource has the type that its `resourceType` names.
fn occurrence<'t>(
    value: Option<Node<'t>>,
    sibling: Option<Node<'t>>,
    def: &'static TypeDef,
) -> Option<Element<'t>> {
    let some = |node: Option<Node<'t>>| node.filter(|node| node.kind() != JsonKind::Null);
    let (node, sibling) = (some(value), some(sibling));
    if node.is_none() && sibling.is_none() {
        return None;
    }
    if def.kind == Kind::Resource {
        return Element::resource(node?);
    }
    Some(Element { node, sibling, def })
}

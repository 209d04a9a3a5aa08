//! The form in which resources are stored: written in one pass over the tree of a received resource, together with the changes that
//! the server makes to it. The result is a tree again, so nothing has to be parsed a second time.
use std::collections::BTreeMap;

use super::normalize::{Normalized, quote};
use super::tree::{JsonKind, Node, Slot, Span, Tree};

/// Changes that the server makes to a resource while it writes the stored form.
#[derive(Debug, Default)]
pub struct Amendments<'t> {
    /// New texts of strings, by the index of their node.
    pub strings: BTreeMap<u32, String>,
    /// A string member that is added to an object, by the index of the object's node.
    pub members: BTreeMap<u32, (&'static str, String)>,
    /// The items of lists of `meta` that are replaced or added, by the name of the list.
    pub meta_lists: BTreeMap<&'static str, Vec<Node<'t>>>,
}

/// A resource in its stored form: `resourceType`, `id` and `meta` first, then the other members in their original order.
/// `meta.versionId` and `meta.lastUpdated` are left out, because they belong to the version; reading inserts them at `meta_at`.
#[derive(Debug)]
pub struct StoredForm {
    pub tree: Tree,
    /// The byte offset after `"meta":{`.
    pub meta_at: usize,
}

impl StoredForm {
    /// Text and place of `meta`, as the store takes them.
    #[must_use]
    pub fn normalized(&self) -> Normalized {
        Normalized { text: self.tree.text().to_owned(), meta_at: self.meta_at }
    }
}

/// The members of `meta` that the server sets on every version (R4 resource.html#Meta), and their primitive extensions.
const STAMPED: [&str; 4] = ["versionId", "lastUpdated", "_versionId", "_lastUpdated"];

/// The stored form of a resource under the given id. `resource` must be the root of a valid resource.
#[must_use]
pub fn stored_form(resource: Node<'_>, id: &str, amendments: &Amendments<'_>) -> StoredForm {
    let mut writer = Writer::new(resource, amendments);
    let root = writer.open(JsonKind::Object, Name::default());
    writer.string("resourceType", resource.str_at("resourceType").unwrap_or_default());
    writer.string("id", id);
    let name = writer.name("meta", "meta");
    let meta = writer.open(JsonKind::Object, name);
    let meta_at = writer.text.len();
    let mut lists: Vec<&str> = amendments.meta_lists.keys().copied().collect();
    for child in resource.get("meta").into_iter().flat_map(Node::children) {
        if STAMPED.contains(&child.key()) {
            continue;
        }
        match amendments.meta_lists.get(child.key()) {
            Some(items) => {
                lists.retain(|name| *name != child.key());
                writer.list(child.key(), items);
            }
            None => writer.member(child),
        }
    }
    for name in lists {
        writer.list(name, amendments.meta_lists.get(name).map_or(&[][..], Vec::as_slice));
    }
    writer.close(meta);
    for child in resource.children() {
        if !matches!(child.key(), "resourceType" | "id" | "meta") {
            writer.member(child);
        }
    }
    writer.close(root);
    StoredForm { tree: writer.tree(), meta_at }
}

/// A copy of a node as a tree of its own, with new texts for the strings of these indices.
#[must_use]
pub fn copied(node: Node<'_>, strings: BTreeMap<u32, String>) -> Tree {
    let amendments = Amendments { strings, ..Amendments::default() };
    let mut writer = Writer::new(node, &amendments);
    writer.value(node, Name::default());
    writer.tree()
}

/// The name of a member: its span in the text, and its unescaped form if it has escapes.
#[derive(Clone, Copy, Default)]
struct Name {
    span: Span,
    unescaped: Option<u32>,
}

/// Writes a text and the nodes of its tree at the same time.
struct Writer<'a> {
    text: String,
    slots: Vec<Slot>,
    unescaped: Vec<Box<str>>,
    amendments: &'a Amendments<'a>,
    /// The tree whose nodes the amendments name.
    amended: *const Tree,
}

impl<'a> Writer<'a> {
    fn new(node: Node<'_>, amendments: &'a Amendments<'a>) -> Self {
        let text = String::with_capacity(node.raw().len() + 64);
        Self {
            text,
            slots: Vec::with_capacity(node.subtree_len() + 4),
            unescaped: Vec::new(),
            amendments,
            amended: node.tree(),
        }
    }

    fn tree(self) -> Tree {
        Tree { input: self.text, slots: self.slots, unescaped: self.unescaped }
    }

    fn span(&self, start: usize) -> Span {
        Span { start: short(start), len: short(self.text.len() - start) }
    }

    /// Notes the unescaped form of a text that has escapes.
    fn unescaped(&mut self, raw: &str, text: &str) -> Option<u32> {
        (raw != text).then(|| {
            self.unescaped.push(text.into());
            short(self.unescaped.len() - 1)
        })
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    /// Begins a member of the open object.
    fn name(&mut self, raw: &str, text: &str) -> Name {
        self.comma();
        self.text.push('"');
        let start = self.text.len();
        self.text.push_str(raw);
        let name = Name { span: self.span(start), unescaped: self.unescaped(raw, text) };
        self.text.push_str("\":");
        name
    }

    fn open(&mut self, kind: JsonKind, name: Name) -> usize {
        let text = self.span(self.text.len());
        self.text.push(if kind == JsonKind::Array { '[' } else { '{' });
        self.push(kind, name, text, None);
        self.slots.len() - 1
    }

    fn close(&mut self, opened: usize) {
        let end = short(self.slots.len());
        if let Some(slot) = self.slots.get_mut(opened) {
            self.text.push(if slot.kind == JsonKind::Array { ']' } else { '}' });
            slot.text.len = short(self.text.len()) - slot.text.start;
            slot.end = end;
        }
    }

    fn push(&mut self, kind: JsonKind, name: Name, text: Span, text_unescaped: Option<u32>) {
        let end = short(self.slots.len() + 1);
        self.slots.push(Slot {
            kind,
            key: name.span,
            key_unescaped: name.unescaped,
            text,
            text_unescaped,
            end,
        });
    }

    /// A string member with a text of the server's own.
    fn string(&mut self, name: &str, text: &str) {
        let name = self.name(name, name);
        self.quoted(name, text);
    }

    fn quoted(&mut self, name: Name, text: &str) {
        let start = self.text.len() + 1;
        quote(text, &mut self.text);
        let span = Span { start: short(start), len: short(self.text.len() - 1 - start) };
        let raw = self.text.get(start..self.text.len() - 1).unwrap_or_default().to_owned();
        let unescaped = self.unescaped(&raw, text);
        self.push(JsonKind::String, name, span, unescaped);
    }

    fn list(&mut self, name: &str, items: &[Node<'_>]) {
        let name = self.name(name, name);
        let opened = self.open(JsonKind::Array, name);
        for item in items {
            self.comma();
            self.value(*item, Name::default());
        }
        self.close(opened);
    }

    fn member(&mut self, child: Node<'_>) {
        let name = self.name(child.raw_key(), child.key());
        self.value(child, name);
    }

    fn value(&mut self, node: Node<'_>, name: Name) {
        // Items of lists may be of another tree, whose nodes have the same indices.
        let is_amended = std::ptr::eq(node.tree(), self.amended);
        match node.kind() {
            JsonKind::Object => {
                let opened = self.open(JsonKind::Object, name);
                node.children().for_each(|child| self.member(child));
                let added = self.amendments.members.get(&node.index()).filter(|_| is_amended);
                if let Some((name, text)) = added {
                    self.string(name, text);
                }
                self.close(opened);
            }
            JsonKind::Array => {
                let opened = self.open(JsonKind::Array, name);
                for item in node.children() {
                    self.comma();
                    self.value(item, Name::default());
                }
                self.close(opened);
            }
            JsonKind::String => match self.amendments.strings.get(&node.index()).filter(|_| is_amended) {
                Some(text) => self.quoted(name, text),
                None => {
                    self.text.push('"');
                    let start = self.text.len();
                    self.text.push_str(node.raw());
                    let span = self.span(start);
                    self.text.push('"');
                    let unescaped = self.unescaped(node.raw(), node.text());
                    self.push(JsonKind::String, name, span, unescaped);
                }
            },
            kind @ (JsonKind::Null | JsonKind::Bool | JsonKind::Number) => {
                let start = self.text.len();
                self.text.push_str(node.raw());
                let span = self.span(start);
                self.push(kind, name, span, None);
            }
        }
    }
}

/// INVARIANT: a received document has less than 4 GiB, and so has its stored form.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Amendments, stored_form};
    use crate::model::{Node, Tree, parse};

    /// All that a tree says of its nodes.
    fn told(tree: &Tree) -> Vec<String> {
        let node = |node: Node<'_>| {
            let own = (node.kind(), node.key(), node.raw_key(), node.text(), node.raw());
            format!("{own:?} {} {}", node.offset(), node.subtree_len())
        };
        tree.root().subtree().map(node).collect()
    }

    fn check(tree: &Tree, amendments: &Amendments<'_>, expected: &str) {
        let form = stored_form(tree.root(), "7", amendments);
        assert_eq!(form.tree.text(), expected);
        assert_eq!(told(&form.tree), told(&parse(expected.as_bytes().to_vec()).unwrap()));
        assert!(form.tree.text()[..form.meta_at].ends_with("\"meta\":{"));
    }

    #[test]
    fn the_written_tree_is_the_one_that_its_text_would_be_parsed_to() {
        let none = Amendments::default();
        let check = |input: &str, expected: &str| {
            check(&parse(input.as_bytes().to_vec()).unwrap(), &none, expected);
        };
        check(
            r#"{"id":"x","a\u0062":[1.00,{"b":{}},[],"\n\u00e9",true,null],"meta":{"versionId":"1","tag":[{"code":"t"}]},"resourceType":"Basic"}"#,
            r#"{"resourceType":"Basic","id":"7","meta":{"tag":[{"code":"t"}]},"a\u0062":[1.00,{"b":{}},[],"\n\u00e9",true,null]}"#,
        );
        check(r#" { "resourceType" : "Basic" } "#, r#"{"resourceType":"Basic","id":"7","meta":{}}"#);
    }

    #[test]
    fn amendments_change_what_they_name_and_nothing_else() {
        let input = r#"{"resourceType":"Basic","meta":{"security":[{"code":"a","display":"http://us/a"}],"source":"s"},"subject":{"identifier":{"value":"1"}},"url":"http://us/Binary/1"}"#;
        let tree = parse(input.as_bytes().to_vec()).unwrap();
        let root = tree.root();
        let display = root.subtree().find(|node| node.key() == "display").unwrap();
        let other = parse(br#"[{"code":"R"},{"code":"say \"V\""}]"#.to_vec()).unwrap();
        let labels = root.get("meta").unwrap().items_at("security").chain(other.root().children()).collect();
        let amendments = Amendments {
            strings: BTreeMap::from([
                (root.get("url").unwrap().index(), "Binary/1\"".to_owned()),
                (display.index(), "a".to_owned()),
            ]),
            members: BTreeMap::from([(
                root.get("subject").unwrap().index(),
                ("reference", "Patient/1".to_owned()),
            )]),
            meta_lists: BTreeMap::from([
                ("security", labels),
                ("tag", vec![other.root().children().next().unwrap()]),
            ]),
        };
        check(
            &tree,
            &amendments,
            r#"{"resourceType":"Basic","id":"7","meta":{"security":[{"code":"a","display":"a"},{"code":"R"},{"code":"say \"V\""}],"source":"s","tag":[{"code":"R"}]},"subject":{"identifier":{"value":"1"},"reference":"Patient/1"},"url":"Binary/1\""}"#,
        );
    }
}

//! The tree of a resource: an arena of nodes over the text that it was parsed from. Numbers keep their digits, members their
//! order, and every node knows its position in the text. The tree is read-only; changing a resource means writing a new text.
use std::fmt;

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A range of the input, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// One value: its text in the input (strings without quotes), its name if it is an object's member, and the index of the next
/// node after its subtree. Names and texts with escapes have their unescaped form in `Tree::unescaped`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) kind: JsonKind,
    pub(super) key: Span,
    pub(super) key_unescaped: Option<u32>,
    pub(super) text: Span,
    pub(super) text_unescaped: Option<u32>,
    pub(super) end: u32,
}

/// A parsed document. Node 0 is its root.
pub struct Tree {
    pub(super) input: String,
    pub(super) slots: Vec<Slot>,
    pub(super) unescaped: Vec<Box<str>>,
}

impl Tree {
    /// The root of the document.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node { tree: self, index: 0 }
    }

    /// The node with that index.
    #[must_use]
    pub fn node(&self, index: u32) -> Option<Node<'_>> {
        self.slot(index).map(|_| Node { tree: self, index })
    }

    /// The text that the tree was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.input
    }

    /// Line and column (from 1, in characters) of a byte offset in the input.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        position(self.input.as_bytes(), offset)
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(index).ok()?)
    }

    fn span(&self, span: Span) -> &str {
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
        self.input.get(start..end).unwrap_or_default()
    }

    fn unescaped(&self, index: u32) -> &str {
        usize::try_from(index).ok().and_then(|index| self.unescaped.get(index)).map_or("", |text| text)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A tree holds personal data: its text must not get into a log through `{:?}`.
        f.debug_struct("Tree").field("nodes", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Line and column (from 1, in characters) of a byte offset in a text.
pub(super) fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| String::from_utf8_lossy(line).chars().count()) + 1;
    (line, column)
}

/// A node of a tree; as cheap to copy as a reference.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    index: u32,
}

impl<'t> Node<'t> {
    fn slot(self) -> Option<&'t Slot> {
        self.tree.slot(self.index)
    }

    /// The tree that the node belongs to.
    #[must_use]
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// The index of the node in its tree, which is its identity and follows document order.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// The number of nodes below this one, at any depth.
    #[must_use]
    pub fn subtree_len(self) -> usize {
        let end = self.slot().map_or(0, |slot| slot.end);
        usize::try_from(end.saturating_sub(self.index).saturating_sub(1)).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn kind(self) -> JsonKind {
        self.slot().map_or(JsonKind::Null, |slot| slot.kind)
    }

    /// The member name if the node is a child of an object; otherwise empty.
    #[must_use]
    pub fn key(self) -> &'t str {
        match self.slot() {
            Some(Slot { key_unescaped: Some(index), .. }) => self.tree.unescaped(*index),
            Some(slot) => self.tree.span(slot.key),
            None => "",
        }
    }

    /// The member name as written in the input, with its escapes.
    #[must_use]
    pub fn raw_key(self) -> &'t str {
        self.slot().map_or("", |slot| self.tree.span(slot.key))
    }

    /// The text of a string, number or boolean, unescaped.
    #[must_use]
    pub fn text(self) -> &'t str {
        match self.slot() {
            Some(Slot { text_unescaped: Some(index), .. }) => self.tree.unescaped(*index),
            Some(slot) => self.tree.span(slot.text),
            None => "",
        }
    }

    /// The node as written in the input: strings without quotes, with their escapes.
    #[must_use]
    pub fn raw(self) -> &'t str {
        self.slot().map_or("", |slot| self.tree.span(slot.text))
    }

    /// The text, if the node is a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        (self.kind() == JsonKind::String).then(|| self.text())
    }

    /// The byte offset in the input at which the value begins.
    #[must_use]
    pub fn offset(self) -> usize {
        self.slot().and_then(|slot| usize::try_from(slot.text.start).ok()).unwrap_or(0)
    }

    /// Members of an object or items of an array, in input order.
    #[must_use]
    pub fn children(self) -> Children<'t> {
        let end = match self.slot() {
            Some(slot) if matches!(slot.kind, JsonKind::Array | JsonKind::Object) => slot.end,
            Some(_) | None => self.index + 1,
        };
        Children { tree: self.tree, at: self.index + 1, end }
    }

    /// The (first) member with that name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Node<'t>> {
        if self.kind() != JsonKind::Object {
            return None;
        }
        self.children().find(|child| child.key() == name)
    }

    /// The text of the member with that name, if it is a string.
    #[must_use]
    pub fn str_at(self, name: &str) -> Option<&'t str> {
        self.get(name).and_then(Node::as_str)
    }

    /// The items of the member with that name; a value that is not an array is its own single item.
    pub fn items_at(self, name: &str) -> impl Iterator<Item = Node<'t>> + use<'t> {
        self.get(name).into_iter().flat_map(Node::items)
    }

    /// The items of an array; any other value is its own single item.
    pub fn items(self) -> impl Iterator<Item = Node<'t>> + use<'t> {
        let (children, own) = match self.kind() {
            JsonKind::Array => (Some(self.children()), None),
            _ => (None, Some(self)),
        };
        children.into_iter().flatten().chain(own)
    }

    /// All nodes of the subtree including this one, in document order.
    pub fn subtree(self) -> impl Iterator<Item = Node<'t>> + use<'t> {
        let end = self.slot().map_or(self.index, |slot| slot.end);
        let tree = self.tree;
        (self.index..end).map(move |index| Node { tree, index })
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("index", &self.index).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Iterator over the children of a node.
#[derive(Clone)]
pub struct Children<'t> {
    tree: &'t Tree,
    at: u32,
    end: u32,
}

impl<'t> Iterator for Children<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node { tree: self.tree, index: self.at };
        self.at = self.tree.slot(self.at).map_or(self.end, |slot| slot.end);
        Some(node)
    }
}

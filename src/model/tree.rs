//! The tree of a resource: an arena of nodes over the text it was read from. Numbers keep their digits, members their
//! order, and every node knows where in the text it stands. It is read-only; who changes a resource writes a new text.
use std::fmt;

/// What sort of JSON value a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A stretch of the input, or of the unescaped texts, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// One value: its text in the input (strings without their quotes), its name if it is a member of an object, and the
/// number of the node after its subtree. A text with escapes has its unescaped form in `Tree::unescaped`.
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

    /// The node of that number.
    #[must_use]
    pub fn node(&self, index: u32) -> Option<Node<'_>> {
        self.slot(index).map(|_| Node { tree: self, index })
    }

    /// The text that the tree was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.input
    }

    /// Line and column (from 1, in characters) of a byte of the input.
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
        // A tree holds a person's data: its text must not end up in a log by way of `{:?}`.
        f.debug_struct("Tree").field("nodes", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Line and column (from 1, in characters) of a byte of a text.
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

    /// The number of the node in its tree: document order, and its identity.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many nodes are below this one, at any depth.
    #[must_use]
    pub fn subtree_len(self) -> usize {
        let end = self.slot().map_or(0, |slot| slot.end);
        usize::try_from(end.saturating_sub(self.index).saturating_sub(1)).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn kind(self) -> JsonKind {
        self.slot().map_or(JsonKind::Null, |slot| slot.kind)
    }

    /// The member name, for a child of an object; empty for all others.
    #[must_use]
    pub fn key(self) -> &'t str {
        match self.slot() {
            Some(Slot { key_unescaped: Some(index), .. }) => self.tree.unescaped(*index),
            Some(slot) => self.tree.span(slot.key),
            None => "",
        }
    }

    /// The member name as it stands in the input, escapes as they were written.
    #[must_use]
    pub fn raw_key(self) -> &'t str {
        self.slot().map_or("", |slot| self.tree.span(slot.key))
    }

    /// The text of a string, number or boolean, escapes resolved.
    #[must_use]
    pub fn text(self) -> &'t str {
        match self.slot() {
            Some(Slot { text_unescaped: Some(index), .. }) => self.tree.unescaped(*index),
            Some(slot) => self.tree.span(slot.text),
            None => "",
        }
    }

    /// The node as it stands in the input: strings without quotes, escapes as they were written.
    #[must_use]
    pub fn raw(self) -> &'t str {
        self.slot().map_or("", |slot| self.tree.span(slot.text))
    }

    /// The text, if the node is a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        (self.kind() == JsonKind::String).then(|| self.text())
    }

    /// The byte of the input at which the value begins.
    #[must_use]
    pub fn offset(self) -> usize {
        self.slot().and_then(|slot| usize::try_from(slot.text.start).ok()).unwrap_or(0)
    }

    /// Members of an object or items of an array, in the order of the input.
    #[must_use]
    pub fn children(self) -> Children<'t> {
        let end = match self.slot() {
            Some(slot) if matches!(slot.kind, JsonKind::Array | JsonKind::Object) => slot.end,
            Some(_) | None => self.index + 1,
        };
        Children { tree: self.tree, at: self.index + 1, end }
    }

    /// The (first) member of that name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Node<'t>> {
        if self.kind() != JsonKind::Object {
            return None;
        }
        self.children().find(|child| child.key() == name)
    }

    /// The string member of that name.
    #[must_use]
    pub fn str_at(self, name: &str) -> Option<&'t str> {
        self.get(name).and_then(Node::as_str)
    }

    /// The items of the member of that name, whether or not it is an array.
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

    /// Every node of the subtree, itself first, in document order.
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

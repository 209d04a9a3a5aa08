//! Writes JSON: the minified text of a node, and the normal form in which resources are stored.
use super::tree::{JsonKind, Node};

/// A resource in its stored form: `resourceType`, `id` and `meta` first, then the other members in their original order.
/// `meta.versionId` and `meta.lastUpdated` are left out, because they belong to the version; reading inserts them at `meta_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    pub text: String,
    /// The byte offset after `"meta":{`.
    pub meta_at: usize,
}

/// The normal form of a resource under the given id. `resource` must be the root of a valid resource.
#[must_use]
pub fn normalize(resource: Node<'_>, id: &str) -> Normalized {
    let mut text = String::with_capacity(resource.raw().len() + 64);
    text.push_str("{\"resourceType\":\"");
    text.push_str(resource.str_at("resourceType").unwrap_or_default());
    text.push_str("\",\"id\":\"");
    text.push_str(id);
    text.push_str("\",\"meta\":{");
    let meta_at = text.len();
    let meta = resource.get("meta");
    let kept = meta.into_iter().flat_map(Node::children).filter(|child| !STAMPED.contains(&child.key()));
    members(kept, &mut text);
    text.push('}');
    for child in resource.children() {
        if !matches!(child.key(), "resourceType" | "id" | "meta") {
            text.push(',');
            member(child, &mut text);
        }
    }
    text.push('}');
    Normalized { text, meta_at }
}

/// The members of `meta` that the server sets on every version (R4 resource.html#Meta), and their primitive extensions.
const STAMPED: [&str; 4] = ["versionId", "lastUpdated", "_versionId", "_lastUpdated"];

/// Appends the node without insignificant white space.
pub fn minify(node: Node<'_>, out: &mut String) {
    match node.kind() {
        JsonKind::Object => {
            out.push('{');
            members(node.children(), out);
            out.push('}');
        }
        JsonKind::Array => {
            out.push('[');
            for (item, number) in node.children().zip(0_usize..) {
                if number > 0 {
                    out.push(',');
                }
                minify(item, out);
            }
            out.push(']');
        }
        JsonKind::String => {
            out.push('"');
            out.push_str(node.raw());
            out.push('"');
        }
        JsonKind::Null | JsonKind::Bool | JsonKind::Number => out.push_str(node.raw()),
    }
}

/// Appends the node with one line per value, indented by two spaces per level.
pub fn prettify(node: Node<'_>, level: usize, out: &mut String) {
    let (open, close) = match node.kind() {
        JsonKind::Object => ('{', '}'),
        JsonKind::Array => ('[', ']'),
        JsonKind::String | JsonKind::Null | JsonKind::Bool | JsonKind::Number => return minify(node, out),
    };
    let indent = |level: usize, out: &mut String| {
        out.push('\n');
        (0..level).for_each(|_| out.push_str("  "));
    };
    out.push(open);
    let mut is_empty = true;
    for child in node.children() {
        if !is_empty {
            out.push(',');
        }
        is_empty = false;
        indent(level + 1, out);
        if open == '{' {
            out.push('"');
            out.push_str(child.raw_key());
            out.push_str("\": ");
        }
        prettify(child, level + 1, out);
    }
    if !is_empty {
        indent(level, out);
    }
    out.push(close);
}

fn members<'t>(children: impl Iterator<Item = Node<'t>>, out: &mut String) {
    for (child, number) in children.zip(0_usize..) {
        if number > 0 {
            out.push(',');
        }
        member(child, out);
    }
}

fn member(child: Node<'_>, out: &mut String) {
    out.push('"');
    out.push_str(child.raw_key());
    out.push_str("\":");
    minify(child, out);
}

/// Appends the text as a quoted JSON string.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => {
                const HEX: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
                out.push_str(if u32::from(letter) < 16 { "\\u000" } else { "\\u001" });
                out.extend(usize::try_from(u32::from(letter) % 16).ok().and_then(|digit| HEX.get(digit)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::{normalize, quote};
    use crate::model::parse;

    fn check(input: &str, expected: &str) {
        let tree = parse(input.as_bytes().to_vec()).unwrap();
        let normal = normalize(tree.root(), "7");
        assert_eq!(normal.text, expected);
        assert!(normal.text[..normal.meta_at].ends_with("\"meta\":{"));
    }

    #[test]
    fn normal_form_puts_identity_first_and_drops_stamps() {
        check(
            r#"{ "name": [ {"family": "B\u00e9"} ], "resourceType":"Patient", "x": 1.00 }"#,
            r#"{"resourceType":"Patient","id":"7","meta":{},"name":[{"family":"B\u00e9"}],"x":1.00}"#,
        );
        check(
            r#"{"resourceType":"Patient","id":"9","meta":{"versionId":"3","profile":["p"],"lastUpdated":"2020"}}"#,
            r#"{"resourceType":"Patient","id":"7","meta":{"profile":["p"]}}"#,
        );
    }

    #[test]
    fn pretty_text_is_the_same_value() {
        let tree = parse(br#"{"a":[1.00,{"b":{}}],"c":[],"d":"x"}"#.to_vec()).unwrap();
        let mut text = String::new();
        super::prettify(tree.root(), 0, &mut text);
        assert_eq!(
            text,
            "{\n  \"a\": [\n    1.00,\n    {\n      \"b\": {}\n    }\n  ],\n  \"c\": [],\n  \"d\": \"x\"\n}"
        );
    }

    #[test]
    fn quoted_text_parses_back() {
        let text = "a\"b\\c\n\r\t\u{0}\u{1f}é😀";
        let mut quoted = String::new();
        quote(text, &mut quoted);
        assert_eq!(parse(quoted.into_bytes()).unwrap().root().text(), text);
    }
}

//! Writes JSON: the minified or pretty text of a node, and quoted strings.
use super::tree::{JsonKind, Node};

/// The text of a resource in its stored form ([`StoredForm`](super::StoredForm)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    pub text: String,
    /// The byte offset after `"meta":{`.
    pub meta_at: usize,
}

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
    use super::quote;
    use crate::model::parse;

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

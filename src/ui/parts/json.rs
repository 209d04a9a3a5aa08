//! JSON to read: coloured, indented, and with links where it refers to something on this server.
use std::fmt::Write as _;

use maud::{Escaper, Markup, PreEscaped};

use crate::model::{JsonKind, Node};

/// Elements whose text is the address of a resource.
const ADDRESSES: [&str; 5] = ["reference", "fullUrl", "url", "location", "valueUri"];

/// The JSON of a resource. `base_url` is the API's; addresses below it become links to their pages.
pub(in super::super) fn json(root: Node<'_>, base_url: &str) -> Markup {
    let mut writer = Writer {
        out: String::from(
            "<pre class=\"source\" tabindex=\"0\" role=\"region\" aria-label=\"Source\"><code>",
        ),
        base_url,
    };
    writer.value(root, 0);
    writer.out.push_str("</code></pre>");
    PreEscaped(writer.out)
}

/// A string as it stands in JSON.
fn quoted(node: Node<'_>) -> String {
    format!("\"{}\"", node.raw())
}

struct Writer<'b> {
    out: String,
    base_url: &'b str,
}

impl Writer<'_> {
    fn escaped(&mut self, text: &str) {
        // Writing into a String does not fail.
        let _ = Escaper::new(&mut self.out).write_str(text);
    }

    fn span(&mut self, class: &str, text: &str) {
        self.out.push_str("<span class=\"");
        self.out.push_str(class);
        self.out.push_str("\">");
        self.escaped(text);
        self.out.push_str("</span>");
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn value(&mut self, node: Node<'_>, depth: usize) {
        match node.kind() {
            kind @ (JsonKind::Object | JsonKind::Array) => {
                let is_object = kind == JsonKind::Object;
                self.out.push(if is_object { '{' } else { '[' });
                let mut is_first = true;
                for child in node.children() {
                    if !is_first {
                        self.out.push(',');
                    }
                    is_first = false;
                    self.line(depth + 1);
                    if is_object {
                        self.span("key", &format!("\"{}\"", child.raw_key()));
                        self.out.push_str(": ");
                    }
                    self.value(child, depth + 1);
                }
                if !is_first {
                    self.line(depth);
                }
                self.out.push(if is_object { '}' } else { ']' });
            }
            JsonKind::String => match self.link(node) {
                Some(path) => {
                    self.out.push_str("<a href=\"");
                    self.escaped(&path);
                    self.out.push_str("\">");
                    self.escaped(&quoted(node));
                    self.out.push_str("</a>");
                }
                None => self.span("string", &quoted(node)),
            },
            JsonKind::Number | JsonKind::Bool | JsonKind::Null => self.span("number", node.raw()),
        }
    }

    /// The path of the page to which a text leads.
    fn link(&self, node: Node<'_>) -> Option<String> {
        let text = node.as_str().filter(|_| ADDRESSES.contains(&node.key()))?;
        let below = match text.strip_prefix(self.base_url) {
            Some(below) if below.starts_with(['/', '?']) => below.trim_start_matches('/'),
            Some(_) => return None,
            None => text,
        };
        let first = below.split(['/', '?']).next().unwrap_or_default();
        let is_type = crate::definitions::r4().resource(first).is_some();
        let is_page = below.starts_with('?') || below.starts_with("_history");
        let leads = is_type || (is_page && text.starts_with(self.base_url));
        let glue = if below.starts_with('?') { "" } else { "/" };
        leads.then(|| format!("/fhir{glue}{below}"))
    }
}

#[cfg(test)]
mod tests {
    use super::json;
    use crate::model::parse;

    #[test]
    fn what_refers_to_something_here_can_be_followed_and_nothing_is_executed() {
        let check = |text: &str, has: &str, lacks: &str| {
            let tree = parse(text.as_bytes().to_vec()).unwrap();
            let shown = json(tree.root(), "http://h/fhir").into_string();
            assert!(shown.contains(has), "{shown}");
            assert!(lacks.is_empty() || !shown.contains(lacks), "{shown}");
        };
        check(r#"{"reference":"Patient/p1"}"#, "<a href=\"/fhir/Patient/p1\">&quot;Patient/p1&quot;</a>", "");
        check(r#"{"fullUrl":"http://h/fhir/Patient/p1"}"#, "<a href=\"/fhir/Patient/p1\">", "");
        check(r#"{"url":"http://h/fhir?_cursor=x&a=1"}"#, "<a href=\"/fhir?_cursor=x&amp;a=1\">", "");
        check(r#"{"url":"http://h/fhirish/Patient"}"#, "string", "<a ");
        check(r#"{"reference":"javascript:alert(1)"}"#, "string", "<a ");
        check(r#"{"reference":"//evil/Patient"}"#, "string", "<a ");
        check(r#"{"<b>\"":"<script>"}"#, "&lt;script&gt;", "<script>");
        check(r#"{"a":[],"b":{},"c":[1,true,null]}"#, "[\n    <span class=\"number\">1</span>,", "");
    }
}

//! XML to read: coloured and indented.
use std::fmt::Write as _;

use maud::{Escaper, Markup, PreEscaped};

/// Elements deeper than this are indented no further.
const DEPTH_MAX: usize = 40;

/// An XML text of a resource, as the server writes it: without comments, and with text only in its narrative.
pub(in super::super) fn xml(text: &str) -> Markup {
    let mut out =
        String::from("<pre class=\"source\" tabindex=\"0\" role=\"region\" aria-label=\"Source\"><code>");
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some((before, from)) = rest.split_once('<') {
        if !before.trim().is_empty() {
            escape(&mut out, before);
        }
        let (tag, after) = from.split_once('>').unwrap_or((from, ""));
        let (closes, is_whole) = (tag.starts_with('/'), tag.ends_with('/') || tag.starts_with('?'));
        depth = depth.saturating_sub(usize::from(closes));
        if before.trim().is_empty() && !out.ends_with("<code>") {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth.min(DEPTH_MAX)));
        }
        element(&mut out, tag);
        depth += usize::from(!closes && !is_whole);
        rest = after;
    }
    escape(&mut out, rest);
    out.push_str("</code></pre>");
    PreEscaped(out)
}

/// A tag: its name and its attributes in colours of their own.
fn element(out: &mut String, tag: &str) {
    let (name, attributes) = match tag.split_once(' ') {
        Some((name, attributes)) => (name, attributes),
        None => (tag, ""),
    };
    out.push_str("&lt;<span class=\"key\">");
    escape(out, name);
    out.push_str("</span>");
    if !attributes.is_empty() {
        out.push_str(" <span class=\"string\">");
        escape(out, attributes);
        out.push_str("</span>");
    }
    out.push_str("&gt;");
}

fn escape(out: &mut String, text: &str) {
    // Writing into a String does not fail.
    let _ = Escaper::new(out).write_str(text);
}

#[cfg(test)]
mod tests {
    use super::xml;

    #[test]
    fn elements_are_indented_and_text_is_escaped() {
        let shown =
            xml("<A xmlns=\"x\">\n <b value=\"1 &lt; 2\"/><div>t &amp; u<p>v</p></div></A>").into_string();
        let plain = shown
            .replace("<span class=\"key\">", "")
            .replace("<span class=\"string\">", "")
            .replace("</span>", "");
        assert_eq!(
            plain,
            "<pre class=\"source\" tabindex=\"0\" role=\"region\" aria-label=\"Source\"><code>&lt;A xmlns=&quot;x&quot;&gt;\n  &lt;b value=&quot;1 &amp;lt; 2&quot;/&gt;\n  &lt;div&gt;t &amp;amp; u&lt;p&gt;v&lt;/p&gt;\n  &lt;/div&gt;\n&lt;/A&gt;</code></pre>"
        );
    }
}

//! Narrative: checks the restricted XHTML of `Narrative.div` (R4 narrative.html). It must be well-formed, a single `div` in
//! the XHTML namespace, with formatting elements only and without active content.
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::model::is_xml_char;

const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// The elements of chapters 7 to 11 and 15 of HTML 4.0 without section 4 of chapter 9, plus `a` and `img`.
const ELEMENTS: [&str; 52] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "b",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
    "center",
    "font",
];

/// Why a narrative is invalid; `None` if it is valid.
pub(super) fn fault(div: &str) -> Option<String> {
    let mut reader = Reader::from_str(div);
    let mut open = 0_usize;
    let mut roots = 0_usize;
    let mut says_something = false;
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Some(format!("the narrative is not well-formed: {error}")),
        };
        let (start, nests) = match &event {
            Event::Start(start) => (Some(start), true),
            Event::Empty(start) => (Some(start), false),
            Event::End(_) => {
                open = open.saturating_sub(1);
                (None, false)
            }
            Event::Text(text) if open == 0 && !text.trim().is_empty() => {
                return Some("text outside the div of the narrative".to_owned());
            }
            Event::GeneralRef(entity) => {
                let Some(letter) = meant_by(entity) else {
                    return Some(format!("XML does not define the entity `{}`", &**entity));
                };
                says_something |= !letter.is_whitespace();
                (None, false)
            }
            Event::Text(text) => {
                says_something |= !text.trim().is_empty();
                (None, false)
            }
            Event::CData(text) => {
                says_something |= !text.trim().is_empty();
                (None, false)
            }
            Event::DocType(_) | Event::PI(_) => return Some("a narrative has no declarations".to_owned()),
            Event::Eof => break,
            _ => (None, false),
        };
        let Some(start) = start else { continue };
        if open == 0 {
            roots += 1;
            if !is_root(start) {
                return Some("a narrative is one div in the XHTML namespace".to_owned());
            }
        }
        if let Some(fault) = element_fault(start) {
            return Some(fault);
        }
        says_something |= start.name().as_ref() == "img";
        open += usize::from(nests);
    }
    if open > 0 {
        return Some("the narrative ends inside an element".to_owned());
    }
    if roots != 1 {
        return Some("a narrative is exactly one div".to_owned());
    }
    (!says_something).then(|| "a narrative has a text or an image (txt-2)".to_owned())
}

/// The character of an entity or a numeric character reference. The XHTML is plain XML (R4 narrative.html), so it has
/// neither HTML's entities nor characters that XML forbids.
fn meant_by(entity: &str) -> Option<char> {
    let code = match entity.strip_prefix('#') {
        Some(number) => {
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
            // `from_str_radix` accepts a sign, but XML does not.
            if !digits.chars().all(|digit| digit.is_digit(radix)) {
                return None;
            }
            u32::from_str_radix(digits, radix).ok()?
        }
        None => {
            let known = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];
            return known.iter().find(|(name, _)| *name == entity).map(|(_, letter)| *letter);
        }
    };
    char::from_u32(code).filter(|letter| is_xml_char(*letter))
}

fn is_root(start: &BytesStart<'_>) -> bool {
    let namespace = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == "xmlns");
    start.name().as_ref() == "div" && namespace.is_some_and(|attribute| attribute.value == XHTML)
}

fn element_fault(start: &BytesStart<'_>) -> Option<String> {
    let name = start.name().as_ref().to_owned();
    if !ELEMENTS.contains(&name.as_str()) {
        return Some(format!("a narrative may not hold the element `{name}`"));
    }
    for attribute in start.attributes() {
        let Ok(attribute) = attribute else {
            return Some(format!("an attribute of `{name}` is not well-formed"));
        };
        let key = attribute.key.as_ref().to_ascii_lowercase();
        let Some(value) = resolved(&attribute.value) else {
            return Some(format!("an attribute of `{name}` is not well-formed"));
        };
        if key.starts_with("on") || is_active(&value) {
            return Some(format!("a narrative may not hold active content (`{key}`)"));
        }
    }
    None
}

/// The attribute value with its entities replaced; `None` if an entity is invalid.
fn resolved(value: &str) -> Option<String> {
    let mut parts = value.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        out.push(meant_by(entity)?);
        out.push_str(rest);
    }
    Some(out)
}

/// Whether a URL runs code. Browsers ignore blanks before a scheme, and tabs and line breaks within it.
fn is_active(url: &str) -> bool {
    let is_passed_over = |letter: &char| letter.is_whitespace() || letter.is_control();
    let bare: String = url.chars().filter(|letter| !is_passed_over(letter)).take(32).collect();
    let bare = bare.to_ascii_lowercase();
    let is_image = bare.starts_with("data:image/") && !bare.starts_with("data:image/svg");
    let schemes = ["javascript:", "vbscript:", "data:"];
    !is_image && schemes.iter().any(|scheme| bare.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::fault;

    fn check(inner: &str, ok: bool) {
        let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
        assert_eq!(fault(&div).is_none(), ok, "{inner}: {:?}", fault(&div));
    }

    #[test]
    fn narrative_is_formatting_only() {
        check("<p>a &amp; b</p><br/><img src=\"#x\" alt=\"y\"/>", true);
        check("<script>x</script>", false);
        check("<p onclick=\"x\">a</p>", false);
        for url in [
            " javascript:x",
            "&#106;avascript:x",
            "java&#x73;cript:x",
            "java&#10;script:x",
            "java\tscript:x",
            "&#1;javascript:x",
            "JAVASCRIPT&#58;x",
            "vbscript:x",
            "data:text/html,x",
            "data:image/svg+xml,x",
            "a&#+65;",
            "a&#-65;",
            "a&amp",
            "a&b",
        ] {
            check(&format!("<a href=\"{url}\">a</a>"), false);
        }
        for url in [
            "https://example.org/javascript:x?a=1&amp;b=2",
            "#javascript:",
            "data:image/png;base64,AA",
            "&#65;",
        ] {
            check(&format!("<a href=\"{url}\">a</a>"), true);
        }
        check("<p>a", false);
        for blank in ["", "  \n", "<p> </p>", "&#160;", "<br/>"] {
            check(blank, false);
        }
        for text in ["a", "<p><b>a</b></p>", "&amp;", "&#65;", "<img src=\"#x\" alt=\"y\"/>", "<![CDATA[a]]>"]
        {
            check(text, true);
        }
        for character in [
            "a&#xFFFF;",
            "a&#0;",
            "a&#x1;",
            "<img alt=\"&#xFFFE;\"/>",
            "a&nbsp;",
            "<p title=\"&nbsp;\">a</p>",
        ] {
            check(character, false);
        }
        check("<form/>", false);
        assert!(fault("<p>a</p>").is_some());
        assert!(fault("<div>a</div>").is_some());
        assert!(fault("text").is_some());
        assert!(fault("").is_some());
        assert!(
            fault(
                "<div xmlns=\"http://www.w3.org/1999/xhtml\"/><div xmlns=\"http://www.w3.org/1999/xhtml\"/>"
            )
            .is_some()
        );
    }
}

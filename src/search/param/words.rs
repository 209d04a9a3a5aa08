//! Words for `_text` and `_content` (R4 search.html#content): those of the narrative, or of every text of a resource.
use unicode_normalization::char::is_combining_mark;

use crate::fhirpath::Element;
use crate::model::Node;
use crate::search::entry::{Encoded, Form, cut};
use crate::search::fold::fold_letter;

/// The folded words of a text.
fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric() && !is_combining_mark(letter))
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut folded = String::with_capacity(word.len());
            word.chars().for_each(|letter| fold_letter(letter, &mut folded));
            folded
        })
}

/// The folded words of a text, in order.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    split(text).collect()
}

/// Encodes a word.
pub(in crate::search) fn word(text: &str) -> Encoded {
    Encoded::new(Form::Value).text(cut(text))
}

/// The text of the narrative, without its tags.
pub(in crate::search) fn narrative(resource: Node<'_>) -> Option<String> {
    resource.get("text")?.str_at("div").map(between_tags)
}

fn between_tags(div: &str) -> String {
    let mut text = String::with_capacity(div.len());
    let mut in_tag = false;
    for letter in div.chars() {
        match letter {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            letter if !in_tag => text.push(letter),
            _ => {}
        }
    }
    for (entity, letter) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&nbsp;", " "),
        ("&#160;", " "),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, letter);
    }
    text
}

/// The types whose values `_content` searches.
const TEXT_TYPES: [&str; 3] = ["string", "markdown", "code"];

/// Every text of a resource, with the narrative.
pub(in crate::search) fn content(root: Element<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut waiting = vec![root];
    let mut children = Vec::new();
    while let Some(element) = waiting.pop() {
        if TEXT_TYPES.contains(&&*element.def.name) {
            // A literal reference is searched by reference parameters, not as text.
            let is_reference = element.node.is_some_and(|node| node.key() == "reference");
            if is_reference {
                continue;
            }
            texts.extend(element.node.and_then(Node::as_str).map(str::to_owned));
        } else if &*element.def.name == "xhtml" {
            texts.extend(element.node.and_then(Node::as_str).map(between_tags));
        } else {
            element.children(&mut children);
            waiting.append(&mut children);
        }
    }
    texts
}

/// Whether any of the texts has these words in sequence.
#[must_use]
pub fn holds_phrase(texts: &[String], phrase: &[String]) -> bool {
    texts.iter().any(|text| words(text).windows(phrase.len().max(1)).any(|window| window == phrase))
}

//! Strings (R4 search.html#string): texts compared from their beginning, without case and accents.
use crate::definitions::{Kind, TypeDef};
use crate::model::Node;
use crate::search::entry::{Encoded, Form, cut, cut_mark, cut_open};
use crate::search::fold::{fold, soundex};
use crate::search::matcher::Ask;
use crate::search::text::unescape;

/// Encodes the texts of an element. For names and parts of names, the text from each later word on is indexed too.
pub(super) fn extract(def: &TypeDef, node: Node<'_>, is_name_part: bool, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text, is_name| extract_text(text, is_name || is_name_part, out));
}

/// Encodes one text.
pub(in crate::search) fn extract_text(text: &str, is_name: bool, out: &mut Vec<Encoded>) {
    let folded = fold(text);
    out.push(Encoded::new(Form::Value).text(cut(&folded)).tail(cut(text)));
    if is_name {
        // `Word` entries are only searched by their beginning.
        out.extend(later_words(&folded).map(|rest| Encoded::new(Form::Word).text(cut_open(rest))));
    }
    out.extend(cut_mark(&folded));
}

pub(super) fn extract_phonetic(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text, _| out.extend(codes(text).map(sound)));
}

/// Visits the folded texts; for names also the text from each later word on.
pub(super) fn texts(def: &TypeDef, node: Node<'_>, is_name_part: bool, visit: &mut dyn FnMut(String)) {
    each_text(def, node, &mut |text, is_name| {
        let folded = fold(text);
        if is_name || is_name_part {
            later_words(&folded).for_each(|rest| visit(rest.to_owned()));
        }
        visit(folded);
    });
}

/// At most this many words of a name are indexed; each adds the rest of the name to the index.
const WORDS_MAX: usize = 64;

/// The folded text from each of its words on, except the first.
fn later_words(folded: &str) -> impl Iterator<Item = &str> {
    folded.match_indices(' ').filter_map(|(at, _)| folded.get(at + 1..)).take(WORDS_MAX)
}

fn codes(text: &str) -> impl Iterator<Item = String> {
    let codes: Vec<String> = fold(text).split(' ').filter_map(soundex).collect();
    codes.into_iter()
}

fn sound(code: String) -> Encoded {
    Encoded::new(Form::Value).text(code.as_bytes()).tail(b"")
}

/// R4 search.html#string: any part of a name or address may match. The flag says whether a text is of a name.
fn each_text(def: &TypeDef, node: Node<'_>, visit: &mut dyn FnMut(&str, bool)) {
    let (parts, is_name): (&[&str], bool) = match &*def.name {
        "HumanName" => (&["text", "family", "given", "prefix", "suffix"], true),
        "Address" => (&["text", "line", "city", "district", "state", "postalCode", "country"], false),
        _ if def.kind == Kind::Primitive => return visit(node.text(), false),
        _ => return,
    };
    for part in parts.iter().flat_map(|name| node.items_at(name)) {
        if let Some(text) = part.as_str() {
            visit(text, is_name);
        }
    }
}

pub(super) fn asks(modifier: Option<&str>, value: &str) -> Vec<Ask> {
    let value = unescape(value);
    let folded = fold(&value);
    if modifier == Some("exact") {
        return vec![Ask::exactly(Encoded::new(Form::Value).text(cut(&folded)).tail(cut(&value)))];
    }
    [Form::Value, Form::Word].map(|form| Ask::text_from(form, &folded)).into()
}

/// Finds names with the same sounds: one condition per word, all of which must match.
pub(in crate::search) fn sounds(value: &str) -> Vec<Ask> {
    codes(&unescape(value)).map(|code| Ask::key(sound(code))).collect()
}

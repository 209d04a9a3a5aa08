//! Strings (R4 search.html#string): texts compared from their beginning, without case and accents.
use crate::definitions::{Kind, TypeDef};
use crate::model::Node;
use crate::search::entry::{Encoded, Form, cut, cut_mark, cut_open};
use crate::search::fold::{fold, soundex};
use crate::search::matcher::Ask;
use crate::search::text::unescape;

/// Of a part of a name, too, each later word is indexed.
pub(super) fn extract(def: &TypeDef, node: Node<'_>, is_name_part: bool, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text, is_name| extract_text(text, is_name || is_name_part, out));
}

/// The values of one text.
pub(in crate::search) fn extract_text(text: &str, is_name: bool, out: &mut Vec<Encoded>) {
    let folded = fold(text);
    out.push(Encoded::new(Form::Value).text(cut(&folded)).tail(cut(text)));
    if is_name {
        // They are only asked how they begin.
        out.extend(later_words(&folded).map(|rest| Encoded::new(Form::Word).text(cut_open(rest))));
    }
    out.extend(cut_mark(&folded));
}

pub(super) fn extract_phonetic(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text, _| out.extend(codes(text).map(sound)));
}

/// The texts as they are compared; of names also from each later word on.
pub(super) fn texts(def: &TypeDef, node: Node<'_>, is_name_part: bool, visit: &mut dyn FnMut(String)) {
    each_text(def, node, &mut |text, is_name| {
        let folded = fold(text);
        if is_name || is_name_part {
            later_words(&folded).for_each(|rest| visit(rest.to_owned()));
        }
        visit(folded);
    });
}

/// So many words of a name are found each for itself; each is the rest of the name again, in the index.
const WORDS_MAX: usize = 64;

/// What a folded text is from each of its words on but the first.
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

/// R4 search.html#string: a name or an address is found by any of its parts, and a name by any of its words.
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

/// The codes of the words of a name, all of which must be there.
pub(in crate::search) fn sounds(value: &str) -> Vec<Ask> {
    codes(&unescape(value)).map(|code| Ask::key(sound(code))).collect()
}

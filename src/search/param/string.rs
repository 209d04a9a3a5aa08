//! Strings (R4 search.html#string): texts compared from their beginning, without case and accents.
use crate::definitions::{Kind, TypeDef};
use crate::model::Node;
use crate::search::entry::{Encoded, Form, cut, push_open_text};
use crate::search::fold::{fold, soundex};
use crate::search::matcher::{Ask, Check};
use crate::search::text::unescape;

use super::words::split;

pub(super) fn extract(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text| {
        out.push(Encoded::new(Form::Value).text(cut(&fold(text))).tail(cut(text)));
    });
}

pub(super) fn extract_phonetic(def: &TypeDef, node: Node<'_>, out: &mut Vec<Encoded>) {
    each_text(def, node, &mut |text| {
        out.extend(split(text).filter_map(|word| soundex(&word)).map(sound));
    });
}

fn sound(code: String) -> Encoded {
    Encoded::new(Form::Value).text(code.as_bytes()).tail(b"")
}

/// R4 search.html#string: a name or an address is found by any of its parts.
fn each_text(def: &TypeDef, node: Node<'_>, visit: &mut dyn FnMut(&str)) {
    let parts: &[&str] = match &*def.name {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        _ if def.kind == Kind::Primitive => return visit(node.text()),
        _ => return,
    };
    for part in parts.iter().flat_map(|name| node.items_at(name)) {
        if let Some(text) = part.as_str() {
            visit(text);
        }
    }
}

pub(super) fn asks(modifier: Option<&str>, value: &str) -> Vec<Ask> {
    let value = unescape(value);
    let folded = fold(&value);
    vec![match modifier {
        Some("exact") => Ask::exactly(Encoded::new(Form::Value).text(cut(&folded)).tail(cut(&value))),
        Some("contains") => Ask::all(Form::Value).with(Check::Holds(folded.into_bytes())),
        _ => {
            let mut start = vec![Form::Value.byte()];
            push_open_text(&mut start, cut(&folded));
            Ask::beginning(start)
        }
    }]
}

/// The codes of the words of a name, all of which must be there.
pub(in crate::search) fn sounds(value: &str) -> Vec<Ask> {
    split(&unescape(value)).filter_map(|word| soundex(&word)).map(|code| Ask::key(sound(code))).collect()
}

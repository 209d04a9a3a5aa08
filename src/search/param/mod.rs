//! One file per type of search parameter (R4 search.html#ptypes): which values a resource has for it, and which of them a search
//! value finds.
pub use asking::ValueContext;

mod asking;
mod composite;
mod date;
mod number;
mod quantity;
mod reference;
mod special;
mod string;
mod token;
mod uri;
mod words;

#[cfg(test)]
mod tests;

use crate::definitions::ParamType;
use crate::fhirpath::{Element, Value};

use super::entry::Encoded;
use super::fold::fold;
use super::invalid_value::InvalidValue;
use super::matcher::Ask;
use super::params::Param;

pub(super) use composite::extract as extract_composite;
pub(super) use date::{about, overlapping};
pub use date::{date_span, moments_found};
pub(super) use reference::{to_contained, to_identifier, to_resource, to_url, to_version, to_versions_below};
pub(super) use string::{extract_text, sounds};
pub(super) use token::{ask as token_ask, media_types_below};
pub(super) use words::{content, narrative, word};
pub(super) use words::{holds_phrase, words};

/// Encodes one FHIRPath result as values of a parameter, in all forms.
pub(super) fn extract(param: &Param, value: &Value<'_>, out: &mut Vec<Encoded>) {
    match value {
        Value::Element(element) => {
            let Some(node) = element.node else { return };
            let def = element.def;
            match param.kind {
                ParamType::Token => token::extract(def, node, out),
                ParamType::String if param.is_phonetic => string::extract_phonetic(def, node, out),
                ParamType::String => string::extract(def, node, param.is_name_part, out),
                ParamType::Reference => reference::extract(param, def, node, out),
                ParamType::Date => date::extract(def, node, out),
                ParamType::Uri => uri::extract(node, out),
                ParamType::Number => number::extract(def, node, out),
                ParamType::Quantity => quantity::extract(def, node, out),
                ParamType::Special => special::extract(node, out),
                ParamType::Composite => {}
            }
        }
        // `Patient.deceased.exists() and ...` and the like yield a boolean, not an element.
        Value::Boolean(truth) if param.kind == ParamType::Token => token::extract_boolean(*truth, out),
        // So do functions on strings, such as `replaceMatches()`.
        Value::String(text) if param.kind == ParamType::String && !param.is_phonetic => {
            extract_text(text, param.is_name_part, out);
        }
        _ => {}
    }
}

/// Visits the complete texts that one FHIRPath result has for a parameter, folded as comparisons need them.
pub(super) fn texts(param: &Param, value: &Value<'_>, visit: &mut dyn FnMut(std::string::String)) {
    if let (Value::String(text), ParamType::String) = (value, param.kind) {
        return visit(fold(text));
    }
    let Value::Element(Element { node: Some(node), def, .. }) = value else { return };
    match param.kind {
        ParamType::Token => token::texts(def, *node, visit),
        ParamType::String => string::texts(def, *node, param.is_name_part, visit),
        ParamType::Uri => visit(node.text().to_owned()),
        _ => {}
    }
}

/// The conditions of one search value. Handles the modifiers that need no look-up in the store.
///
/// # Errors
/// A message that says what is wrong with the value.
pub(super) fn asks(
    param: &Param,
    modifier: Option<&str>,
    value: &str,
    asking: ValueContext<'_>,
) -> Result<Vec<Ask>, InvalidValue> {
    match param.kind {
        ParamType::Token => token::asks(modifier, value, param.may_be_string),
        ParamType::String => Ok(string::asks(modifier, value)),
        ParamType::Reference => Ok(reference::asks(modifier, value, asking)),
        ParamType::Date => date::asks(value, asking),
        ParamType::Uri => Ok(uri::asks(modifier, value)),
        ParamType::Number => number::asks(value),
        ParamType::Quantity => quantity::asks(value),
        ParamType::Special => special::asks(value),
        ParamType::Composite => composite::asks(param, value, &|part, value| asks(part, None, value, asking)),
    }
}

/// A modifier, and the parameter types that it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modifier {
    pub name: &'static str,
    pub kinds: &'static [ParamType],
}

use ParamType::{Composite, Date, Number, Quantity, Reference, Special, String, Token, Uri};

/// Every supported modifier with its parameter types (R4 search.html#modifiers). `:Type` for references is not listed: it is the
/// name of a type.
pub static MODIFIERS: [Modifier; 12] = [
    Modifier {
        name: "missing",
        kinds: &[Number, Date, String, Token, Reference, Composite, Quantity, Uri, Special],
    },
    Modifier { name: "exact", kinds: &[String] },
    Modifier { name: "contains", kinds: &[String] },
    Modifier { name: "text", kinds: &[Token] },
    Modifier { name: "not", kinds: &[Token] },
    Modifier { name: "in", kinds: &[Token] },
    Modifier { name: "not-in", kinds: &[Token] },
    Modifier { name: "of-type", kinds: &[Token] },
    Modifier { name: "identifier", kinds: &[Reference] },
    Modifier { name: "above", kinds: &[Token, Reference, Uri] },
    Modifier { name: "below", kinds: &[Token, Reference, Uri] },
    // R4 search.html#revinclude: for includes only.
    Modifier { name: "iterate", kinds: &[] },
];

/// The modifiers of a parameter type.
pub fn modifiers(kind: ParamType) -> impl Iterator<Item = &'static str> {
    MODIFIERS.iter().filter(move |modifier| modifier.kinds.contains(&kind)).map(|modifier| modifier.name)
}

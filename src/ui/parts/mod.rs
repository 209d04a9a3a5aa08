//! What pages are put together from.

mod form;
mod json;
mod layout;
mod moment;
mod text;
mod values;
mod words;
mod xml;

pub(super) use form::{faults, form};
pub(super) use json::json;
pub(super) use layout::{STYLE_PATH, go_to, response, style};
pub(super) use moment::{moment, read as read_moment, years_between};
pub(super) use text::{alert, sentence};
pub(super) use values::{called, code_at, concept, concept_at, record_number, value, when, word};
pub(super) use words::name_of;
pub(super) use xml::xml;

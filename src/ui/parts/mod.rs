//! What pages are put together from.

mod form;
mod json;
mod layout;
mod text;
mod words;
mod xml;

pub(super) use form::form;
pub(super) use json::json;
pub(super) use layout::{STYLE_PATH, go_to, response, style};
pub(super) use text::{alert, sentence};
pub(super) use words::name_of;
pub(super) use xml::xml;

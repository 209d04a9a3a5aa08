//! Messages and sentences.
use maud::{Markup, html};

/// A message that a screen reader reads out at once; nothing for an empty one.
pub(in super::super) fn alert(message: &str) -> Markup {
    html! { @if !message.is_empty() { p.alert role="alert" { (message) } } }
}

pub(in super::super) fn sentence(text: &str) -> Markup {
    html! { p.text { (text) } }
}

//! Forms.
use maud::{Markup, html};

use super::super::visit::Visit;

/// What must be mended before a form can be taken, each with a link to its field; nothing if there is nothing.
pub(in super::super) fn faults(faults: &[(&str, &str)]) -> Markup {
    html! {
        @if !faults.is_empty() {
            div.alert role="alert" {
                h2 { "Please mend this first" }
                ul { @for (field, message) in faults { li { a href={ "#" (field) } { (message) } } } }
            }
        }
    }
}

/// A form that only the browser of this visit can send.
pub(in super::super) fn form(visit: &Visit, action: &str, inner: Markup) -> Markup {
    let token = visit.ui.engine.authorization().form_token(&visit.cookie);
    html! {
        form method="post" action=(action) {
            input type="hidden" name="form" value=(token);
            (inner)
        }
    }
}

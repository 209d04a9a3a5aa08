//! Forms.
use maud::{Markup, html};

use super::super::visit::Visit;

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

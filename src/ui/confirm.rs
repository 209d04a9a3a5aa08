//! The password once more, before something that must not happen by a browser that somebody else has sat down at.
use axum::http::StatusCode;
use maud::{Markup, html};

use crate::auth::LoginError;
use crate::operations::{Refused, Unknown};

use super::problem::Problem;
use super::thread::on_a_thread;
use super::visit::Visit;

/// The field for the password, with an id that is its own on the page. A demonstration's people have none.
pub(super) fn password_field(visit: &Visit, id: &str) -> Markup {
    html! {
        @if visit.session.as_ref().is_some_and(|session| session.persona.is_none()) {
            label for=(id) { "Your password" }
            input id=(id) type="password" name="password" autocomplete="current-password" required;
        }
    }
}

/// A message if the password is wrong. A demonstration's people have none.
pub(super) async fn wrong_password(visit: &Visit) -> Result<Option<&'static str>, Problem> {
    if visit.session.as_ref().is_some_and(|session| session.persona.is_some()) {
        return Ok(None);
    }
    let (engine, id, password) =
        (visit.ui.engine.clone(), visit.cookie.clone(), visit.field("password").to_owned());
    let (peer, title) =
        (visit.sender.peer.clone(), visit.session.as_ref().map(|session| session.title.clone()));
    let checked = on_a_thread(move || {
        let checked = engine.authorization().confirm_password(&id, &password);
        if checked.as_ref().is_err_and(|error| *error != LoginError::Failed) {
            engine.count_refusal(
                Refused::Password,
                Unknown { name: title.as_deref(), address: peer.as_deref() },
            );
        }
        checked
    });
    Ok(match checked.await? {
        Ok(()) => None,
        Err(LoginError::Wrong) => Some("The password is wrong. Nothing was done."),
        Err(LoginError::TooOften) => Some("The password was wrong too often. Try again later."),
        Err(LoginError::Busy) => Some("Too many are signing in at the moment. Try again in a few seconds."),
        Err(LoginError::Failed) => return Err(Problem::Failed(StatusCode::SERVICE_UNAVAILABLE)),
    })
}

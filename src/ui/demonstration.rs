//! The page of a demonstration's people: a button each, which begins a session without a password. Only `demo` gives it any.
use axum::http::StatusCode;
use maud::html;

use super::handled::Handled;
use super::parts::{form, sentence};
use super::problem::Problem;
use super::session_reply::signed_in;
use super::shown::Shown;
use super::thread::on_a_thread;
use super::visit::Visit;

/// The page of buttons.
pub(super) fn people(visit: &Visit) -> Shown {
    let body = html! {
        (sentence("This is a demonstration with a hospital that does not exist. Each of its people sees another part of it."))
        ul.people {
            @for (persona, what) in visit.ui.demonstration.people.iter() {
                li {
                    (form(visit, &format!("/as/{}", persona.name), html! {
                        input type="hidden" name="to" value=(visit.wanted());
                        button type="submit" { (persona.title) }
                    }))
                    p { (what) }
                }
            }
        }
    };
    Shown::new("Whom would you like to be?", body)
}

/// Begins the session of a person.
pub(super) fn become_one(visit: Visit) -> Handled {
    Box::pin(async move {
        let name = visit.path.first().cloned().unwrap_or_default();
        let found = visit.ui.demonstration.people.iter().find(|(persona, _)| persona.name == name);
        let Some((persona, _)) = found.cloned() else { return Err(Problem::NotFound) };
        let engine = visit.ui.engine.clone();
        let before = visit.cookie.clone();
        let begun = on_a_thread(move || {
            let authorization = engine.authorization();
            authorization.end_session(&before)?;
            authorization.begin_session_as(&persona)
        });
        let id = begun.await?.map_err(|_| Problem::Failed(StatusCode::SERVICE_UNAVAILABLE))?;
        Ok(signed_in(&visit, &id))
    })
}

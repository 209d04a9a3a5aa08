//! A person's own sessions and apps.
use maud::html;

use crate::model::Temporal;

use super::handled::Handled;
use super::parts::{form, moment, sentence};
use super::problem::Problem;
use super::shown::{Reply, Shown};
use super::visit::Visit;

pub(super) fn account(visit: Visit) -> Handled {
    Box::pin(async move {
        let session = visit.session.as_ref().ok_or(Problem::SignIn)?;
        let at = |millis: i64| moment(&Temporal::from_millis(millis).to_text());
        let body = html! {
            dl {
                dt { "Signed in as" } dd { (session.title) }
                dt { "Without use until" } dd { (at(session.idle_until)) }
                dt { "At the latest until" } dd { (at(session.ends)) }
            }
            h2 { "Other browsers" }
            (sentence("If you have signed in elsewhere and do not sit there any more, end all your sessions, this one included."))
            (form(&visit, "/sign-out/everywhere", html! {
                button type="submit" { "Sign out everywhere" }
            }))
            @if session.persona.is_none() {
                h2 { "Apps" }
                p { a href="/auth/apps" { "Which apps have access in your name" } ", and the way to take it away." }
            }
        };
        Ok(Reply::Shown(Shown::new("Where are you signed in?", body)))
    })
}

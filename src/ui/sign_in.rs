//! Signing in with name and password, signing out here and everywhere.
use axum::http::StatusCode;
use maud::html;

use crate::auth::LoginError;
use crate::operations::{Refused, Unknown};

use super::demonstration;
use super::handled::Handled;
use super::parts::{alert, form, sentence};
use super::problem::Problem;
use super::session_reply::{signed_in, signed_out};
use super::shown::{Reply, Shown};
use super::thread::on_a_thread;
use super::visit::Visit;

/// The page to which whoever has not signed in is sent.
pub(super) fn page(visit: Visit) -> Handled {
    Box::pin(async move {
        let shown = if visit.ui.demonstration.is_on() {
            demonstration::people(&visit)
        } else {
            form_page(&visit, "", "")
        };
        Ok(Reply::Shown(shown))
    })
}

/// The form, with a message and the name that was tried.
pub(super) fn form_page(visit: &Visit, message: &str, name: &str) -> Shown {
    let base = visit.ui.base_url();
    let body = html! {
        (alert(message))
        (form(visit, "/sign-in", html! {
            input type="hidden" name="to" value=(visit.wanted());
            label for="name" { "User name" }
            input #name type="text" name="name" value=(name) autocomplete="username" required;
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password" required;
            button type="submit" { "Sign in" }
        }))
        section.quiet {
            h2 { "About this server" }
            (sentence("This is an HL7 FHIR R4 server. What it shows of a patient's record, and to whom, is governed by the patient's Consents."))
            dl {
                dt { "Base URL for programs" } dd { code { (base) } }
                dt { "Version" }
                dd {
                    "Chartward " (env!("CARGO_PKG_VERSION")) ", built on "
                    time datetime=(env!("BUILD_DATE")) { (env!("BUILD_DATE")) }
                }
            }
            ul {
                li { a href={ (base) "/metadata?_format=json&_pretty=true" } { "What the server can do" } " " small { "CapabilityStatement" } }
                li {
                    a href={ (base) "/metadata?mode=terminology&_format=json&_pretty=true" } { "Which code systems it knows" }
                    " " small { "TerminologyCapabilities" }
                }
                li { a href={ (base) "/.well-known/smart-configuration" } { "How apps get access" } " " small { "SMART configuration" } }
                li { a href="/health/ready" { "Whether it is ready" } }
            }
        }
    };
    Shown::new("Sign in", body)
}

/// Checks name and password.
pub(super) fn sign_in(visit: Visit) -> Handled {
    Box::pin(async move {
        let (name, password) = (visit.field("name").to_owned(), visit.field("password").to_owned());
        let (engine, before) = (visit.ui.engine.clone(), visit.cookie.clone());
        let (tried, peer) = (name.clone(), visit.sender.peer.clone());
        let begun = on_a_thread(move || {
            let authorization = engine.authorization();
            let begun = authorization.begin_session(&tried, &password);
            match &begun {
                // Whoever had signed in on this browser before is signed out.
                Ok(_) => authorization.end_session(&before).map_err(|_| LoginError::Failed)?,
                Err(LoginError::Failed) => {}
                Err(_) => {
                    let who = Unknown { name: Some(&tried), address: peer.as_deref() };
                    engine.count_refusal(Refused::Password, who);
                }
            }
            begun
        });
        let (status, message) = match begun.await? {
            Ok(id) => {
                record(&visit, &id, "POST /sign-in").await?;
                return Ok(signed_in(&visit, &id));
            }
            Err(LoginError::Wrong) => (StatusCode::FORBIDDEN, "User name or password is wrong."),
            Err(LoginError::TooOften) => (
                StatusCode::TOO_MANY_REQUESTS,
                "This user name was tried in vain too often. Try again later.",
            ),
            Err(LoginError::Busy) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many are signing in at the moment. Try again in a few seconds.",
            ),
            Err(LoginError::Failed) => return Err(Problem::Failed(StatusCode::SERVICE_UNAVAILABLE)),
        };
        Ok(Reply::Shown(Shown { status, ..form_page(&visit, message, &name) }))
    })
}

/// Puts into the record of accesses what was done with the session of this id.
async fn record(visit: &Visit, id: &str, line: &str) -> Result<(), Problem> {
    let (engine, id, line) = (visit.ui.engine.clone(), id.to_owned(), line.to_owned());
    let recorded = on_a_thread(move || {
        let session = engine.authorization().session(&id)?;
        let recorded = session.map(|session| engine.record_beside(&session.party, line, 200));
        Ok::<_, Problem>(recorded.transpose()?)
    });
    recorded.await?.map(drop)
}

pub(super) fn sign_out(visit: Visit) -> Handled {
    Box::pin(async move {
        record(&visit, &visit.cookie, "POST /sign-out").await?;
        let (engine, id) = (visit.ui.engine.clone(), visit.cookie.clone());
        on_a_thread(move || engine.authorization().end_session(&id)).await??;
        Ok(signed_out(&visit))
    })
}

pub(super) fn sign_out_everywhere(visit: Visit) -> Handled {
    Box::pin(async move {
        record(&visit, &visit.cookie, "POST /sign-out/everywhere").await?;
        let (engine, id) = (visit.ui.engine.clone(), visit.cookie.clone());
        on_a_thread(move || engine.authorization().end_sessions_everywhere(&id)).await??;
        Ok(signed_out(&visit))
    })
}

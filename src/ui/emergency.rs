//! Breaking the glass: in an emergency somebody with the right to it opens one patient's hidden record for a quarter of an hour.
//! It counts for this browser's session and this patient: the emergency token is sealed in a cookie for the pages of that record.
use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use crate::model::parse;
use crate::operations::{Headers, Payload, RefusalKind, Verb, encode};

use super::asking::tree;
use super::confirm::{password_field, wrong_password};
use super::cookie;
use super::handled::Handled;
use super::parts::{alert, form, sentence};
use super::problem::Problem;
use super::shown::{Reply, Shown};
use super::visit::Visit;

/// The purpose for which the token in the cookie is sealed: a text that was sealed for another one does not open.
pub(super) const SEALED_AS: &str = "emergency";

/// The page that asks for record number and reason.
pub(super) fn page(visit: Visit) -> Handled {
    let shown = form_page(&visit, "");
    Box::pin(async move { Ok(Reply::Shown(shown)) })
}

fn form_page(visit: &Visit, message: &str) -> Shown {
    let body = html! {
        (alert(message))
        (sentence("This opens one record that is hidden from you, for a quarter of an hour. Every look is recorded: the patient can read it, and the privacy officer reviews it. Use it only if waiting would harm the patient."))
        (form(visit, "/emergency", html! {
            label for="number" { "Record number" }
            input #number type="text" name="number" value=(visit.field("number")) autocomplete="off" required maxlength="200";
            label for="reason" { "Why? At least ten letters; the patient and the privacy officer read it." }
            textarea #reason name="reason" rows="3" required minlength="10" maxlength="1000" { (visit.field("reason")) }
            (password_field(visit, "password"))
            button type="submit" { "Open the record" }
        }))
    };
    Shown::new("Is it an emergency?", body)
}

/// Opens the record.
pub(super) fn declare(visit: Visit) -> Handled {
    Box::pin(async move {
        if let Some(message) = wrong_password(&visit).await? {
            return Ok(Reply::Shown(Shown { status: StatusCode::FORBIDDEN, ..form_page(&visit, message) }));
        }
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "identifier", "valueString": visit.field("number").trim()},
            {"name": "reason", "valueString": visit.field("reason").trim()},
        ]});
        let body = parse(parameters.to_string().into_bytes())
            .map_err(|_| Problem::Failed(StatusCode::INTERNAL_SERVER_ERROR))?;
        let asking = visit.asking()?;
        let asked = asking.send(
            Verb::Post,
            &["Patient", "$break-glass"],
            Headers::default(),
            Payload::Resource(body),
        );
        let answer = match asked.await {
            Ok(answer) => tree(&answer)?,
            Err(refusal) => {
                let message = match refusal.kind {
                    RefusalKind::NotFound => {
                        "No record has this number, or more than one has it. Nothing was opened."
                    }
                    RefusalKind::BadRequest => "Write the record number and the reason. Nothing was opened.",
                    RefusalKind::Unprocessable => {
                        "Write the reason in ten letters or more, and a thousand at most. Nothing was opened."
                    }
                    _ => return Err(refusal.into()),
                };
                let status = StatusCode::from_u16(refusal.kind.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return Ok(Reply::Shown(Shown { status, ..form_page(&visit, message) }));
            }
        };
        let part = |name: &str| {
            answer.root().items_at("parameter").find(|parameter| parameter.str_at("name") == Some(name))
        };
        let text = |name: &str| part(name).and_then(|part| part.str_at("valueString"));
        let patient = part("patient").and_then(|part| part.get("valueReference"));
        let patient = patient
            .and_then(|reference| reference.str_at("reference"))
            .and_then(|reference| reference.strip_prefix("Patient/"));
        let seconds = text("expires_in").and_then(|seconds| seconds.parse().ok());
        let (Some(token), Some(patient), Some(seconds)) = (text("access_token"), patient, seconds) else {
            return Err(Problem::Failed(StatusCode::INTERNAL_SERVER_ERROR));
        };
        let sealed = visit.ui.engine.authorization().seal_for(&visit.cookie, SEALED_AS, token)?;
        let path = format!("/p/{}", encode(patient));
        let cookie = cookie::set_emergency(&sealed, (&path, seconds), visit.ui.base_url());
        Ok(Reply::GoTo { path, cookie, forgets: false })
    })
}

/// Closes the record again before its time.
pub(super) fn end(visit: Visit) -> Handled {
    Box::pin(async move {
        let id = visit.path.first().map(String::as_str).unwrap_or_default();
        let cookie = cookie::unset_emergency(&format!("/p/{}", encode(id)), visit.ui.base_url());
        Ok(Reply::GoTo { path: "/".to_owned(), cookie, forgets: false })
    })
}

/// The way to an emergency, where something is not there for somebody who has the right to it.
pub(super) fn offer() -> Markup {
    html! { p { "Is it an emergency? " a href="/emergency" { "Open a hidden record by its number" } "." } }
}

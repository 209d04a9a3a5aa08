//! The authorization endpoint and its pages: sign in, choose a patient and an encounter, consent to each scope.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{Markup, html};

use crate::auth::{
    AuthorizationContext, AuthorizationRefusal, Dialogue, Fields, NextPrompt, OauthError, describe,
    describe_purpose, described_parts,
};
use crate::model::ResourceId;
use crate::operations::{Engine, decode_pairs};

use super::encounters::{is_of, latest};
use super::form;
use super::markup::{STYLE, alert, page, sent_to, told};
use super::patients::{Listed, PatientMatches, find, seen};
use super::sign_in::{self, FormPost, SealedField, failed, with_cookie};

const EXPIRED: &str =
    "This page has expired, or was not made for this browser. Go back to the app and begin again.";
/// The field of the forms of a dialogue.
const DIALOGUE: SealedField = SealedField { name: "dialogue", expired: EXPIRED };

pub(super) async fn style() -> Response<WireBody> {
    let mut response = Response::new(WireBody::from(STYLE));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}

pub(super) async fn authorize(
    State(engine): State<Arc<Engine>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<WireBody> {
    begin(engine, &headers, Fields::new(decode_pairs(&query.unwrap_or_default()))).await
}

pub(super) async fn authorize_by_post(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    match form::fields(&headers, body).await {
        Ok(fields) => begin(engine, &headers, fields).await,
        Err(error) => told(StatusCode::BAD_REQUEST, &error.description),
    }
}

/// Checks the client's authorization request and shows the first page.
async fn begin(engine: Arc<Engine>, headers: &HeaderMap, fields: Fields) -> Response<WireBody> {
    with_cookie(engine, headers, move |engine, cookie| {
        match engine.authorization().begin_dialogue(&fields, cookie) {
            Ok(dialogue) => show(engine, &dialogue),
            Err(refusal) => refused(&refusal),
        }
    })
    .await
}

/// Reads a form of the dialogue and passes it to `deal`.
async fn go_on(
    engine: Arc<Engine>,
    headers: HeaderMap,
    body: WireBody,
    deal: fn(&Arc<Engine>, Dialogue, &Fields) -> Response<WireBody>,
) -> Response<WireBody> {
    let open = |authorization: &AuthorizationContext<'_>, sealed: &str, cookie: &str| {
        authorization.open_dialogue(sealed, cookie)
    };
    sign_in::go_on(FormPost { engine, headers, body }, DIALOGUE, open, deal).await
}

fn refused(refusal: &AuthorizationRefusal) -> Response<WireBody> {
    match refusal {
        AuthorizationRefusal::Page(message) => told(StatusCode::BAD_REQUEST, message),
        AuthorizationRefusal::Redirect(address) => sent_to(address),
    }
}

/// The page of the dialogue's next step.
fn show(engine: &Arc<Engine>, dialogue: &Dialogue) -> Response<WireBody> {
    let authorization = &engine.authorization();
    match authorization.next_step(dialogue) {
        Ok(NextPrompt::Login) => login_page(authorization, dialogue, StatusCode::OK, ("", "")),
        Ok(NextPrompt::Patient) => patient_page(authorization, dialogue, &PatientMatches::default()),
        Ok(NextPrompt::Encounter { patient }) => encounter_page(engine, dialogue, &patient),
        Ok(NextPrompt::Consent { scopes, purposes }) => consent_page(engine, dialogue, &scopes, &purposes),
        Err(refusal) => refused(&refusal),
    }
}

/// A form that carries the dialogue on.
fn form_to(
    authorization: &AuthorizationContext<'_>,
    dialogue: &Dialogue,
    action: &str,
    inner: &Markup,
) -> Result<Markup, OauthError> {
    Ok(sign_in::form_to(action, (DIALOGUE.name, &authorization.seal_dialogue(dialogue)?), inner))
}

fn name_of_client(
    authorization: &AuthorizationContext<'_>,
    dialogue: &Dialogue,
) -> Result<String, OauthError> {
    Ok(authorization.client_of(dialogue)?.client_name)
}

/// The sign-in page, with an error message and the user name of the failed attempt.
fn login_page(
    authorization: &AuthorizationContext<'_>,
    dialogue: &Dialogue,
    status: StatusCode,
    (message, name): (&str, &str),
) -> Response<WireBody> {
    match (
        name_of_client(authorization, dialogue),
        form_to(authorization, dialogue, "login", &sign_in::fields(name)),
    ) {
        (Ok(client), Ok(form)) => {
            let body = html! {
                (alert(message))
                p { "Sign in to go on to " strong { (client) } "." }
                (form)
            };
            page(status, "Sign in", body)
        }
        (Err(error), _) | (_, Err(error)) => told(StatusCode::BAD_REQUEST, &error.description),
    }
}

pub(super) async fn login(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    go_on(engine, headers, body, |engine, dialogue, fields| {
        let authorization = engine.authorization();
        let field = |name: &str| fields.one(name).ok().flatten().unwrap_or_default();
        let name = field("name");
        match authorization.log_in(dialogue.clone(), name, field("password")) {
            Ok(dialogue) if on_record(engine, &dialogue, "POST /auth/login".to_owned()) => {
                show(engine, &dialogue)
            }
            Ok(_) => failed(),
            Err(error) => sign_in::refused(error, name, &|status, message| {
                login_page(&authorization, &dialogue, status, (message, name))
            }),
        }
    })
    .await
}

/// Records what a user does in the dialogue. If that fails, the dialogue must not continue.
fn on_record(engine: &Engine, dialogue: &Dialogue, line: String) -> bool {
    let party = engine.authorization().chooser(dialogue);
    party.is_some_and(|party| engine.record_beside(&party, line, StatusCode::OK.as_u16()).is_ok())
}

fn patient_page(
    authorization: &AuthorizationContext<'_>,
    dialogue: &Dialogue,
    found: &PatientMatches,
) -> Response<WireBody> {
    let search = html! {
        label { "Name or identifier " input type="text" name="search" required autofocus; }
        button type="submit" { "Search" }
    };
    let choices = choices("patient", &found.patients);
    let forms = form_to(authorization, dialogue, "patient", &search).and_then(|search| {
        if found.patients.is_empty() {
            return Ok(search);
        }
        let choices = form_to(authorization, dialogue, "patient", &choices)?;
        Ok(html! { (search) (choices) })
    });
    let note = alert(found.note.as_deref().unwrap_or_default());
    choice_page(
        (authorization, dialogue),
        "Choose a patient",
        "whose record",
        forms.map(|forms| html! { (note) (forms) }),
    )
}

/// A page that asks for the context in which an app shall work: a patient or an encounter.
fn choice_page(
    (authorization, dialogue): (&AuthorizationContext<'_>, &Dialogue),
    title: &str,
    what: &str,
    forms: Result<Markup, OauthError>,
) -> Response<WireBody> {
    match (name_of_client(authorization, dialogue), forms) {
        (Ok(client), Ok(forms)) => {
            let intro = html! { p { "With " (what) " shall " strong { (client) } " work?" } };
            page(StatusCode::OK, title, html! { (intro) (forms) })
        }
        (Err(error), _) | (_, Err(error)) => told(StatusCode::BAD_REQUEST, &error.description),
    }
}

pub(super) async fn patient(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    go_on(engine, headers, body, |engine, dialogue, fields| {
        let authorization = engine.authorization();
        let Some(party) = authorization.chooser(&dialogue).map(Arc::new) else {
            return told(StatusCode::FORBIDDEN, EXPIRED);
        };
        if let Some(id) = fields.one("patient").ok().flatten() {
            return match ResourceId::parse(id).filter(|id| seen(engine, &party, id).is_some()) {
                Some(id) => show(engine, &authorization.with_patient(dialogue, &id)),
                None => patient_page(&authorization, &dialogue, &PatientMatches::nobody()),
            };
        }
        let search = fields.one("search").ok().flatten().unwrap_or_default();
        patient_page(&authorization, &dialogue, &find(engine, &party, search))
    })
    .await
}

/// Buttons to choose one of a list with.
fn choices(name: &str, listed: &[Listed]) -> Markup {
    html! {
        @for one in listed {
            p {
                button.plain type="submit" name=(name) value=(one.id) { (one.name) }
                " " small { (one.details) }
            }
        }
    }
}

fn encounter_page(engine: &Arc<Engine>, dialogue: &Dialogue, patient: &str) -> Response<WireBody> {
    let authorization = &engine.authorization();
    let found = authorization.chooser(dialogue).map(|party| latest(engine, &Arc::new(party), patient));
    let inner = html! {
        (choices("encounter", &found.unwrap_or_default()))
        button type="submit" name="none" value="yes" { "Go on without a visit" }
    };
    let form = form_to(authorization, dialogue, "encounter", &inner);
    choice_page((authorization, dialogue), "Choose a visit", "which visit", form)
}

pub(super) async fn encounter(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    go_on(engine, headers, body, |engine, dialogue, fields| {
        let authorization = engine.authorization();
        let (Ok(NextPrompt::Encounter { patient }), Some(party)) =
            (authorization.next_step(&dialogue), authorization.chooser(&dialogue).map(Arc::new))
        else {
            return show(engine, &dialogue);
        };
        let id = fields.one("encounter").ok().flatten();
        let Some(id) = id else { return show(engine, &authorization.with_encounter(dialogue, None)) };
        match ResourceId::parse(id).filter(|id| is_of(engine, &party, id, &patient)) {
            Some(id) => show(engine, &authorization.with_encounter(dialogue, Some(&id))),
            None => show(engine, &dialogue),
        }
    })
    .await
}

/// What a consent is about: who gives it, about which patient, and where the browser goes with it.
fn circumstances(engine: &Arc<Engine>, dialogue: &Dialogue) -> Markup {
    let authorization = engine.authorization();
    let Some(told) = authorization.circumstances(dialogue) else { return Markup::default() };
    let party = authorization.chooser(dialogue).map(Arc::new);
    let id = told.patient.as_deref().and_then(ResourceId::parse);
    let patient = party.zip(id).and_then(|(party, id)| seen(engine, &party, &id));
    html! {
        dl {
            dt { "Signed in as" } dd { (told.user) }
            @if let Some(patient) = patient {
                dt { "Patient" } dd { (patient.name) " " small { (patient.details) } }
            }
            dt { "The app is at" } dd { (told.client_origin) }
        }
    }
}

/// A scope to tick, and the parts of it that may be ticked instead.
fn choice_of_scope(scope: &str) -> Markup {
    let parts = described_parts(scope);
    html! {
        label {
            input type="checkbox" name="scope" value=(scope) checked;
            " " span { (describe(scope)) " " small { (scope) } }
        }
        @if !parts.is_empty() {
            details {
                summary { "Only a part of it" }
                p { small { "What is ticked here is given where the line above is not ticked." } }
                @for (part, words) in &parts {
                    label { input type="checkbox" name="scope" value=(part); " " span { (words) } }
                }
            }
        }
    }
}

fn consent_page(
    engine: &Arc<Engine>,
    dialogue: &Dialogue,
    scopes: &[String],
    purposes: &[String],
) -> Response<WireBody> {
    let authorization = &engine.authorization();
    let inner = html! {
        fieldset {
            legend { "It may" }
            @for scope in scopes { (choice_of_scope(scope)) }
        }
        @if purposes.len() > 1 {
            label { "For the purpose "
                select name="purpose" {
                    @for purpose in purposes { option value=(purpose) { (describe_purpose(purpose)) } }
                }
            }
        }
        button type="submit" name="decision" value="allow" { "Allow what is ticked" }
        " "
        button.plain type="submit" name="decision" value="refuse" { "Refuse" }
    };
    match (name_of_client(authorization, dialogue), form_to(authorization, dialogue, "consent", &inner)) {
        (Ok(client), Ok(form)) => {
            let body = html! {
                p { strong { (client) } " asks for access in your name." }
                (circumstances(engine, dialogue))
                (form)
            };
            page(StatusCode::OK, "Allow access?", body)
        }
        (Err(error), _) | (_, Err(error)) => told(StatusCode::BAD_REQUEST, &error.description),
    }
}

pub(super) async fn consent(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    go_on(engine, headers, body, |engine, dialogue, fields| {
        let authorization = engine.authorization();
        let is_allowed = fields.one("decision").ok().flatten() == Some("allow");
        let chosen: Vec<&str> = if is_allowed { fields.all("scope").collect() } else { Vec::new() };
        // The next step comes from the sealed dialogue, so no form can skip the sign-in or the choice of a patient.
        match authorization.next_step(&dialogue) {
            Ok(NextPrompt::Consent { .. }) => {
                let granted = authorization.chosen(&dialogue, &chosen);
                let line = format!("POST /auth/consent {}", granted.join(" "));
                let purpose = fields.one("purpose").ok().flatten();
                match authorization.consent(&dialogue, &chosen, purpose) {
                    Ok(address) if on_record(engine, &dialogue, line) => sent_to(&address),
                    Ok(_) | Err(_) => failed(),
                }
            }
            Ok(NextPrompt::Login | NextPrompt::Patient | NextPrompt::Encounter { .. }) | Err(_) => {
                show(engine, &dialogue)
            }
        }
    })
    .await
}

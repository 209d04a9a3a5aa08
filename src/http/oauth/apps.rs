//! The page on which a user sees which apps have access in the user's name, and revokes it.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use maud::{Markup, html};

use crate::audit::{clock_in_words, day_in_words};
use crate::auth::{AppsSession, AuthorizationContext, Fields, GrantedApp, describe};
use crate::model::{Millis, Temporal};
use crate::operations::Engine;

use super::markup::{alert, page};
use super::sign_in::{self, FormPost, SealedField, failed, with_cookie};

const TITLE: &str = "Which apps have access?";
const EXPIRED: &str = "This page has expired, or was not made for this browser. Open it again.";
/// The field of the forms on these pages.
const VISIT: SealedField = SealedField { name: "visit", expired: EXPIRED };

/// Shows the sign-in page.
pub(super) async fn open(State(engine): State<Arc<Engine>>, headers: HeaderMap) -> Response<WireBody> {
    with_cookie(engine, &headers, |engine, cookie| {
        let authorization = engine.authorization();
        sign_in_page(&authorization, &authorization.begin_visit(cookie), StatusCode::OK, ("", ""))
    })
    .await
}

/// Signs the user in and shows the apps.
pub(super) async fn sign_in(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    with_visit(engine, headers, body, |engine, visit, fields| {
        let authorization = engine.authorization();
        let field = |name: &str| fields.one(name).ok().flatten().unwrap_or_default();
        let name = field("name");
        match authorization.sign_in(visit.clone(), name, field("password")) {
            Ok(visit) if is_on_record(engine, &visit, "POST /auth/apps") => list(&authorization, &visit, ""),
            Ok(_) => failed(),
            Err(error) => sign_in::refused(error, name, &|status, message| {
                sign_in_page(&authorization, &visit, status, (message, name))
            }),
        }
    })
    .await
}

/// Revokes an app's access and shows the remaining apps.
pub(super) async fn take_away(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    with_visit(engine, headers, body, |engine, visit, fields| {
        let authorization = engine.authorization();
        let id = fields.one("app").ok().flatten().unwrap_or_default();
        match authorization.take_away(&visit, id) {
            Ok(Some(name)) if is_on_record(engine, &visit, "POST /auth/apps/revoke") => {
                list(&authorization, &visit, &format!("{name} has no access any more."))
            }
            Ok(None) => list(&authorization, &visit, "That app has no access."),
            Ok(Some(_)) | Err(_) => failed(),
        }
    })
    .await
}

fn is_on_record(engine: &Engine, visit: &AppsSession, line: &str) -> bool {
    let party = engine.authorization().visiting_party(visit);
    party.is_some_and(|party| engine.record_beside(&party, line.to_owned(), StatusCode::OK.as_u16()).is_ok())
}

async fn with_visit(
    engine: Arc<Engine>,
    headers: HeaderMap,
    body: WireBody,
    deal: fn(&Arc<Engine>, AppsSession, &Fields) -> Response<WireBody>,
) -> Response<WireBody> {
    let open = |authorization: &AuthorizationContext<'_>, sealed: &str, cookie: &str| {
        authorization.open_visit(sealed, cookie)
    };
    sign_in::go_on(FormPost { engine, headers, body }, VISIT, open, deal).await
}

fn form_to(
    authorization: &AuthorizationContext<'_>,
    visit: &AppsSession,
    action: &str,
    inner: &Markup,
) -> Option<Markup> {
    let sealed = authorization.seal_visit(visit).ok()?;
    Some(sign_in::form_to(action, (VISIT.name, &sealed), inner))
}

fn sign_in_page(
    authorization: &AuthorizationContext<'_>,
    visit: &AppsSession,
    status: StatusCode,
    (message, name): (&str, &str),
) -> Response<WireBody> {
    let Some(form) = form_to(authorization, visit, "apps", &sign_in::fields(name)) else { return failed() };
    let body = html! {
        (alert(message))
        p { "Sign in to see which apps have access in your name, and to take it from them." }
        (form)
    };
    page(status, TITLE, body)
}

fn list(authorization: &AuthorizationContext<'_>, visit: &AppsSession, message: &str) -> Response<WireBody> {
    let apps = match authorization.apps(visit) {
        Ok(Some(apps)) => apps,
        Ok(None) => {
            let message = ("Nobody has signed in here.", "");
            return sign_in_page(authorization, visit, StatusCode::FORBIDDEN, message);
        }
        Err(_) => return failed(),
    };
    let parts: Option<Vec<Markup>> = apps.iter().map(|app| of_app(authorization, visit, app)).collect();
    let Some(parts) = parts else { return failed() };
    let body = html! {
        @if !message.is_empty() { p role="status" { (message) } }
        @if parts.is_empty() { p { "No app has access in your name." } }
        @for part in &parts { (part) }
    };
    page(StatusCode::OK, TITLE, body)
}

/// What an app may do, since when, and the button that takes it away.
fn of_app(authorization: &AuthorizationContext<'_>, visit: &AppsSession, app: &GrantedApp) -> Option<Markup> {
    let inner = html! {
        input type="hidden" name="app" value=(app.id);
        button type="submit" { "Take the access from " (app.name) }
    };
    let form = form_to(authorization, visit, "apps/revoke", &inner)?;
    Some(html! {
        h2 { (app.name) }
        ul { @for scope in &app.scopes { li { (describe(scope)) " " small { (scope) } } } }
        dl {
            @if let Some(patient) = &app.patient { dt { "Patient" } dd { "Patient/" (patient) } }
            dt { "Since" } dd { (moment(app.since)) }
            dt { "Ends by itself" } dd { (moment(app.until)) }
        }
        (form)
    })
}

/// A time for people to read, in UTC.
fn moment(time: Millis) -> Markup {
    let text = Temporal::from_millis(time).to_text();
    html! { time datetime=(text) { (day_in_words(time)) ", " (clock_in_words(time)) " UTC" } }
}

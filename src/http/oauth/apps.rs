//! The page where a person sees which apps have access in their name, and takes it from them.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::auth::{Desk, Fields, LoginError, Visit, describe};
use crate::model::{Millis, Temporal};
use crate::operations::{Engine, Refused};

use super::super::unknown::Noted;
use super::form;
use super::markup::{alert, escape, page};

const TITLE: &str = "Which apps have access?";
const EXPIRED: &str = "This page has expired, or was not made for this browser. Open it again.";
const FAILED: &str = "The server cannot answer at the moment. Try again later.";

/// The page to sign in.
pub(super) async fn open(State(engine): State<Arc<Engine>>, headers: HeaderMap) -> Response<WireBody> {
    let known = form::cookie(&headers);
    on_a_thread(move || {
        let desk = engine.desk();
        let Some(cookie) = known.or_else(form::fresh_cookie) else { return told(FAILED) };
        let mut response = sign_in_page(&desk, &desk.begin_visit(&cookie), StatusCode::OK, ("", ""));
        if let Ok(cookie) = HeaderValue::from_str(&form::set_cookie(&cookie, desk.base_url())) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    })
    .await
}

/// Signs in and shows the apps.
pub(super) async fn sign_in(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    with_visit(engine, headers, body, |engine, visit, fields| {
        let desk = engine.desk();
        let field = |name: &str| fields.one(name).ok().flatten().unwrap_or_default();
        let name = field("name");
        let (status, message) = match desk.sign_in(visit.clone(), name, field("password")) {
            Ok(visit) if is_on_record(engine, &visit, "POST /auth/apps") => return list(&desk, &visit, ""),
            Ok(_) | Err(LoginError::Failed) => return told(FAILED),
            Err(LoginError::Wrong) => (StatusCode::FORBIDDEN, "User name or password is wrong."),
            Err(LoginError::TooOften) => (
                StatusCode::TOO_MANY_REQUESTS,
                "This user name was tried in vain too often. Try again later.",
            ),
            Err(LoginError::Busy) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many are signing in at the moment. Try again in a few seconds.",
            ),
        };
        let mut response = sign_in_page(&desk, &visit, status, (message, name));
        response.extensions_mut().insert(Noted::Counted(Refused::Password, Some(name.to_owned())));
        response
    })
    .await
}

/// Takes an app's access away and shows the others.
pub(super) async fn take_away(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    with_visit(engine, headers, body, |engine, visit, fields| {
        let desk = engine.desk();
        let id = fields.one("app").ok().flatten().unwrap_or_default();
        match desk.take_away(&visit, id) {
            Ok(Some(name)) if is_on_record(engine, &visit, "POST /auth/apps/revoke") => {
                list(&desk, &visit, &format!("{name} has no access any more."))
            }
            Ok(None) => list(&desk, &visit, "That app has no access."),
            Ok(Some(_)) | Err(_) => told(FAILED),
        }
    })
    .await
}

fn is_on_record(engine: &Engine, visit: &Visit, line: &str) -> bool {
    let party = engine.desk().visiting_party(visit);
    party.is_some_and(|party| engine.record_beside(&party, line.to_owned(), StatusCode::OK.as_u16()).is_ok())
}

async fn with_visit(
    engine: Arc<Engine>,
    headers: HeaderMap,
    body: WireBody,
    deal: fn(&Arc<Engine>, Visit, &Fields) -> Response<WireBody>,
) -> Response<WireBody> {
    let Ok(fields) = form::fields(&headers, body).await else { return told(EXPIRED) };
    let cookie = form::cookie(&headers);
    on_a_thread(move || {
        let sealed = fields.one("visit").ok().flatten();
        let visit = sealed.zip(cookie).and_then(|(sealed, cookie)| engine.desk().open_visit(sealed, &cookie));
        match visit {
            Some(visit) => deal(&engine, visit, &fields),
            None => page(StatusCode::FORBIDDEN, TITLE, &alert(EXPIRED)),
        }
    })
    .await
}

async fn on_a_thread(work: impl FnOnce() -> Response<WireBody> + Send + 'static) -> Response<WireBody> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| told(FAILED))
}

fn told(message: &str) -> Response<WireBody> {
    page(StatusCode::SERVICE_UNAVAILABLE, TITLE, &alert(message))
}

fn form_to(desk: &Desk<'_>, visit: &Visit, action: &str, inner: &str) -> Option<String> {
    let sealed = desk.seal_visit(visit).ok()?;
    Some(format!(
        "<form method=\"post\" action=\"/auth/{action}\"><input type=\"hidden\" name=\"visit\" value=\"{sealed}\">\n{inner}</form>\n"
    ))
}

fn sign_in_page(
    desk: &Desk<'_>,
    visit: &Visit,
    status: StatusCode,
    (message, name): (&str, &str),
) -> Response<WireBody> {
    let inner = format!(
        "<label>User name <input type=\"text\" name=\"name\" value=\"{}\" autocomplete=\"username\" required></label>\n\
         <label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\" required></label>\n\
         <button type=\"submit\">Sign in</button>\n",
        escape(name)
    );
    let message = if message.is_empty() { String::new() } else { alert(message) };
    match form_to(desk, visit, "apps", &inner) {
        Some(form) => {
            let intro =
                "<p>Sign in to see which apps have access in your name, and to take it from them.</p>\n";
            page(status, TITLE, &format!("{message}{intro}{form}"))
        }
        None => told(FAILED),
    }
}

fn list(desk: &Desk<'_>, visit: &Visit, message: &str) -> Response<WireBody> {
    let apps = match desk.apps(visit) {
        Ok(Some(apps)) => apps,
        Ok(None) => {
            return sign_in_page(desk, visit, StatusCode::FORBIDDEN, ("Nobody has signed in here.", ""));
        }
        Err(_) => return told(FAILED),
    };
    let mut body = String::new();
    if !message.is_empty() {
        body.push_str(&format!("<p role=\"status\">{}</p>\n", escape(message)));
    }
    if apps.is_empty() {
        body.push_str("<p>No app has access in your name.</p>\n");
    }
    for app in apps {
        body.push_str(&format!("<h2>{}</h2>\n<ul>\n", escape(&app.name)));
        for scope in &app.scopes {
            body.push_str(&format!(
                "<li>{} <small>{}</small></li>\n",
                escape(&describe(scope)),
                escape(scope)
            ));
        }
        body.push_str("</ul>\n<dl>\n");
        if let Some(patient) = &app.patient {
            body.push_str(&format!("<dt>Patient</dt><dd>Patient/{}</dd>\n", escape(patient)));
        }
        body.push_str(&format!(
            "<dt>Since</dt><dd>{}</dd>\n<dt>Ends by itself</dt><dd>{}</dd>\n</dl>\n",
            moment(app.since),
            moment(app.until)
        ));
        let inner = format!(
            "<input type=\"hidden\" name=\"app\" value=\"{}\">\n<button type=\"submit\">Take the access from {}</button>\n",
            escape(&app.id),
            escape(&app.name)
        );
        match form_to(desk, visit, "apps/revoke", &inner) {
            Some(form) => body.push_str(&form),
            None => return told(FAILED),
        }
    }
    page(StatusCode::OK, TITLE, &body)
}

/// A time as people read it, in UTC.
fn moment(time: Millis) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = Temporal::from_millis(time);
    let month = MONTHS.get(usize::from(date.month.saturating_sub(1))).unwrap_or(&"");
    format!(
        "<time datetime=\"{}\">{} {month} {} {:02}:{:02} UTC</time>",
        date.to_text(),
        date.day,
        date.year,
        date.hour,
        date.minute
    )
}

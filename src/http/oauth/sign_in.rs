//! What all pages with a sign-in share: the form, the response to a failed sign-in, and forms that only one browser can
//! send.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use maud::{Markup, html};

use crate::auth::{AuthorizationContext, Fields, LoginError};
use crate::operations::{Engine, Refused};

use super::super::unknown::RefusalRecord;
use super::endpoints::RETRY_SECONDS;
use super::form;
use super::markup::told;

/// The fields for name and password, and the button; the name that was tried stands there again.
pub(super) fn fields(name: &str) -> Markup {
    html! {
        label { "User name "
            input type="text" name="name" value=(name) autocomplete="username" required autofocus[name.is_empty()];
        }
        label { "Password "
            input type="password" name="password" autocomplete="current-password" required autofocus[!name.is_empty()];
        }
        button type="submit" { "Sign in" }
    }
}

/// The response to a failed sign-in: the page that `again` builds, marked so that the refusal is counted.
pub(super) fn refused(
    error: LoginError,
    name: &str,
    again: &dyn Fn(StatusCode, &str) -> Response<WireBody>,
) -> Response<WireBody> {
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    let mut response = match error {
        LoginError::Failed => return failed(),
        LoginError::Wrong => again(StatusCode::FORBIDDEN, "User name or password is wrong."),
        LoginError::TooOften => {
            again(too_many, "This user name was tried in vain too often. Try again later.")
        }
        LoginError::Busy => {
            let mut response =
                again(too_many, "Too many are signing in at the moment. Try again in a few seconds.");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
            response
        }
    };
    response.extensions_mut().insert(RefusalRecord::Counted(Refused::Password, Some(name.to_owned())));
    response
}

/// A form that a browser posts.
pub(super) struct FormPost {
    pub(super) engine: Arc<Engine>,
    pub(super) headers: HeaderMap,
    pub(super) body: WireBody,
}

/// The hidden field in which a form carries its sealed state, and what is said if the state is not good any more.
#[derive(Clone, Copy)]
pub(super) struct SealedField {
    pub(super) name: &'static str,
    pub(super) expired: &'static str,
}

/// Reads a form whose field carries sealed state and passes it to `deal`. Forms of other pages or browsers are refused.
pub(super) async fn go_on<T: 'static>(
    FormPost { engine, headers, body }: FormPost,
    SealedField { name, expired }: SealedField,
    open: fn(&AuthorizationContext<'_>, &str, &str) -> Option<T>,
    deal: fn(&Arc<Engine>, T, &Fields) -> Response<WireBody>,
) -> Response<WireBody> {
    let fields = match form::fields(&headers, body).await {
        Ok(fields) => fields,
        Err(error) => return told(StatusCode::BAD_REQUEST, &error.description),
    };
    let cookie = form::cookie(&headers);
    on_a_thread(move || {
        let sealed = fields.one(name).ok().flatten();
        let opened =
            sealed.zip(cookie).and_then(|(sealed, cookie)| open(&engine.authorization(), sealed, &cookie));
        match opened {
            Some(opened) => deal(&engine, opened, &fields),
            None => told(StatusCode::FORBIDDEN, expired),
        }
    })
    .await
}

/// A form that carries something sealed on in a field.
pub(super) fn form_to(action: &str, (field, sealed): (&str, &str), inner: &Markup) -> Markup {
    html! {
        form method="post" action={ "/auth/" (action) } {
            input type="hidden" name=(field) value=(sealed);
            (inner)
        }
    }
}

/// Sends a response with the cookie that binds forms to the browser: the existing cookie, or a fresh one.
pub(super) async fn with_cookie(
    engine: Arc<Engine>,
    headers: &HeaderMap,
    make: impl FnOnce(&Arc<Engine>, &str) -> Response<WireBody> + Send + 'static,
) -> Response<WireBody> {
    let known = form::cookie(headers);
    on_a_thread(move || {
        let Some(cookie) = known.or_else(form::fresh_cookie) else { return failed() };
        let mut response = make(&engine, &cookie);
        if let Ok(cookie) =
            HeaderValue::from_str(&form::set_cookie(&cookie, engine.authorization().base_url()))
        {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    })
    .await
}

async fn on_a_thread(work: impl FnOnce() -> Response<WireBody> + Send + 'static) -> Response<WireBody> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| failed())
}

pub(super) fn failed() -> Response<WireBody> {
    told(StatusCode::SERVICE_UNAVAILABLE, "The server cannot answer at the moment. Try again later.")
}

//! The frame around every page: head, bar, menu, and the headers that keep it safe.
use std::sync::LazyLock;

use axum::body::Body as WireBody;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use crate::model::hex;

use super::super::shown::Shown;
use super::super::visit::Visit;
use super::form;

const STYLE: &str = include_str!("../style.css");

/// The style sheet's path. It has a hash of the content, so browsers may keep it for ever.
pub(in super::super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = hex(&Sha256::digest(STYLE));
    format!("/ui/style-{}.css", digest.get(..12).unwrap_or_default())
});

pub(in super::super) async fn style() -> Response<WireBody> {
    let mut response = Response::new(WireBody::from(STYLE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    response
}

/// A page in its frame.
pub(in super::super) fn response(visit: &Visit, shown: &Shown) -> Response<WireBody> {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (shown.title) " – Chartward" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(*STYLE_PATH);
                @if let Some(left) = seconds_left(visit) { meta http-equiv="refresh" content=(left + 1); }
            }
            body {
                a.skip href="#main" { "Go to the page" }
                (bar(visit))
                (emergency(visit))
                div.frame {
                    (menu(visit))
                    main #main tabindex="-1" { h1 { (shown.title) } (shown.body) }
                }
            }
        }
    };
    let mut response = Response::new(WireBody::from(html.into_string()));
    *response.status_mut() = shown.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(headers);
    response
}

/// Who has signed in, and the way out. In a demonstration it also says that nobody here exists.
fn bar(visit: &Visit) -> Markup {
    let is_demonstration = visit.ui.demonstration.is_on();
    html! {
        header.bar {
            a.product href="/" { "Chartward" }
            @if let Some(session) = &visit.session {
                a.who href="/account" { (session.title) }
                @if is_demonstration {
                    (form(visit, "/sign-out", html! { button.plain type="submit" { "Be somebody else" } }))
                } @else {
                    (form(visit, "/sign-out", html! { button.plain type="submit" { "Sign out" } }))
                }
            }
            @if is_demonstration { span.note { "Demonstration: nobody here exists" } }
        }
    }
}

/// How long an emergency still lasts. The page is loaded again when it is over, and is then as hidden as before.
fn seconds_left(visit: &Visit) -> Option<i64> {
    let party = visit.emergency.as_ref()?;
    Some(((party.expires - visit.ui.engine.authorization().now()) / 1_000).max(0))
}

/// What an emergency means, on each page that is shown by it.
fn emergency(visit: &Visit) -> Markup {
    let left = seconds_left(visit).map(|seconds| seconds.saturating_add(59) / 60);
    let path = format!(
        "/p/{}/emergency/end",
        crate::operations::encode(visit.path.first().map_or("", String::as_str))
    );
    html! {
        @if let Some(minutes) = left {
            div.emergency role="status" {
                p {
                    strong { "▲ Emergency access, " (minutes) @if minutes == 1 { " minute" } @else { " minutes" } " left. " }
                    "Every look is recorded, and the privacy officer reviews it."
                }
                (form(visit, &path, html! { button.plain type="submit" { "Close this record" } }))
            }
        }
    }
}

fn menu(visit: &Visit) -> Markup {
    html! {
        @if !visit.menu.is_empty() {
            nav.menu aria-label="Places" {
                ul {
                    @for place in &visit.menu {
                        li {
                            a href=(place.path) aria-current=[(place.path == visit.target).then_some("page")] { (place.name) }
                        }
                    }
                }
            }
        }
    }
}

/// Headers: no script but our own, no framing, no copies, no address told to other sites.
pub(in super::super) fn guard(headers: &mut axum::http::HeaderMap) {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Cookie"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
}

/// A reply without a page: the browser goes on to another address.
pub(in super::super) fn go_to(path: &str) -> Response<WireBody> {
    let mut response = Response::new(WireBody::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    guard(response.headers_mut());
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(axum::http::header::LOCATION, path);
    response
}

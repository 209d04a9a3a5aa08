//! The pages of the authorization server as HTML: plain forms, no script. Texts become HTML through `maud` alone, which
//! escapes them.
use axum::body::Body as WireBody;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};

pub(super) const STYLE: &str = "\
body { margin: 0; background: #f6f8fa; color: #1c2733; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 34rem; margin: 3rem auto; padding: 1.5rem 2rem 2rem; background: #fff; border: 1px solid #c9d1d9; border-radius: 4px; }
h1 { margin-top: 0; font-size: 1.4rem; }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.1rem; }
[role=status] { padding: .5rem .75rem; border-left: 4px solid #0b5cad; background: #eef4fb; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 1rem 0; }
dt { color: #57606a; }
dd { margin: 0; overflow-wrap: anywhere; }
label { display: block; margin: .75rem 0; }
input[type=text], input[type=password], select { display: block; width: 100%; box-sizing: border-box; margin-top: .25rem; padding: .5rem; background: #fff; font: inherit; border: 1px solid #57606a; border-radius: 4px; }
fieldset { border: 1px solid #c9d1d9; border-radius: 4px; margin: 1rem 0; padding: .25rem 1rem; }
legend { padding: 0 .25rem; font-weight: 600; }
fieldset label { display: grid; grid-template-columns: 1.25rem 1fr; column-gap: .5rem; align-items: start; cursor: pointer; }
details { margin: 0 0 .75rem 1.75rem; }
summary { cursor: pointer; }
fieldset input { width: 1.1rem; height: 1.1rem; margin: .2rem 0 0; }
fieldset small { display: block; overflow-wrap: anywhere; }
button { margin-right: .25rem; padding: .5rem 1rem; font: inherit; border: 1px solid #0b5cad; border-radius: 4px; background: #0b5cad; color: #fff; cursor: pointer; }
button.plain { background: #fff; color: #0b5cad; }
:focus-visible { outline: 3px solid #f0b429; outline-offset: 2px; }
[role=alert] { padding: .5rem .75rem; border-left: 4px solid #a3180e; background: #fdf1f0; color: #a3180e; }
small { color: #57606a; }
@media (max-width: 36rem) { main { margin: 0; padding: 1rem; border: 0; } }
";

/// A page.
pub(in crate::http) fn page(status: StatusCode, title: &str, body: Markup) -> Response<WireBody> {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="stylesheet" href="/auth/style.css";
            }
            body { main { h1 { (title) } (body) } }
        }
    };
    let mut response = Response::new(WireBody::from(html.into_string()));
    *response.status_mut() = status;
    guard(response.headers_mut());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A page that only shows a message.
pub(super) fn told(status: StatusCode, message: &str) -> Response<WireBody> {
    page(status, "Sign-in is not possible", alert(message))
}

/// A message that a screen reader reads out at once; nothing for an empty one.
pub(super) fn alert(message: &str) -> Markup {
    html! { @if !message.is_empty() { p role="alert" { (message) } } }
}

/// Redirects the browser with 303, so that it requests the address with GET (RFC 9700 section 4.12).
pub(super) fn sent_to(address: &str) -> Response<WireBody> {
    let Ok(address) = HeaderValue::from_str(address) else {
        return told(StatusCode::BAD_REQUEST, "the address of the app cannot be used");
    };
    let mut response = Response::new(WireBody::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    guard(response.headers_mut());
    response.headers_mut().insert(LOCATION, address);
    response
}

/// Security headers: no scripts, no framing, no caching, no referrer to other sites.
fn guard(headers: &mut HeaderMap) {
    let policy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
}

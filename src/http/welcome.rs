//! The page for a browser that opens the server's address or the API's base URL: what the server is, with links.
use axum::body::Body as WireBody;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use maud::html;

use super::negotiate;
use super::oauth::page;

/// Whether a browser opens the server's address or the API's base URL.
pub(super) fn is_asked_for(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && matches!(uri.path(), "/" | "/fhir" | "/fhir/")
        && uri.query().is_none_or(str::is_empty)
        && negotiate::prefers_html(headers)
}

pub(super) fn answer(base_url: &str) -> Response<WireBody> {
    let link = |path: &str, what: &str, term: &str| {
        html! { li { a href={ (base_url) (path) } { (what) } " " small { (term) } } }
    };
    let body = html! {
        p {
            "This is an HL7 FHIR R4 server. What it shows of a patient's record, and to whom, is governed by the patient's Consents."
        }
        dl {
            dt { "Base URL" } dd { code { (base_url) } }
            dt { "Version" }
            dd {
                "Chartward " (env!("CARGO_PKG_VERSION")) ", built on "
                time datetime=(env!("BUILD_DATE")) { (env!("BUILD_DATE")) }
            }
        }
        ul {
            (link("/metadata?_format=json&_pretty=true", "What the server can do", "CapabilityStatement"))
            (link(
                "/metadata?mode=terminology&_format=json&_pretty=true",
                "Which code systems it knows",
                "TerminologyCapabilities",
            ))
            (link("/.well-known/smart-configuration", "How apps get access", "SMART configuration"))
            li { a href="/health/ready" { "Whether it is ready" } }
        }
        p { "Programs send an access token with every request, and " code { "Accept: application/fhir+json" } "." }
    };
    let mut response = page(StatusCode::OK, "Chartward", body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

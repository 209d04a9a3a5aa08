//! The page for a browser that opens the server's address or the base of the API: what stands here, and where to go on.
use axum::body::Body as WireBody;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};

use super::negotiate;
use super::oauth::{escape, page};

/// Whether a request opens the address of the server, or the base of the API, with a browser.
pub(super) fn is_asked_for(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && matches!(uri.path(), "/" | "/fhir" | "/fhir/")
        && uri.query().is_none_or(str::is_empty)
        && negotiate::prefers_html(headers)
}

pub(super) fn answer(base_url: &str) -> Response<WireBody> {
    let base = escape(base_url);
    let body = format!(
        "<p>This is an HL7 FHIR R4 server. What it shows of a patient's record, and to whom, is governed by the patient's \
         Consents.</p>\n\
         <dl>\n<dt>Base URL</dt><dd><code>{base}</code></dd>\n<dt>Version</dt><dd>Chartward {}, built on <time datetime=\"{1}\">{1}</time></dd>\n</dl>\n\
         <ul>\n\
         <li><a href=\"{base}/metadata?_format=json&amp;_pretty=true\">What the server can do</a> <small>CapabilityStatement</small></li>\n\
         <li><a href=\"{base}/metadata?mode=terminology&amp;_format=json&amp;_pretty=true\">Which code systems it knows</a> <small>TerminologyCapabilities</small></li>\n\
         <li><a href=\"{base}/.well-known/smart-configuration\">How apps get access</a> <small>SMART configuration</small></li>\n\
         <li><a href=\"/health/ready\">Whether it is ready</a></li>\n\
         </ul>\n\
         <p>Programs send an access token with every request, and <code>Accept: application/fhir+json</code>.</p>\n",
        env!("CARGO_PKG_VERSION"),
        env!("BUILD_DATE"),
    );
    let mut response = page(StatusCode::OK, "Chartward", &body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

//! Accounts of accesses as HTML pages: `$who-saw` and `$accounting-of-disclosures` for clients that prefer `text/html`.
use axum::body::Body as WireBody;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};

use crate::model::decode_base64;
use crate::model::parse;
use crate::operations::{Answer, Route, Verb};

use super::negotiate::prefers_html;

/// The operations that can return a page, and the input and output parameter of the page.
const OPERATIONS: [&str; 2] = ["$who-saw", "$accounting-of-disclosures"];
pub(super) const PARAMETER: &str = "page";

/// Whether a request asks for a page: it prefers HTML to FHIR formats and has no `_format`.
pub(super) fn is_asked_for(route: &Route, headers: &HeaderMap, has_format: bool) -> bool {
    OPERATIONS.contains(&route.row.name)
        && route.row.verb == Verb::Get
        && !has_format
        && prefers_html(headers)
}

/// Replaces the Parameters resource by the page that it contains. A response without a page stays as it is.
pub(super) fn unwrapped(
    answer: &Answer,
    response: Response<WireBody>,
    without_body: bool,
) -> Response<WireBody> {
    let Some(html) = answer.body.json().and_then(page_in) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // The page contains its style and loads or runs nothing else.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    parts.headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Response::from_parts(parts, if without_body { WireBody::empty() } else { WireBody::from(html) })
}

fn page_in(parameters: &str) -> Option<Vec<u8>> {
    let tree = parse(parameters.as_bytes().to_vec()).ok()?;
    let mut all = tree.root().items_at("parameter");
    let page = all.find(|parameter| parameter.str_at("name") == Some(PARAMETER))?.get("resource")?;
    decode_base64(page.str_at("data")?)
}

//! Answers and refusals as HTTP responses. A body can only be disclosed or public content, because [`Answer`] has no other.
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body as WireBody;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::model::{IssueCode, Millis, Outcome, parse, prettify, to_xml};
use crate::operations::{Answer, Refusal};

use super::negotiate::Format;
use super::observe::Label;

/// How the response to a request is written.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseFormat {
    pub(super) format: Format,
    /// HEAD: the response has no body.
    pub(super) without_body: bool,
    pub(super) pretty: bool,
    /// Whether the request has an `Authorization` header.
    pub(super) has_token: bool,
    pub(super) request_id: String,
    /// The interaction and resource type, for the metrics.
    pub(super) label: Label,
}

pub(super) fn answer(answer: &Answer, manner: &ResponseFormat) -> Response<WireBody> {
    let mut response = text(answer.kind.status(), answer.body.json(), manner);
    let headers = response.headers_mut();
    if let Some(version) = &answer.version_id {
        set(headers, ETAG, &format!("W/\"{version}\""));
    }
    if let Some(time) = answer.last_modified {
        set(headers, LAST_MODIFIED, &http_date(time));
    }
    if let Some(location) = &answer.location {
        set(headers, LOCATION, location);
    }
    response
}

pub(super) fn refusal(refusal: &Refusal, manner: &ResponseFormat) -> Response<WireBody> {
    let status = refusal.kind.status();
    let mut response = text(status, Some(&refusal.outcome.to_json()), manner);
    let headers = response.headers_mut();
    if status == 401 {
        // RFC 6750 section 3.1: without a token in the request, the challenge has no error code.
        let error = if manner.has_token { ", error=\"invalid_token\"" } else { "" };
        set(headers, WWW_AUTHENTICATE, &format!("Bearer realm=\"fhir\"{error}"));
    }
    if status == 415 {
        // RFC 9110 section 15.5.16: names the supported content codings.
        set(headers, ACCEPT_ENCODING, "gzip, br");
    }
    if status == 503 {
        set(headers, RETRY_AFTER, "5");
    }
    response
}

/// Adds the `Allow` header that a 405 must have.
pub(super) fn with_allow(mut response: Response<WireBody>, methods: &[&str]) -> Response<WireBody> {
    set(response.headers_mut(), ALLOW, &methods.join(", "));
    response
}

/// An empty answer that names the methods of a path (RFC 9110 section 9.3.7).
pub(super) fn options(methods: &[&str], manner: &ResponseFormat) -> Response<WireBody> {
    with_allow(text(204, None, manner), methods)
}

fn text(status: u16, json: Option<&str>, manner: &ResponseFormat) -> Response<WireBody> {
    let mut status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match (json, manner.format) {
        (Some(json), Format::Json) if manner.pretty => Some(as_pretty(json)),
        (Some(json), Format::Json) => Some(json.to_owned()),
        (Some(json), Format::Xml) => match as_xml(json) {
            Ok(xml) => Some(xml),
            Err(outcome) => {
                status = StatusCode::INTERNAL_SERVER_ERROR;
                as_xml(&outcome.to_json()).ok()
            }
        },
        (None, _) => None,
    };
    let has_body = body.is_some();
    let wire = match body {
        Some(body) if !manner.without_body => WireBody::from(body),
        _ => WireBody::empty(),
    };
    let mut response = Response::new(wire);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if has_body {
        set(headers, CONTENT_TYPE, manner.format.media_type());
    }
    set(headers, CACHE_CONTROL, "private, no-cache");
    set(headers, VARY, "Authorization, Accept");
    set(headers, HeaderName::from_static("x-request-id"), &manner.request_id);
    set(headers, HeaderName::from_static("x-content-type-options"), "nosniff");
    response
}

fn as_pretty(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    match parse(json.as_bytes().to_vec()) {
        Ok(tree) => prettify(tree.root(), 0, &mut text),
        Err(_) => text.push_str(json),
    }
    text
}

fn as_xml(json: &str) -> Result<String, Outcome> {
    let tree = parse(json.as_bytes().to_vec()).map_err(|error| {
        Outcome::error(IssueCode::Exception, "the answer cannot be written").because(error.to_string())
    })?;
    to_xml(tree.root())
}

/// A value that HTTP forbids leaves the header out.
fn set(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The last millisecond of the year 9999, in milliseconds since 1970.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// An HTTP date (RFC 9110 section 5.6.7).
fn http_date(time: Millis) -> String {
    // The year in the format has four digits.
    let millis = u64::try_from(time).unwrap_or(0).min(LAST_MILLIS);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_are_written_as_http_has_them() {
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}

//! Answers and refusals as HTTP responses. The wire takes only what `operations` made of disclosed and public texts.
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body as WireBody;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::model::{IssueCode, Millis, Outcome, parse, prettify, to_xml};
use crate::operations::{Answer, Refusal};

use super::negotiate::Format;
use super::observe::Label;

/// How the request wants to be answered.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseFormat {
    pub(super) format: Format,
    /// HEAD: everything but the body.
    pub(super) without_body: bool,
    pub(super) pretty: bool,
    /// Whether a token was sent.
    pub(super) has_token: bool,
    pub(super) request_id: String,
    /// What was asked for.
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
        // RFC 6750 section 3.1: who sent no token is told no error.
        let error = if manner.has_token { ", error=\"invalid_token\"" } else { "" };
        set(headers, WWW_AUTHENTICATE, &format!("Bearer realm=\"fhir\"{error}"));
    }
    if status == 415 {
        // RFC 9110 section 15.5.16: what would be taken.
        set(headers, ACCEPT_ENCODING, "gzip, br");
    }
    if status == 503 {
        set(headers, RETRY_AFTER, "5");
    }
    response
}

/// 405 names what is allowed.
pub(super) fn with_allow(mut response: Response<WireBody>, methods: &[&str]) -> Response<WireBody> {
    set(response.headers_mut(), ALLOW, &methods.join(", "));
    response
}

/// An empty answer that names the methods of a path; to a browser that asks before it sends, what it may send.
pub(super) fn options(methods: &[&str], manner: &ResponseFormat) -> Response<WireBody> {
    let mut response = with_allow(text(204, None, manner), methods);
    let headers = response.headers_mut();
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, &methods.join(", "));
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, SENT_HEADERS);
    set(headers, ACCESS_CONTROL_MAX_AGE, "600");
    response
}

/// What pages of other origins may send and see. Any origin may ask: who asks is known by a token that no browser adds
/// by itself.
const SENT_HEADERS: &str = "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, If-Unmodified-Since, Prefer, X-Provenance, X-Request-Id";
const SEEN_HEADERS: &str = "Content-Location, ETag, Last-Modified, Location, X-Request-Id";

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
    set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, SEEN_HEADERS);
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

/// Header values are made of our own texts; one that HTTP forbids is left out rather than guessed at.
fn set(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The last millisecond of the year 9999.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// An HTTP date (RFC 9110 section 5.6.7).
fn http_date(time: Millis) -> String {
    // The format has no more than four digits for the year.
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

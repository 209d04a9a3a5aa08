//! Binary by its own content type (R4 binary.html#rest): as bytes to whoever does not ask for a FHIR format, and from
//! bytes by whoever does not send one.
use axum::body::{Body as WireBody, Bytes};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use futures_util::stream;

use crate::model::{IssueCode, Tree, parse, quote, xml_root};
use crate::model::{decode_base64, encode_base64};
use crate::operations::{Answer, Payload, Refusal, RefusalKind};

use super::negotiate::{self, Content, Format};

/// Whether a request reads a Binary as bytes: it names no FHIR format, neither in `Accept` nor in `_format`.
pub(super) fn is_raw_read(method: &Method, path: &[String], headers: &HeaderMap, has_format: bool) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD)
        && (path.len() == 2 || (path.len() == 4 && path.get(2).is_some_and(|segment| segment == "_history")));
    let is_binary = path.first().is_some_and(|segment| segment == "Binary");
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    is_read && is_binary && !has_format && !accept.into_iter().any(|value| value.contains("fhir"))
}

/// Whether a request writes a Binary: by its resource, or by any other content, which is taken as bytes.
pub(super) fn is_write(method: &Method, path: &[String]) -> bool {
    matches!(*method, Method::POST | Method::PUT)
        && path.len() <= 2
        && path.get(1).is_none_or(|segment| !segment.starts_with(['_', '$']))
        && path.first().is_some_and(|segment| segment == "Binary")
}

/// Reads what is written to a Binary: the resource, where the content is one (R4 binary.html#rest), and else one made of the bytes.
pub(super) fn read(path: &[String], headers: &HeaderMap, bytes: &[u8]) -> Result<Payload, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.to_ascii_lowercase();
    let says_fhir = ["fhir+json", "fhir+xml"].iter().any(|format| media_type.contains(format));
    let malformed = |what: &str| {
        let issue = crate::model::Issue::error(IssueCode::Structure, format!("the content is no {what}"));
        Refusal::new(RefusalKind::BadRequest, issue)
    };
    let content = negotiate::content(headers);
    match content {
        Content::Resource(Format::Json) => match parse(bytes.to_vec()) {
            Ok(tree) if tree.root().str_at("resourceType") == Some("Binary") => {
                return Ok(Payload::Resource(tree));
            }
            Err(_) if says_fhir => return Err(malformed("JSON")),
            Ok(_) | Err(_) => {}
        },
        Content::Resource(Format::Xml) => match xml_root(bytes) {
            Some(root) if root.as_deref() == Some("Binary") => {
                return super::payload::read(content, bytes.to_vec());
            }
            None if says_fhir => return Err(malformed("XML")),
            Some(_) | None => {}
        },
        // It may well be a Binary of another release: as bytes, nobody would see what is in it.
        Content::Unknown if says_fhir => {
            let issue = crate::model::Issue::error(
                IssueCode::NotSupported,
                "the content is of another release of FHIR",
            );
            return Err(Refusal::new(RefusalKind::UnsupportedMediaType, issue));
        }
        Content::JsonPatch | Content::Form | Content::Unknown => {}
    }
    wrap(path, headers, bytes).map(Payload::Resource)
}

/// The resource of bytes that were sent.
fn wrap(path: &[String], headers: &HeaderMap, bytes: &[u8]) -> Result<Tree, Refusal> {
    let refuse = || {
        let issue = crate::model::Issue::error(IssueCode::NotSupported, "the content type is no media type");
        Refusal::new(RefusalKind::UnsupportedMediaType, issue)
    };
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(refuse)?;
    let mut text = String::from("{\"resourceType\":\"Binary\",");
    if let Some(id) = path.get(1) {
        text.push_str("\"id\":");
        quote(id, &mut text);
        text.push(',');
    }
    if let Some(context) = headers.get("x-security-context") {
        // R4 binary.html#security-context.
        let wrong = || {
            let issue = crate::model::Issue::error(IssueCode::Value, "X-Security-Context is no reference");
            Refusal::new(RefusalKind::BadRequest, issue)
        };
        text.push_str("\"securityContext\":{\"reference\":");
        quote(context.to_str().ok().filter(|context| !context.is_empty()).ok_or_else(wrong)?, &mut text);
        text.push_str("},");
    }
    text.push_str("\"contentType\":");
    quote(content_type, &mut text);
    text.push_str(",\"data\":");
    quote(&encode_base64(bytes), &mut text);
    text.push('}');
    parse(text.into_bytes()).map_err(|_| refuse())
}

/// Puts the bytes in the place of the resource. What is not one (a 304, say) stays as it is.
pub(super) fn unwrapped(
    answer: &Answer,
    response: Response<WireBody>,
    without_body: bool,
) -> Response<WireBody> {
    let Some(tree) = answer.body.json().and_then(|json| parse(json.as_bytes().to_vec()).ok()) else {
        return response;
    };
    let root = tree.root();
    let data: String = root.str_at("data").unwrap_or_default().split_whitespace().collect();
    let Some(content_type) = root.str_at("contentType") else { return response };
    let Ok(content_type) = HeaderValue::from_str(content_type) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::OK;
    parts.headers.insert(CONTENT_TYPE, content_type);
    // What somebody stored must not run in the page of whoever opens it.
    parts.headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Response::from_parts(parts, if without_body { WireBody::empty() } else { streamed(data) })
}

/// How much of the text is decoded at once: whole groups of four digits.
const CHUNK_DIGITS: usize = 64 * 1024;

/// The bytes as they are sent, so that a large Binary is never in memory twice.
fn streamed(data: String) -> WireBody {
    let chunks = (0..data.len().div_ceil(CHUNK_DIGITS)).map(move |number| {
        let end = data.len().min((number + 1) * CHUNK_DIGITS);
        let digits = data.get(number * CHUNK_DIGITS..end).unwrap_or_default();
        decode_base64(digits).map(Bytes::from).ok_or(std::io::Error::other("the Binary holds no base64"))
    });
    WireBody::from_stream(stream::iter(chunks))
}

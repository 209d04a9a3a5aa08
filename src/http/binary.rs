//! Binary in its native content type (R4 binary.html#rest): reads that name no FHIR format get the bytes, and writes with
//! another content type are wrapped in a Binary resource.
use axum::body::{Body as WireBody, Bytes};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use futures_util::stream;

use crate::model::{IssueCode, Tree, parse, quote, xml_root};
use crate::model::{decode_base64, encode_base64};
use crate::operations::{Answer, Code, Payload, Refusal, RefusalKind, Route};

use super::negotiate::{self, Content, Format};

/// Whether a request reads a Binary as bytes: neither `Accept` nor `_format` names a FHIR format.
pub(super) fn is_raw_read(route: &Route, headers: &HeaderMap, has_format: bool) -> bool {
    let is_read = matches!(route.row.code, Code::Read | Code::Vread) && route.type_name() == "Binary";
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    is_read && !has_format && !accept.into_iter().any(|value| value.contains("fhir"))
}

/// Whether a request writes a Binary, either as a Binary resource or as content of any other type.
pub(super) fn is_write(route: &Route) -> bool {
    matches!(route.row.code, Code::Create | Code::Update | Code::ConditionalUpdate)
        && route.type_name() == "Binary"
}

/// Reads the body of a write to Binary (R4 binary.html#rest): a Binary resource as it is, any other content wrapped in one.
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
        // A Binary of another FHIR release must not be stored as plain bytes: readers would not find its content.
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

/// Wraps the bytes in a Binary resource.
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

/// Replaces the Binary resource in the response by its bytes. A response without a resource, such as a 304, stays as it is.
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
    // Uploaded content must not run scripts in the browser of whoever opens it.
    parts.headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Response::from_parts(parts, if without_body { WireBody::empty() } else { streamed(data) })
}

/// How much base64 is decoded at once: a multiple of 4 digits, so that every chunk decodes by itself.
const CHUNK_DIGITS: usize = 64 * 1024;

/// Decodes the data while it is sent, so that a large Binary is never in memory twice.
fn streamed(data: String) -> WireBody {
    let chunks = (0..data.len().div_ceil(CHUNK_DIGITS)).map(move |number| {
        let end = data.len().min((number + 1) * CHUNK_DIGITS);
        let digits = data.get(number * CHUNK_DIGITS..end).unwrap_or_default();
        decode_base64(digits).map(Bytes::from).ok_or(std::io::Error::other("the Binary holds no base64"))
    });
    WireBody::from_stream(stream::iter(chunks))
}

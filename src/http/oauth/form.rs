//! Input of the authorization server: bodies of a bounded size, form fields, headers and the cookie.
use axum::body::Body as WireBody;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::{HeaderMap, HeaderName};

use crate::auth::{Fields, OauthCode, OauthError};
use crate::model::hex;
use crate::operations::decode_pairs;
use crate::store::random_bytes;

/// The largest body of a request to the authorization server, in bytes.
const BODY_BYTES_MAX: usize = 128 * 1024;

fn invalid(description: &str) -> OauthError {
    OauthError::new(OauthCode::InvalidRequest, description)
}

/// The body as UTF-8 text.
pub(super) async fn text(body: WireBody) -> Result<String, OauthError> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| invalid("the body is larger than what is taken here"))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| invalid("the body is no text"))
}

/// The fields of a form body (RFC 6749 appendix B).
pub(super) async fn fields(headers: &HeaderMap, body: WireBody) -> Result<Fields, OauthError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let content_type = header(headers, CONTENT_TYPE).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Err(invalid("the body is a form"));
    }
    Ok(Fields::new(decode_pairs(&text(body).await?)))
}

/// The value of a header; `None` if the header is missing or repeated.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

pub(super) fn authorization(headers: &HeaderMap) -> Option<String> {
    header(headers, AUTHORIZATION).map(str::to_owned)
}

/// The name of the cookie that binds forms to a browser.
const COOKIE_NAME: &str = "chartward-dialogue";
/// The length of the cookie's value, in hexadecimal digits.
const COOKIE_LEN: usize = 64;

/// The browser's cookie, if it has the form that this server sets.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE_NAME)?;
    let is_ours = value.len() == COOKIE_LEN && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| value.to_owned())
}

/// The `Set-Cookie` value for the cookie.
pub(super) fn set_cookie(cookie: &str, base_url: &str) -> String {
    let secure = if base_url.starts_with("https:") { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={cookie}; Path=/auth; HttpOnly; SameSite=Lax{secure}")
}

/// A random cookie for a browser that has none.
pub(super) fn fresh_cookie() -> Option<String> {
    random_bytes::<{ COOKIE_LEN / 2 }>().ok().map(|bytes| hex(&bytes))
}

//! The endpoints that programs call: token, introspection, revocation, key set, and the discovery documents.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::auth::{AuthorizationContext, Fields, OauthCode, OauthError};
use crate::operations::{Engine, Refused};

use super::super::listen::shown;
use super::super::unknown::RefusalRecord;
use super::form;

/// How long public documents may be cached.
const PUBLIC_CACHE: &str = "max-age=300";
/// Nobody may cache responses with tokens (RFC 6749 section 5.1).
const NO_CACHE: &str = "no-store";
/// The `Retry-After` of a 429, in seconds.
pub(super) const RETRY_SECONDS: &str = "10";

/// A JSON response that pages of every origin may read, because no browser adds a client's credentials by itself.
pub(super) fn answered(status: StatusCode, body: &Value, cache: &'static str) -> Response<WireBody> {
    let mut response = Response::new(WireBody::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if cache == NO_CACHE {
        // SMART App Launch requires `Pragma` in addition to `Cache-Control`.
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    }
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// An error response as in RFC 6749 section 5.2.
pub(super) fn failed(error: &OauthError) -> Response<WireBody> {
    let status = match error.code {
        OauthCode::InvalidClient => StatusCode::UNAUTHORIZED,
        OauthCode::ServerError => StatusCode::SERVICE_UNAVAILABLE,
        OauthCode::TemporarilyUnavailable => StatusCode::TOO_MANY_REQUESTS,
        OauthCode::AccessDenied | OauthCode::LoginRequired => StatusCode::FORBIDDEN,
        OauthCode::InvalidRequest
        | OauthCode::InvalidGrant
        | OauthCode::InvalidScope
        | OauthCode::UnauthorizedClient
        | OauthCode::UnsupportedGrantType
        | OauthCode::UnsupportedResponseType => StatusCode::BAD_REQUEST,
    };
    let body = json!({"error": error.code.text(), "error_description": error.description});
    let mut response = answered(status, &body, NO_CACHE);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"auth\""));
    }
    response
}

/// Handles a form sent to the token, introspection or revocation endpoint, on a thread that may wait for the disk.
async fn dealt_with(
    engine: Arc<Engine>,
    request: WireRequest,
    deal: fn(&AuthorizationContext<'_>, Option<&str>, &Fields) -> Result<Value, OauthError>,
) -> Response<WireBody> {
    let (parts, body) = request.into_parts();
    let fields = match form::fields(&parts.headers, body).await {
        Ok(fields) => fields,
        Err(error) => return failed(&error),
    };
    let authorization = form::authorization(&parts.headers);
    let certificate = shown(&parts.extensions).map(|shown| shown.sha256);
    let work = move || {
        let context = engine.authorization().shown(certificate);
        let result = deal(&context, authorization.as_deref(), &fields);
        let claimed = AuthorizationContext::claimed_client(authorization.as_deref(), &fields);
        (on_record(&engine, result, &fields), claimed)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok((Ok(answer), _)) => answered(StatusCode::OK, &answer, NO_CACHE),
        Ok((Err(error), claimed)) => {
            let is_unproven = matches!(
                error.code,
                OauthCode::InvalidClient | OauthCode::InvalidGrant | OauthCode::TemporarilyUnavailable
            );
            let mut response = failed(&error);
            if is_unproven {
                response.extensions_mut().insert(RefusalRecord::Counted(Refused::Client, claimed));
            }
            response
        }
        Err(_) => failed(&OauthError::new(OauthCode::ServerError, "the request failed")),
    }
}

/// Records the issue of a token before the client gets the token.
fn on_record(
    engine: &Engine,
    result: Result<Value, OauthError>,
    fields: &Fields,
) -> Result<Value, OauthError> {
    let answer = result?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(token) = text("access_token") {
        let failed = || OauthError::new(OauthCode::ServerError, "the token cannot be recorded");
        let party = engine.issuer().verify(token, engine.authorization().now()).map_err(|_| failed())?;
        let grant_type = fields.one("grant_type").ok().flatten().unwrap_or_default();
        let line = format!("POST /auth/token {grant_type} {}", text("scope").unwrap_or_default());
        engine.record_beside(&party, line, StatusCode::OK.as_u16()).map_err(|_| failed())?;
    }
    Ok(answer)
}

pub(super) async fn token(State(engine): State<Arc<Engine>>, request: WireRequest) -> Response<WireBody> {
    dealt_with(engine, request, |context, authorization, fields| context.token(authorization, fields)).await
}

pub(super) async fn introspect(
    State(engine): State<Arc<Engine>>,
    request: WireRequest,
) -> Response<WireBody> {
    dealt_with(engine, request, |context, authorization, fields| context.introspect(authorization, fields))
        .await
}

pub(super) async fn revoke(State(engine): State<Arc<Engine>>, request: WireRequest) -> Response<WireBody> {
    let revoke = |context: &AuthorizationContext<'_>, authorization: Option<&str>, fields: &Fields| {
        context.revoke(authorization, fields).map(|()| json!({}))
    };
    dealt_with(engine, request, revoke).await
}

/// The public key set. Generating the first RSA key takes a moment, so a blocking thread does it.
pub(super) async fn jwks(State(engine): State<Arc<Engine>>) -> Response<WireBody> {
    match tokio::task::spawn_blocking(move || engine.authorization().jwks()).await {
        Ok(Ok(keys)) => answered(StatusCode::OK, &keys, PUBLIC_CACHE),
        Ok(Err(error)) => failed(&error),
        Err(_) => failed(&OauthError::new(OauthCode::ServerError, "the request failed")),
    }
}

pub(super) async fn smart_configuration(State(engine): State<Arc<Engine>>) -> Response<WireBody> {
    answered(StatusCode::OK, &engine.authorization().smart_configuration(), PUBLIC_CACHE)
}

pub(super) async fn openid_configuration(State(engine): State<Arc<Engine>>) -> Response<WireBody> {
    answered(StatusCode::OK, &engine.authorization().openid_configuration(), PUBLIC_CACHE)
}

pub(super) async fn smart_style(State(engine): State<Arc<Engine>>) -> Response<WireBody> {
    answered(StatusCode::OK, &engine.authorization().smart_style(), PUBLIC_CACHE)
}

//! Authentication of requests: the party of the bearer token, and the check that only administrators reach `/admin`.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;

use crate::auth::Party;
use crate::model::{Issue, IssueCode};
use crate::operations::{Engine, Refusal, RefusalKind};

use super::listen::ShownCertificate;
use super::unknown::on_record as marked_on_record;

fn refuse(kind: RefusalKind, code: IssueCode, message: &str) -> Refusal {
    Refusal::new(kind, Issue::error(code, message))
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(refuse(RefusalKind::Unauthorized, IssueCode::Login, "the server takes bearer tokens")),
    }
}

/// The party of the request. If another server or a database must be asked about the token, a blocking thread waits.
pub(super) async fn party(
    engine: &Arc<Engine>,
    headers: &HeaderMap,
    certificate: Option<ShownCertificate>,
) -> Result<Arc<Party>, Refusal> {
    let token = bearer(headers)?.map(str::to_owned);
    let waits = token.as_ref().is_some_and(|token| engine.may_ask_others(token));
    let engine = engine.clone();
    let ask = move || {
        let certificate = certificate.map(|shown| shown.sha256);
        engine.authenticate_with(token.as_deref(), certificate.as_ref())
    };
    if !waits {
        return ask();
    }
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.unwrap_or_else(|_| Err(refuse(RefusalKind::Internal, IssueCode::Exception, "the request failed")))
}

/// The party of a token that the server's own key has signed; `None` for every other token.
pub(super) fn by_own_key(engine: &Engine, headers: &HeaderMap) -> Option<Arc<Party>> {
    let token = bearer(headers).ok()??;
    engine.issuer().verify(token, engine.authorization().now()).ok()
}

/// A refusal by authentication or by the check for administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAdmitted {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
    /// Whether the refusal is already in an access record, because the party is known.
    pub(super) on_record: bool,
}

impl NotAdmitted {
    pub(super) fn unknown(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, on_record: false }
    }

    pub(super) fn known(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, on_record: true }
    }

    /// Marks a response to a recorded refusal, so that the counter of unknown senders does not count it again.
    pub(super) fn noted(self, response: Response<WireBody>) -> Response<WireBody> {
        if self.on_record { marked_on_record(response) } else { response }
    }
}

impl IntoResponse for NotAdmitted {
    fn into_response(self) -> Response<WireBody> {
        self.noted((self.status, self.message).into_response())
    }
}

/// Records what a party did beside the API. Callers wait for it before they answer.
pub(super) async fn on_record(
    engine: &Arc<Engine>,
    party: &Arc<Party>,
    line: String,
    status: StatusCode,
) -> Result<(), NotAdmitted> {
    let (engine, party) = (engine.clone(), party.clone());
    recorded(move || engine.record_beside(&party, line, status.as_u16())).await
}

/// Stores an access record on a blocking thread, because it may wait for the disk.
pub(super) async fn recorded(
    record: impl FnOnce() -> Result<(), Refusal> + Send + 'static,
) -> Result<(), NotAdmitted> {
    match tokio::task::spawn_blocking(record).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            Err(NotAdmitted::known(StatusCode::SERVICE_UNAVAILABLE, "the access cannot be recorded"))
        }
    }
}

/// Records that a known party was refused, and returns the refusal.
pub(super) async fn refused(
    engine: &Arc<Engine>,
    party: &Arc<Party>,
    line: String,
    (status, message): (StatusCode, &'static str),
) -> NotAdmitted {
    match on_record(engine, party, line, status).await {
        Ok(()) => NotAdmitted::known(status, message),
        Err(stopped) => stopped,
    }
}

/// Admits an administrator of the server's own organization. `line` is the request line for the access record of a refusal.
pub(super) async fn administrator(
    engine: &Arc<Engine>,
    headers: &HeaderMap,
    line: &str,
) -> Result<Arc<Party>, NotAdmitted> {
    let Ok(party) = party(engine, headers, None).await else {
        return Err(NotAdmitted::unknown(StatusCode::UNAUTHORIZED, "an access token is needed"));
    };
    if engine.may_administer(&party) {
        return Ok(party);
    }
    let message = "this is for administrators, and for apps that one has let administer";
    Err(refused(engine, &party, line.to_owned(), (StatusCode::FORBIDDEN, message)).await)
}

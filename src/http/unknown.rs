//! Counts refusals of unknown senders; every response passes here. A handler marks its response if the refusal is already
//! recorded, or if it knows the name that the sender has claimed. A refusal without a mark came from a layer before the
//! handlers.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Response, StatusCode};
use axum::middleware::Next;

use crate::operations::{Engine, Refused, Unknown};

use super::listen::address;

/// Whether a refusal is recorded or must be counted, as an extension of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefusalRecord {
    /// The handler has recorded the refusal of a known party.
    OnRecord,
    /// The refusal must be counted, under the claimed client id or user name.
    Counted(Refused, Option<String>),
}

/// Marks a response to a known party as already recorded.
pub(super) fn on_record(mut response: Response<WireBody>) -> Response<WireBody> {
    response.extensions_mut().insert(RefusalRecord::OnRecord);
    response
}

/// Counts the refusals that no handler has recorded.
pub(super) async fn count(
    State(engine): State<Arc<Engine>>,
    request: WireRequest,
    next: Next,
) -> Response<WireBody> {
    let address = address(request.extensions());
    let has_token = request.headers().contains_key(AUTHORIZATION);
    let response = next.run(request).await;
    let status = response.status();
    let (refused, name) = match response.extensions().get::<RefusalRecord>() {
        Some(RefusalRecord::OnRecord) => return response,
        Some(RefusalRecord::Counted(refused, name)) => (*refused, name.clone()),
        None if status == StatusCode::UNAUTHORIZED && has_token => (Refused::AccessToken, None),
        None if status == StatusCode::UNAUTHORIZED => (Refused::NoToken, None),
        None if status.is_client_error() => (Refused::Request, None),
        None => return response,
    };
    let is_named = name.is_some();
    let count = move || {
        engine.count_refusal(refused, Unknown { name: name.as_deref(), address: address.as_deref() });
    };
    if is_named {
        // Looking the name up may read a database. If counting fails, the response is sent all the same.
        let _ = tokio::task::spawn_blocking(count).await;
    } else {
        count();
    }
    response
}

//! Counts the refusals of requests whose sender is not known. Every answer passes here. A handler that has put a refusal on record marks
//! its answer so, or marks it with the name that the sender has claimed; a refusal without a mark is one of a request that no
//! handler has seen.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::{Request as WireRequest, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Response, StatusCode};
use axum::middleware::Next;

use crate::operations::{Engine, Refused, Unknown};

use super::listen::address;

/// What a handler has done about the record of a refusal, as an extension of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefusalRecord {
    /// It is on record, as that of a known party.
    OnRecord,
    /// It is to be counted, under the name that was said.
    Counted(Refused, Option<String>),
}

/// The answer to a known party, on record.
pub(super) fn on_record(mut response: Response<WireBody>) -> Response<WireBody> {
    response.extensions_mut().insert(RefusalRecord::OnRecord);
    response
}

/// Counts the refusals that are not on record.
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
        // A name may have to be looked up in a database. That it could not be counted takes nothing from the answer.
        let _ = tokio::task::spawn_blocking(count).await;
    } else {
        count();
    }
    response
}

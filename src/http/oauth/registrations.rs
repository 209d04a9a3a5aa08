//! The endpoints on which administrators of the server's own organization manage the registrations of clients and users:
//! list, show, add, change, remove, enable, disable, and set a password.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::{Value, json};

use crate::auth::{Register, Registration, RegistrationStatus, Registry, RegistryError, User};
use crate::model::Millis;
use crate::operations::Engine;

use super::super::authentication::administrator;
use super::super::unknown::on_record;
use super::endpoints::answered;
use super::form;

fn told(status: StatusCode, message: &str) -> Response<WireBody> {
    answered(status, &json!({"error": message}), "no-store")
}

fn refused(error: &RegistryError) -> Response<WireBody> {
    let status = match error {
        RegistryError::Exists => StatusCode::CONFLICT,
        RegistryError::Absent => StatusCode::NOT_FOUND,
        RegistryError::Invalid(_) => StatusCode::BAD_REQUEST,
        RegistryError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    told(status, &error.to_string())
}

/// The id of a registration: a client's `client_id` or a user's `name`.
fn id_of(shown: &Value) -> Option<&str> {
    shown.get("client_id").or_else(|| shown.get("name"))?.as_str()
}

/// The head of a request. The path names the registration and the change.
type Head = (Method, Uri, HeaderMap);

/// The id and the change in a path below the registrations of a kind. Ids contain no characters that need decoding.
fn asked<T: Registration>(uri: &Uri) -> (&str, &str) {
    let below = uri.path().strip_prefix(T::PATH).unwrap_or_default().trim_start_matches('/');
    below.split_once('/').unwrap_or((below, ""))
}

/// Handles an administrator's request and records it before the response is sent.
async fn dealt_with(
    engine: Arc<Engine>,
    (method, uri, headers): Head,
    status: StatusCode,
    deal: impl FnOnce(&Registry, &Uri, Millis) -> Result<Value, RegistryError> + Send + 'static,
) -> Response<WireBody> {
    let line = format!("{method} {}", uri.path());
    let party = match administrator(&engine, &headers, &line).await {
        Ok(party) => party,
        Err(stopped) => return stopped.noted(told(stopped.status, stopped.message)),
    };
    let work = move || {
        let result = deal(&engine.authorization.registry, &uri, engine.authorization().now());
        let response = match &result {
            Ok(answer) => answered(status, answer, "no-store"),
            Err(error) => refused(error),
        };
        let made = result.as_ref().ok().filter(|_| status == StatusCode::CREATED).and_then(id_of);
        let line = made.map_or_else(|| line.clone(), |id| format!("{line} {id}"));
        match engine.record_beside(&party, line, response.status().as_u16()) {
            Ok(()) => on_record(response),
            Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, "the access cannot be recorded"),
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
    }
}

/// Like [`dealt_with`], with the text of the body.
async fn dealt_with_text(
    engine: Arc<Engine>,
    (head, body): (Head, WireBody),
    status: StatusCode,
    deal: impl FnOnce(&Registry, &Uri, &str, Millis) -> Result<Value, RegistryError> + Send + 'static,
) -> Response<WireBody> {
    let text = form::text(body).await.map_err(|error| RegistryError::Invalid(error.description));
    dealt_with(engine, head, status, move |registry, uri, now| deal(registry, uri, &text?, now)).await
}

pub(super) async fn list<T: Registration>(
    State(engine): State<Arc<Engine>>,
    head: Head,
) -> Response<WireBody> {
    dealt_with(engine, head, StatusCode::OK, |registry, _, _| {
        Ok(registry.list::<T>()?.iter().map(T::shown).collect())
    })
    .await
}

pub(super) async fn show<T: Registration>(
    State(engine): State<Arc<Engine>>,
    head: Head,
) -> Response<WireBody> {
    dealt_with(engine, head, StatusCode::OK, |registry, uri, _| {
        let (id, _) = asked::<T>(uri);
        Ok(registry.find::<T>(id)?.ok_or(RegistryError::Absent)?.shown())
    })
    .await
}

pub(super) async fn add<T: Register>(
    State(engine): State<Arc<Engine>>,
    head: Head,
    body: WireBody,
) -> Response<WireBody> {
    dealt_with_text(engine, (head, body), StatusCode::CREATED, |registry, _, text, _| {
        T::register(registry, text)
    })
    .await
}

/// Changes members of a registration (RFC 7396: `null` removes a member).
pub(super) async fn update<T: Registration>(
    State(engine): State<Arc<Engine>>,
    head: Head,
    body: WireBody,
) -> Response<WireBody> {
    dealt_with_text(engine, (head, body), StatusCode::OK, |registry, uri, text, now| {
        let (id, _) = asked::<T>(uri);
        registry.update::<T>(id, text, now)
    })
    .await
}

/// Removes a registration; its id is never given to another one.
pub(super) async fn remove<T: Registration>(
    State(engine): State<Arc<Engine>>,
    head: Head,
) -> Response<WireBody> {
    dealt_with(engine, head, StatusCode::OK, |registry, uri, now| {
        let (id, _) = asked::<T>(uri);
        registry.remove::<T>(id, now)?;
        Ok(json!({"id": id, "removed": true}))
    })
    .await
}

/// Enables or disables a registration, or changes a user's password.
pub(super) async fn change<T: Registration>(
    State(engine): State<Arc<Engine>>,
    head: Head,
    body: WireBody,
) -> Response<WireBody> {
    dealt_with_text(engine, (head, body), StatusCode::OK, |registry, uri, text, now| {
        let (id, change) = asked::<T>(uri);
        let enabling = match change {
            "password" if T::PATH == User::PATH => {
                registry.change_password(id, text, now)?;
                return Ok(json!({"id": id}));
            }
            "disable" => RegistrationStatus::Disabled,
            "enable" => RegistrationStatus::Enabled,
            _ => return Err(RegistryError::Absent),
        };
        registry.enable::<T>(id, enabling, now)?;
        Ok(json!({"id": id, "disabled": enabling == RegistrationStatus::Disabled}))
    })
    .await
}

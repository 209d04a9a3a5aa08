//! Registrations of clients and users, for administrators of the own organization: listed, shown, added, changed, removed, disabled,
//! enabled, with another password.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::{Value, json};

use crate::auth::{Enabling, Registry, RegistryError};
use crate::model::Millis;
use crate::operations::Engine;

use super::super::asker::administrator;
use super::super::unknown::on_record;
use super::endpoints::answered;
use super::form;

/// What a registration is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Client,
    User,
}

/// A path below `/admin`: the kind, the id, and what to do.
struct Asked {
    kind: Kind,
    id: String,
    change: String,
}

impl Asked {
    fn of(uri: &Uri) -> Option<Self> {
        let mut parts = uri.path().strip_prefix("/admin/")?.split('/');
        let kind = match parts.next()? {
            "clients" => Kind::Client,
            "users" => Kind::User,
            _ => return None,
        };
        // Ids are made of letters that no encoding changes.
        let mut next = || parts.next().unwrap_or_default().to_owned();
        Some(Self { kind, id: next(), change: next() })
    }
}

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

/// The id of what was registered.
fn id_of(shown: &Value) -> Option<&str> {
    shown.get("client_id").or_else(|| shown.get("name"))?.as_str()
}

/// Deals with a request of an administrator, and puts it on record before it is answered.
async fn dealt_with(
    engine: Arc<Engine>,
    (headers, method, uri): (HeaderMap, Method, Uri),
    status: StatusCode,
    deal: impl FnOnce(&Registry, &Asked, Millis) -> Result<Value, RegistryError> + Send + 'static,
) -> Response<WireBody> {
    let asked = Asked::of(&uri);
    let line = format!("{method} {}", uri.path());
    let party = match administrator(&engine, &headers, &line).await {
        Ok(party) => party,
        Err(stopped) => return stopped.noted(told(stopped.status, stopped.message)),
    };
    let work = move || {
        let registry = &engine.authorization.registry;
        let result = match &asked {
            Some(asked) => deal(registry, asked, engine.desk().now()),
            None => Err(RegistryError::Absent),
        };
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

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<WireBody> {
    dealt_with(engine, (headers, method, uri), StatusCode::OK, |registry, asked, _| {
        let shown: Vec<Value> = match asked.kind {
            Kind::Client => registry.clients()?.iter().map(crate::auth::Client::shown).collect(),
            Kind::User => registry.users()?.iter().map(crate::auth::User::shown).collect(),
        };
        Ok(Value::Array(shown))
    })
    .await
}

pub(super) async fn show(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<WireBody> {
    dealt_with(engine, (headers, method, uri), StatusCode::OK, |registry, asked, _| {
        let shown = match asked.kind {
            Kind::Client => registry.client(&asked.id)?.map(|client| client.shown()),
            Kind::User => registry.user(&asked.id)?.map(|user| user.shown()),
        };
        shown.ok_or(RegistryError::Absent)
    })
    .await
}

pub(super) async fn add(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    let text = form::text(body).await.map_err(|error| RegistryError::Invalid(error.description));
    dealt_with(engine, (headers, method, uri), StatusCode::CREATED, move |registry, asked, _| {
        match asked.kind {
            Kind::Client => registry.register_client(&text?),
            Kind::User => registry.register_user(&text?),
        }
    })
    .await
}

pub(super) async fn change(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    let text = form::text(body).await.map_err(|error| RegistryError::Invalid(error.description));
    dealt_with(engine, (headers, method, uri), StatusCode::OK, move |registry, asked, now| {
        if asked.kind == Kind::User && asked.change == "password" {
            registry.change_password(&asked.id, &text?, now)?;
            return Ok(json!({"id": asked.id}));
        }
        let enabling = match asked.change.as_str() {
            "disable" => Enabling::Disabled,
            "enable" => Enabling::Enabled,
            _ => return Err(RegistryError::Absent),
        };
        match asked.kind {
            Kind::Client => registry.enable_client(&asked.id, enabling, now)?,
            Kind::User => registry.enable_user(&asked.id, enabling, now)?,
        }
        Ok(json!({"id": asked.id, "disabled": enabling == Enabling::Disabled}))
    })
    .await
}

/// Changes members of a registration (RFC 7396: `null` takes one away).
pub(super) async fn update(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    let text = form::text(body).await.map_err(|error| RegistryError::Invalid(error.description));
    dealt_with(engine, (headers, method, uri), StatusCode::OK, move |registry, asked, now| match asked.kind {
        Kind::Client => registry.update_client(&asked.id, &text?, now),
        Kind::User => registry.update_user(&asked.id, &text?, now),
    })
    .await
}

/// Removes a registration; its id is not given again.
pub(super) async fn remove(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<WireBody> {
    dealt_with(engine, (headers, method, uri), StatusCode::OK, |registry, asked, now| {
        match asked.kind {
            Kind::Client => registry.remove_client(&asked.id, now)?,
            Kind::User => registry.remove_user(&asked.id, now)?,
        }
        Ok(json!({"id": asked.id, "removed": true}))
    })
    .await
}

//! Administrative endpoints beside the FHIR API: metrics, reindexing, backups, key rotation, and the journal for a standby.
use std::sync::Arc;

use axum::Router;
use axum::body::Body as WireBody;
use axum::extract::{Path, Request as WireRequest, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get, post};

use crate::auth::Party;
use crate::operations::Engine;
use crate::store::{Sequence, StoreError};

use super::app::{App, Task};
use super::authentication::{NotAdmitted, administrator, by_own_key, on_record, party, recorded, refused};

/// The administration routes. A method that a path does not have is refused and recorded like any other refusal.
pub(super) fn routes() -> Router<App> {
    let route = |methods: MethodRouter<App>| methods.fallback(no_such_method);
    Router::new()
        .route("/metrics", route(get(metrics)))
        .route("/admin/backup", route(post(back_up)))
        .route("/admin/keys/rotate", route(post(rotate_keys)))
        .route("/admin/journal/{after}", route(get(journal)))
        .route("/admin/reindex", route(get(indexing).post(index_anew)))
}

/// Answers 405 to an administrator for a method that an administration path does not have.
pub(super) async fn no_such_method(State(engine): State<Arc<Engine>>, request: WireRequest) -> NotAdmitted {
    let line = format!("{} {}", request.method(), request.uri().path());
    let headers = request.headers().clone();
    // Only the request line and the headers are needed; dropping the body here keeps it out of memory during the await.
    drop(request);
    match administrator(&engine, &headers, &line).await {
        Ok(party) => {
            let why = (StatusCode::METHOD_NOT_ALLOWED, "the path has no such method");
            refused(&engine, &party, line, why).await
        }
        Err(stopped) => stopped,
    }
}

/// Metrics for Prometheus, for administrators only. Scrapes come all the time, so only one a day is recorded.
async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response<WireBody> {
    const LINE: &str = "GET /metrics";
    match administrator(&app.engine, &headers, LINE).await {
        Ok(party) => match daily(&app.engine, &party, LINE).await {
            Ok(()) => app.observed.page(),
            Err(stopped) => stopped.into_response(),
        },
        Err(stopped) => stopped.into_response(),
    }
}

async fn daily(engine: &Arc<Engine>, party: &Arc<Party>, line: &'static str) -> Result<(), NotAdmitted> {
    let (engine, party) = (engine.clone(), party.clone());
    recorded(move || engine.record_daily(&party, line, StatusCode::OK.as_u16())).await
}

/// The progress of the reindexing, as JSON.
async fn indexing(State(app): State<App>, headers: HeaderMap) -> Result<String, NotAdmitted> {
    const LINE: &str = "GET /admin/reindex";
    let party = administrator(&app.engine, &headers, LINE).await?;
    // A client that waits for the end polls every second, so only one request a day is recorded.
    daily(&app.engine, &party, LINE).await?;
    Ok(serde_json::json!(app.engine.index.progress()).to_string())
}

/// Starts a complete reindexing in the background and answers 202 at once.
async fn index_anew(State(app): State<App>, headers: HeaderMap) -> Result<StatusCode, NotAdmitted> {
    let line = "POST /admin/reindex";
    let party = administrator(&app.engine, &headers, line).await?;
    app.engine.index.ask_for_all();
    on_record(&app.engine, &party, line.to_owned(), StatusCode::ACCEPTED).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Writes a backup into the folder `backups` of the data directory.
async fn back_up(State(app): State<App>, headers: HeaderMap) -> Response<WireBody> {
    let task = app.tasks.backup.clone();
    have_done(app, headers, task, "backup").await
}

/// Replaces the server's signing keys.
async fn rotate_keys(State(app): State<App>, headers: HeaderMap) -> Response<WireBody> {
    let task = app.tasks.rotate_keys.clone();
    have_done(app, headers, task, "keys/rotate").await
}

/// The scope of a standby, which mints its token itself with the server's own key. No client can be granted it.
pub const FOLLOW_SCOPE: &str = "chartward/follow";

/// Answers a standby the commits after a sequence. They reveal the whole store, so only a holder of the server's own key
/// may read them, no administrator. A standby polls all the time: its first request and one a day are recorded.
async fn journal(
    State(app): State<App>,
    Path(after): Path<String>,
    headers: HeaderMap,
) -> Result<Response<WireBody>, NotAdmitted> {
    const LINE: &str = "GET /admin/journal";
    let engine = &app.engine;
    let Some(standby) = by_own_key(engine, &headers).filter(|party| party.scopes.has(FOLLOW_SCOPE)) else {
        let why = (StatusCode::FORBIDDEN, "the journal is for a standby that has the server's keys");
        return Err(match party(engine, &headers, None).await {
            Ok(party) => refused(engine, &party, LINE.to_owned(), why).await,
            Err(_) => NotAdmitted::unknown(why.0, why.1),
        });
    };
    let Ok(after) = after.parse::<u64>() else {
        let why = (StatusCode::BAD_REQUEST, "the journal is asked for by the number of a commit");
        return Err(refused(engine, &standby, LINE.to_owned(), why).await);
    };
    let Some(task) = app.tasks.committed_after.clone() else {
        let why = (StatusCode::NOT_FOUND, "the server has no journal");
        return Err(refused(engine, &standby, LINE.to_owned(), why).await);
    };
    if after == 0 {
        on_record(engine, &standby, LINE.to_owned(), StatusCode::OK).await?;
    } else {
        daily(engine, &standby, LINE).await?;
    }
    let failed = |status, message| Err(NotAdmitted::known(status, message));
    match tokio::task::spawn_blocking(move || task(Sequence(after))).await {
        Ok(Ok(Some(bytes))) => Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        Ok(Ok(None)) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Err(StoreError::Expired)) => {
            let why = (StatusCode::GONE, "the journal does not go back so far");
            Err(refused(engine, &standby, LINE.to_owned(), why).await)
        }
        Ok(Err(_)) | Err(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, "the journal cannot be read"),
    }
}

/// Runs the task to its end and records it, even if the client hangs up meanwhile.
async fn have_done(
    app: App,
    headers: HeaderMap,
    task: Option<Task>,
    what: &'static str,
) -> Response<WireBody> {
    let done = tokio::spawn(async move { done_and_recorded(&app, &headers, task, what).await }).await;
    let failed = |_| (StatusCode::INTERNAL_SERVER_ERROR, format!("{what} failed")).into_response();
    done.map_or_else(failed, |done| done.unwrap_or_else(|stopped| stopped.into_response()))
}

async fn done_and_recorded(
    app: &App,
    headers: &HeaderMap,
    task: Option<Task>,
    what: &str,
) -> Result<Response<WireBody>, NotAdmitted> {
    let line = format!("POST /admin/{what}");
    let party = administrator(&app.engine, headers, &line).await?;
    let Some(task) = task else {
        let why = (StatusCode::NOT_FOUND, "the server has nothing on disk");
        return Err(refused(&app.engine, &party, line, why).await);
    };
    let (status, text) = match tokio::task::spawn_blocking(move || task()).await {
        Ok(Ok(text)) => (StatusCode::OK, text),
        Ok(Err(_)) | Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{what} failed")),
    };
    on_record(&app.engine, &party, line, status).await?;
    Ok((status, text).into_response())
}

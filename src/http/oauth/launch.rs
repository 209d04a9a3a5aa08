//! The endpoint where the organization's own EHR registers a launch: the context in which its user is about to open an app.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::json;

use crate::auth::{LaunchContext, OauthCode, OauthError, Party};
use crate::operations::Engine;

use super::super::authentication::party;
use super::super::unknown::on_record;
use super::endpoints::{answered, failed};
use super::form;

pub(super) async fn register(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    let text = form::text(body).await;
    let Ok(party) = party(&engine, &headers, None).await else {
        let body = json!({"error": "invalid_token", "error_description": "an access token is needed"});
        return answered(StatusCode::UNAUTHORIZED, &body, "no-store");
    };
    // Launch contexts name patients, so every registration and every attempt is recorded.
    let work = move || {
        let response = match &text {
            Ok(text) => registered(&engine, &party, text),
            Err(error) => failed(error),
        };
        let line = "POST /auth/launch".to_owned();
        match engine.record_beside(&party, line, response.status().as_u16()) {
            Ok(()) => on_record(response),
            Err(_) => failed(&OauthError::new(OauthCode::ServerError, "the access cannot be recorded")),
        }
    };
    let failed = |_| failed(&OauthError::new(OauthCode::ServerError, "the request failed"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

fn registered(engine: &Engine, party: &Party, text: &str) -> Response<WireBody> {
    if !engine.may_launch(party) {
        let description = "launches are registered by systems and professionals of the own organization, with the scope launch or \
             one of patients";
        return failed(&OauthError::new(OauthCode::AccessDenied, description));
    }
    let Ok(context) = serde_json::from_str::<LaunchContext>(text) else {
        let description = "the body is a JSON object with patient, encounter and need_patient_banner";
        return failed(&OauthError::new(OauthCode::InvalidRequest, description));
    };
    match engine.authorization().register_launch(context) {
        Ok(id) => answered(StatusCode::CREATED, &json!({"launch": id}), "no-store"),
        Err(error) => failed(&error),
    }
}

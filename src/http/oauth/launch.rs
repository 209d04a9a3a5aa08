//! Where the own EHR registers a launch: what its user is looking at, for the app that it is about to open.
use std::sync::Arc;

use axum::body::Body as WireBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::json;

use crate::auth::{LaunchContext, OauthCode, OauthError};
use crate::operations::Engine;

use super::super::asker::party;
use super::endpoints::{answered, failed};
use super::form;

pub(super) async fn register(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: WireBody,
) -> Response<WireBody> {
    let text = match form::text(body).await {
        Ok(text) => text,
        Err(error) => return failed(&error),
    };
    let Ok(party) = party(&engine, &headers, None).await else {
        let body = json!({"error": "invalid_token", "error_description": "an access token is needed"});
        return answered(StatusCode::UNAUTHORIZED, &body, "no-store");
    };
    if !engine.may_launch(&party) {
        let description = "launches are registered by systems and professionals of the own organization who may see patients";
        return failed(&OauthError::new(OauthCode::AccessDenied, description));
    }
    let Ok(context) = serde_json::from_str::<LaunchContext>(&text) else {
        let description = "the body is a JSON object with patient, encounter and need_patient_banner";
        return failed(&OauthError::new(OauthCode::InvalidRequest, description));
    };
    match tokio::task::spawn_blocking(move || engine.desk().register_launch(context)).await {
        Ok(Ok(id)) => answered(StatusCode::CREATED, &json!({"launch": id}), "no-store"),
        Ok(Err(error)) => failed(&error),
        Err(_) => failed(&OauthError::new(OauthCode::ServerError, "the request failed")),
    }
}

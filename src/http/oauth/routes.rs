//! The paths of the authorization server.
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::operations::Engine;

use super::super::administration::no_such_method;
use super::{apps, endpoints, launch, pages, registrations};

/// The router of everything that is about clients, users and their tokens.
pub(in crate::http) fn routes(engine: Arc<Engine>) -> Router {
    let mut router = Router::new()
        .route("/auth/authorize", get(pages::authorize).post(pages::authorize_by_post))
        .route("/auth/login", post(pages::login))
        .route("/auth/patient", post(pages::patient))
        .route("/auth/encounter", post(pages::encounter))
        .route("/auth/consent", post(pages::consent))
        .route("/auth/apps", get(apps::open).post(apps::sign_in))
        .route("/auth/apps/revoke", post(apps::take_away))
        .route("/auth/style.css", get(pages::style))
        .route("/auth/token", post(endpoints::token).options(endpoints::preflight))
        .route("/auth/introspect", post(endpoints::introspect).options(endpoints::preflight))
        .route("/auth/revoke", post(endpoints::revoke).options(endpoints::preflight))
        .route("/auth/jwks", get(endpoints::jwks).options(endpoints::preflight))
        .route("/auth/smart-style.json", get(endpoints::smart_style).options(endpoints::preflight))
        .route("/auth/launch", post(launch::register));
    // A client looks for them at the base of the API (SMART App Launch) or at the origin (RFC 8615).
    for base in ["", "/fhir"] {
        let smart = get(endpoints::smart_configuration).options(endpoints::preflight);
        let openid = get(endpoints::openid_configuration).options(endpoints::preflight);
        router = router
            .route(&format!("{base}/.well-known/smart-configuration"), smart)
            .route(&format!("{base}/.well-known/openid-configuration"), openid);
    }
    for kind in ["clients", "users"] {
        let list = get(registrations::list).post(registrations::add).fallback(no_such_method);
        let one = get(registrations::show).patch(registrations::update).delete(registrations::remove);
        let one = one.fallback(no_such_method);
        let change = post(registrations::change).fallback(no_such_method);
        router = router
            .route(&format!("/admin/{kind}"), list)
            .route(&format!("/admin/{kind}/{{id}}"), one)
            .route(&format!("/admin/{kind}/{{id}}/{{change}}"), change);
    }
    router.with_state(engine)
}

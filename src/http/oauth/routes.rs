//! The routes of the authorization server.
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::auth::{Client, Register, User};
use crate::operations::Engine;

use super::super::administration::no_such_method;
use super::{apps, endpoints, launch, pages, registrations};

/// The pages on which people sign in.
pub(in crate::http) fn page_routes(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/auth/authorize", get(pages::authorize).post(pages::authorize_by_post))
        .route("/auth/login", post(pages::login))
        .route("/auth/patient", post(pages::patient))
        .route("/auth/encounter", post(pages::encounter))
        .route("/auth/consent", post(pages::consent))
        .route("/auth/apps", get(apps::open).post(apps::sign_in))
        .route("/auth/apps/revoke", post(apps::take_away))
        .route("/auth/style.css", get(pages::style))
        .with_state(engine)
}

/// The endpoints for clients.
pub(in crate::http) fn endpoint_routes(engine: Arc<Engine>) -> Router {
    let mut router = Router::new()
        .route("/auth/token", post(endpoints::token))
        .route("/auth/introspect", post(endpoints::introspect))
        .route("/auth/revoke", post(endpoints::revoke))
        .route("/auth/jwks", get(endpoints::jwks))
        .route("/auth/smart-style.json", get(endpoints::smart_style));
    // Clients look for the documents below the API's base URL (SMART App Launch) or at the origin (RFC 8615).
    for base in ["", "/fhir"] {
        let smart = get(endpoints::smart_configuration);
        let openid = get(endpoints::openid_configuration);
        router = router
            .route(&format!("{base}/.well-known/smart-configuration"), smart)
            .route(&format!("{base}/.well-known/openid-configuration"), openid);
    }
    router.with_state(engine)
}

/// The registrations of clients and users, for administrators, and those of launches, for the own EHR.
pub(in crate::http) fn registration_routes(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/auth/launch", post(launch::register))
        .merge(of_registrations::<Client>())
        .merge(of_registrations::<User>())
        .with_state(engine)
}

/// The routes on which administrators manage the registrations of a kind.
fn of_registrations<T: Register + 'static>() -> Router<Arc<Engine>> {
    let all = get(registrations::list::<T>).post(registrations::add::<T>).fallback(no_such_method);
    let one =
        get(registrations::show::<T>).patch(registrations::update::<T>).delete(registrations::remove::<T>);
    let change = post(registrations::change::<T>).fallback(no_such_method);
    Router::new()
        .route(T::PATH, all)
        .route(&format!("{}/{{id}}", T::PATH), one.fallback(no_such_method))
        .route(&format!("{}/{{id}}/{{change}}", T::PATH), change)
}

//! The paths of the authorization server.
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::auth::{Client, Register, User};
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
    router.merge(of_registrations::<Client>()).merge(of_registrations::<User>()).with_state(engine)
}

/// The paths by which administrators keep the registrations of a kind.
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

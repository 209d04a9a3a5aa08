//! HTTP of the authorization server: its endpoints and pages below `/auth`, its discovery documents below `/.well-known`,
//! and the registrations below `/admin`. What is granted is decided in `auth`.

mod apps;
mod encounters;
mod endpoints;
mod form;
mod launch;
mod markup;
mod pages;
mod patients;
mod registrations;
mod routes;
mod sign_in;

pub(super) use routes::{endpoint_routes, page_routes, registration_routes};

//! The registry: clients and users, grants, and whether a token is still valid. It has its own key space in the store.

mod client;
mod expiring_records;
mod grant;
mod invalid_registration;
mod records;
mod registration;
mod token_status;
mod token_status_cache;
mod user;

pub(super) use client::is_unreserved;
pub use client::{Actor, Client, ClientAuthentication, GrantType, LaunchKind, check_scope};
pub(super) use expiring_records::{Amendment, Expiring, Kept};
pub(super) use grant::Grant;
pub use records::{RegistrationStatus, Registry, RegistryError};
pub use registration::Registration;
pub use user::User;

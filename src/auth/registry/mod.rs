//! Who may ask: clients and users as they are registered, what they were granted, and whether a token still stands. All
//! of it is in a space of the store of its own.

mod client;
mod grant;
mod perishable;
mod records;
mod registration;
mod standing;
mod standings;
mod user;

pub(super) use client::is_unreserved;
pub use client::{Actor, Client, ClientAuthentication, GrantType, LaunchKind, check_scope};
pub(super) use grant::Grant;
pub(super) use perishable::{Amendment, Kept, Perishable};
pub use records::{Enabling, Registry, RegistryError};
pub use registration::Registration;
pub use user::User;

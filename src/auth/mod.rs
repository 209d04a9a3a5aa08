//! Who asks? Tokens and their issuer, SMART scopes, and the party that comes of them.

mod constraint;
mod issuer;
mod party;
mod scope;

pub use constraint::Constraint;
pub use issuer::{AccessToken, Issuer, TokenError};
pub use party::{Party, Role};
pub use scope::{Level, Permission, Scope, Scopes};

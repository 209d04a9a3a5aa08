//! Who asks? Tokens and their issuer, SMART scopes, and the party that comes of them.

mod issuer;
mod party;
mod scope;

pub use issuer::{AccessToken, Issuer, TokenError};
pub use party::{BreakGlass, Party, Role};
pub use scope::{Level, Permission, Scope, Scopes};

//! Who asks? Tokens and their issuer, SMART scopes, and the party that comes of them.

mod constraint;
mod external;
mod issuer;
mod party;
mod purpose;
mod role;
mod scope;

pub use constraint::Constraint;
pub use external::{
    ALGORITHMS, CertificateRegistration, ClientRegistration, ExternalIssuer, Fetched, IntrospectedAt,
    Introspection, JwksSource, KeyCache, KeyError, KeySet, KeysAt, Registrations, Trust, UserRegistration,
};
pub use issuer::{AccessToken, Confirmation, Issuer, TokenError};
pub use party::{BreakGlass, Party};
pub use purpose::{PurposeError, asserted_purposes, narrowed_purposes};
pub use role::{Role, RoleRow, Writes};
pub use scope::{Level, Permission, Scope, Scopes};

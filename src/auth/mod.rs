//! Authentication and authorization: access tokens and their issuers, SMART scopes, the resulting [`Party`], and the
//! embedded authorization server with its registry of clients and users.

mod constraint;
mod external;
mod granted;
mod issuer;
mod jwk;
mod oauth;
mod party;
mod password;
mod purpose;
mod registry;
mod role;
mod scope;
mod sealer;
mod signing_key;

pub use constraint::Constraint;
pub use external::{
    ALGORITHMS, CertificateRegistration, ClientRegistration, ExternalIssuer, FetchError, Fetched,
    ISSUER_KEYS, IntrospectedAt, Introspection, JwksSource, KeyCache, KeyError, KeySet, KeysAt,
    Registrations, Trust, UserRegistration,
};
pub use issuer::{AccessToken, Confirmation, Issuer, SignedToken, TokenError};
pub use jwk::base64_url;
pub use oauth::{
    AppsSession, AuthorizationContext, AuthorizationOptions, AuthorizationRefusal, AuthorizationServer,
    BrowserSession, ConsentDetails, Dialogue, Fields, GrantedApp, IdentityKeys, LaunchContext, LoginError,
    NextPrompt, OauthCode, OauthError, PAGES, Persona, Register, Registered, describe, describe_purpose,
    described_parts,
};
pub use party::{BreakGlass, Party};
pub use password::{PASSWORD_LEN_MIN, PasswordError, hash_password};
pub use purpose::{PurposeError, asserted_purposes, narrowed_purposes};
pub use registry::{
    Actor, Client, ClientAuthentication, GrantType, LaunchKind, Registration, RegistrationStatus, Registry,
    RegistryError, User, check_scope,
};
pub use role::{Recording, Role, RoleRow, Writes};
pub use scope::{Level, Permission, Scope, Scopes};
pub use sealer::Sealer;
pub use signing_key::SigningKeyError;

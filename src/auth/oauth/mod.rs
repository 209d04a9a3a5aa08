//! The embedded authorization server (RFC 6749, SMART App Launch 2.2, OpenID Connect), independent of HTTP. Clients and
//! users come from the registry.

mod apps;
mod assertion;
mod authorize;
mod browser_session;
mod client_authentication;
mod client_keys;
mod code;
mod dialogue;
mod fields;
mod identity;
mod introspect;
mod launch;
mod login;
mod login_attempts;
mod metadata;
mod refresh;
mod register;
mod seal;
mod server;
mod token;
mod words;

pub use apps::{AppsSession, GrantedApp};
pub use authorize::AuthorizationRefusal;
pub use browser_session::{BrowserSession, PAGES, Persona};
pub use dialogue::{ConsentDetails, Dialogue, NextPrompt};
pub use fields::{Fields, OauthCode, OauthError};
pub use identity::IdentityKeys;
pub use launch::LaunchContext;
pub use login_attempts::LoginError;
pub use register::{Register, Registered};
pub use server::{AuthorizationContext, AuthorizationOptions, AuthorizationServer};
pub use words::{describe, describe_purpose, described_parts};

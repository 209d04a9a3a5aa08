//! Access tokens of other issuers: their keys and claims, and our registrations, which alone decide roles.

mod introspection;
mod issuer;
mod key_cache;
mod key_set;
mod registration;
mod source;
mod trust;
mod unverified_jwt;

pub use introspection::Introspection;
pub use issuer::{ALGORITHMS, ExternalIssuer};
pub use key_cache::{CLIENT_KEYS, ISSUER_KEYS, KeyCache};
pub use key_set::{CLIENT_ALGORITHMS, KeyError, KeySet};
pub use registration::{ClientRegistration, Registrations, UserRegistration};
pub use source::{FetchError, Fetched, IntrospectedAt, JwksSource, KeysAt};
pub use trust::{CertificateRegistration, Trust};

//! Requests to other servers. This module only defines them: `cli` implements the trait and passes it in.
use std::path::PathBuf;

use crate::model::message_error;

message_error! {
    /// Why another server has not answered, or not as the standard asks: a message for the log.
    pub FetchError
}

/// Where an issuer publishes its public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    Url {
        url: String,
        /// Whether plain http and addresses within the server's own network are allowed.
        insecure: bool,
    },
    File(PathBuf),
}

/// The introspection endpoint for opaque tokens, with this server's credentials there (RFC 7662).
#[derive(Clone, PartialEq, Eq)]
pub struct IntrospectedAt {
    pub url: String,
    pub client_id: String,
    pub client_secret: String,
    /// Whether plain http and addresses within the server's own network are allowed.
    pub insecure: bool,
}

/// The response to a fetch of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub body: Vec<u8>,
    /// How long the body may be cached: `max-age` of `Cache-Control`, 0 for `no-store` and `no-cache`, `None` for neither.
    pub max_age_seconds: Option<u64>,
}

/// Sends requests to other servers. An implementation must follow no redirects, and must limit size and time.
pub trait JwksSource: Send + Sync {
    /// The key set of an issuer, as JWK set.
    ///
    /// # Errors
    /// Why there is none, for the log.
    fn jwks(&self, at: &KeysAt) -> Result<Fetched, FetchError>;

    /// The issuer's answer about an opaque token, as the JSON of RFC 7662 section 2.2.
    ///
    /// # Errors
    /// Why there is no answer, for the log.
    fn introspect(&self, at: &IntrospectedAt, token: &str) -> Result<Vec<u8>, FetchError>;
}

//! What is asked of other servers. The floor itself asks nobody: who puts the house together hands in who does.
use std::path::PathBuf;

/// Where an issuer keeps its public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    Url {
        url: String,
        /// Whether it may be without TLS and within the own network.
        insecure: bool,
    },
    File(PathBuf),
}

/// Where opaque tokens are asked for, and as whom (RFC 7662).
#[derive(Clone, PartialEq, Eq)]
pub struct IntrospectedAt {
    pub url: String,
    pub client_id: String,
    pub client_secret: String,
    /// Whether it may be without TLS and within the own network.
    pub insecure: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub body: Vec<u8>,
    /// How long it may be kept, where it says so: `max-age` of its `Cache-Control`, 0 for `no-store` and `no-cache`.
    pub max_age_seconds: Option<u64>,
}

/// Who asks other servers. An implementation follows no redirects, and has limits of size and time.
pub trait JwksSource: Send + Sync {
    /// The keys of an issuer, as a JWK set.
    ///
    /// # Errors
    /// Why there are none, for the log.
    fn jwks(&self, at: &KeysAt) -> Result<Fetched, String>;

    /// What the issuer of an opaque token says of it: the JSON of RFC 7662 section 2.2.
    ///
    /// # Errors
    /// Why there is no answer, for the log.
    fn introspect(&self, at: &IntrospectedAt, token: &str) -> Result<Vec<u8>, String>;
}

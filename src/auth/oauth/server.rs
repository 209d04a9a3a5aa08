//! The authorization server, and its context for one request.
use std::sync::Arc;

use crate::model::Millis;
use crate::store::Kv;

use super::super::external::JwksSource;
use super::super::issuer::Issuer;
use super::super::password::Passwords;
use super::super::registry::Registry;
use super::client_keys::ClientKeys;
use super::identity::IdentityKeys;
use super::login_attempts::LoginAttempts;
use super::seal::TextSealer;

/// The limits of the authorization server, each with its default. All are in seconds, except the number of failures.
#[derive(Clone, Debug)]
pub struct AuthorizationOptions {
    /// The lifetime of a client's own access token (SMART App Launch 2.2, "Backend Services": at most 300).
    pub client_token_seconds: i64,
    /// The lifetime of an access token for a user.
    pub user_token_seconds: i64,
    /// The lifetime of an authorization code.
    pub code_seconds: i64,
    /// How far in the future an assertion may expire.
    pub assertion_seconds_max: i64,
    /// How long a user may take to sign in and consent.
    pub dialogue_seconds_max: i64,
    /// The lifetime of a launch that an EHR has registered.
    pub launch_seconds: i64,
    /// The lifetime of a grant with `online_access`.
    pub online_seconds: i64,
    /// The lifetime of a grant with `offline_access`.
    pub offline_seconds: i64,
    /// How many attempts with one user name, or client secret, may fail within `login_window_seconds`.
    pub login_failures_max: u32,
    pub login_window_seconds: i64,
    /// How long a session in a browser may be idle, and how long it may last.
    pub session_idle_seconds: i64,
    pub session_seconds_max: i64,
}

impl Default for AuthorizationOptions {
    fn default() -> Self {
        Self {
            client_token_seconds: 300,
            user_token_seconds: 3_600,
            code_seconds: 60,
            assertion_seconds_max: 300,
            dialogue_seconds_max: 600,
            launch_seconds: 300,
            online_seconds: 12 * 3_600,
            offline_seconds: 90 * 24 * 3_600,
            login_failures_max: 10,
            login_window_seconds: 900,
            session_idle_seconds: 15 * 60,
            session_seconds_max: 12 * 3_600,
        }
    }
}

/// The embedded authorization server.
pub struct AuthorizationServer {
    pub registry: Registry,
    pub options: AuthorizationOptions,
    pub identity: IdentityKeys,
    pub(super) client_keys: ClientKeys,
    pub(super) sealer: TextSealer,
    pub(super) passwords: Passwords,
    pub(super) attempts: LoginAttempts,
    /// Failed attempts of clients to authenticate by their secret.
    pub(super) client_attempts: LoginAttempts,
}

impl AuthorizationServer {
    /// An authorization server over the registrations of a store. `secret` is the key of its sealed texts.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, secret: [u8; 32]) -> Self {
        Self {
            registry: Registry::new(kv),
            options: AuthorizationOptions::default(),
            identity: IdentityKeys::default(),
            client_keys: ClientKeys::default(),
            sealer: TextSealer::new(&secret),
            passwords: Passwords::default(),
            attempts: LoginAttempts::default(),
            client_attempts: LoginAttempts::default(),
        }
    }

    /// Enables fetching of clients' `jwks_uri`. `insecure` also permits plain http and the server's own network.
    pub fn fetch_keys_with(&mut self, source: Arc<dyn JwksSource>, insecure: bool) {
        self.client_keys = ClientKeys::new(source, insecure);
    }

    /// The context of a request at time `now`.
    #[must_use]
    pub fn at<'s>(&'s self, issuer: &'s Issuer, now: Millis) -> AuthorizationContext<'s> {
        AuthorizationContext { server: self, issuer, now, certificate: None }
    }
}

/// The authorization server in the context of one request.
#[derive(Clone, Copy)]
pub struct AuthorizationContext<'s> {
    pub(super) server: &'s AuthorizationServer,
    pub(super) issuer: &'s Issuer,
    pub(super) now: Millis,
    /// The SHA-256 digest of the client certificate of the request.
    pub(super) certificate: Option<[u8; 32]>,
}

impl AuthorizationContext<'_> {
    /// The context with the SHA-256 digest of the client's certificate.
    #[must_use]
    pub fn shown(self, certificate: Option<[u8; 32]>) -> Self {
        Self { certificate, ..self }
    }

    /// The base URL of the API, which is also the issuer and the audience.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.issuer.url()
    }

    /// The absolute address of a path outside the API, such as `/auth/token`.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        let base = self.issuer.url();
        format!("{}{path}", base.strip_suffix("/fhir").unwrap_or(base))
    }

    /// The time of the request.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    pub(super) fn seconds(&self) -> i64 {
        self.now.div_euclid(1_000)
    }

    /// The time that many seconds after the request.
    pub(super) fn ahead(&self, seconds: i64) -> Millis {
        self.now.saturating_add(seconds.saturating_mul(1_000))
    }
}

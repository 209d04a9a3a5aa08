//! The authorization server, and its desk: the server at one moment, where a request is dealt with.
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

/// The limits of the authorization server, each with its default. All are in seconds but the numbers of attempts.
#[derive(Clone, Debug)]
pub struct AuthorizationOptions {
    /// How long an access token of a client's own is good for (SMART App Launch 2.2, "Backend Services": 300 at most).
    pub client_token_seconds: i64,
    /// How long an access token of a user is good for.
    pub user_token_seconds: i64,
    /// How long a code is good for.
    pub code_seconds: i64,
    /// How far ahead an assertion may expire.
    pub assertion_seconds_max: i64,
    /// How long a user may take to log in and consent.
    pub dialogue_seconds_max: i64,
    /// How long a launch that an EHR registers may wait for its app.
    pub launch_seconds: i64,
    /// How long refresh tokens of `online_access` are good for.
    pub online_seconds: i64,
    /// How long refresh tokens of `offline_access` are good for.
    pub offline_seconds: i64,
    /// How often a user name, or the secret of a client, may be tried in vain within `login_window_seconds`.
    pub login_failures_max: u32,
    pub login_window_seconds: i64,
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
    /// Failures of clients to show their secrets.
    pub(super) client_attempts: LoginAttempts,
}

impl AuthorizationServer {
    /// A server over the registrations of a store. `secret` seals what it hands out.
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

    /// Lets it fetch the key sets of clients by their addresses; `insecure` ones too, without TLS and in the own network.
    pub fn fetch_keys_with(&mut self, source: Arc<dyn JwksSource>, insecure: bool) {
        self.client_keys = ClientKeys::new(source, insecure);
    }

    /// The server at a moment.
    #[must_use]
    pub fn at<'s>(&'s self, issuer: &'s Issuer, now: Millis) -> AuthorizationContext<'s> {
        AuthorizationContext { server: self, issuer, now, certificate: None }
    }
}

/// The authorization server at one moment.
#[derive(Clone, Copy)]
pub struct AuthorizationContext<'s> {
    pub(super) server: &'s AuthorizationServer,
    pub(super) issuer: &'s Issuer,
    pub(super) now: Millis,
    /// The SHA-256 of the certificate that the client has shown.
    pub(super) certificate: Option<[u8; 32]>,
}

impl AuthorizationContext<'_> {
    /// The desk for a client that has shown a certificate with that SHA-256.
    #[must_use]
    pub fn shown(self, certificate: Option<[u8; 32]>) -> Self {
        Self { certificate, ..self }
    }

    /// The base URL of the API, which is also the issuer and the audience.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.issuer.url()
    }

    /// The address of something beside the API, such as `/auth/token`.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        let base = self.issuer.url();
        format!("{}{path}", base.strip_suffix("/fhir").unwrap_or(base))
    }

    /// The moment that it is.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    pub(super) fn seconds(&self) -> i64 {
        self.now.div_euclid(1_000)
    }

    /// The moment so many seconds ahead.
    pub(super) fn ahead(&self, seconds: i64) -> Millis {
        self.now.saturating_add(seconds.saturating_mul(1_000))
    }
}

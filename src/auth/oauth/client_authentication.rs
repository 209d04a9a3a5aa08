//! Client authentication at the token, introspection and revocation endpoints (RFC 6749 section 2.3).
use crate::model::decode_base64;

use super::super::registry::{Client, ClientAuthentication};
use super::assertion::claimed_client;
use super::fields::{Fields, OauthError};
use super::login_attempts::LoginAttempts;
use super::server::AuthorizationContext;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl AuthorizationContext<'_> {
    /// Authenticates the client of a request. `authorization` is that header. Public clients only name themselves.
    pub(super) fn client(&self, authorization: Option<&str>, fields: &Fields) -> Result<Client, OauthError> {
        let named = fields.one("client_id")?;
        let assertion = fields.one("client_assertion")?;
        let assertion_type = fields.one("client_assertion_type")?;
        if assertion_type.is_some_and(|sort| sort != ASSERTION_TYPE)
            || assertion.is_some() != assertion_type.is_some()
        {
            return Err(OauthError::invalid_request(format!(
                "client_assertion goes with the client_assertion_type {ASSERTION_TYPE}"
            )));
        }
        let secret = fields.one("client_secret")?;
        let client = match (authorization, assertion, secret) {
            (Some(header), None, None) => {
                let (id, secret) = basic(header).ok_or_else(OauthError::invalid_client)?;
                self.client_of_secret(&id, &secret)?
            }
            (None, Some(assertion), None) => self.client_of_assertion(assertion)?,
            (None, None, Some(secret)) => {
                self.client_of_secret(named.ok_or_else(OauthError::invalid_client)?, secret)?
            }
            (None, None, None) => self.public_client(named.ok_or_else(OauthError::invalid_client)?)?,
            _ => return Err(OauthError::invalid_request("a client proves itself in one way, not in two")),
        };
        if named.is_some_and(|named| named != client.client_id) {
            return Err(OauthError::invalid_client());
        }
        Ok(client)
    }

    /// The client id that a request claims, before authentication.
    #[must_use]
    pub fn claimed_client(authorization: Option<&str>, fields: &Fields) -> Option<String> {
        let field = |name: &str| fields.one(name).ok().flatten();
        let basic = authorization.and_then(basic).map(|(id, _)| id);
        let named = || field("client_id").map(str::to_owned);
        basic.or_else(named).or_else(|| claimed_client(field("client_assertion")?))
    }

    /// Authenticates a client that is not public.
    pub(super) fn confidential_client(
        &self,
        authorization: Option<&str>,
        fields: &Fields,
    ) -> Result<Client, OauthError> {
        let client = self.client(authorization, fields)?;
        match client.token_endpoint_auth_method {
            ClientAuthentication::ClientSecretBasic | ClientAuthentication::PrivateKeyJwt => Ok(client),
            ClientAuthentication::None => Err(OauthError::invalid_client()),
        }
    }

    /// A registered client that is not disabled.
    pub(super) fn enabled_client(&self, id: &str) -> Result<Client, OauthError> {
        let client = self.server.registry.client(id)?.filter(|client| !client.disabled);
        client.ok_or_else(OauthError::invalid_client)
    }

    /// An enabled public client.
    pub(super) fn public_client(&self, id: &str) -> Result<Client, OauthError> {
        let client = self.enabled_client(id)?;
        match client.token_endpoint_auth_method {
            ClientAuthentication::None => Ok(client),
            ClientAuthentication::ClientSecretBasic | ClientAuthentication::PrivateKeyJwt => {
                Err(OauthError::invalid_client())
            }
        }
    }

    /// No percent-decoding is needed: ids and secrets contain unreserved characters only.
    fn client_of_secret(&self, id: &str, secret: &str) -> Result<Client, OauthError> {
        let client = self.server.registry.client(id)?.filter(|client| {
            !client.disabled && client.token_endpoint_auth_method == ClientAuthentication::ClientSecretBasic
        });
        let hash = client.as_ref().and_then(|client| client.secret_hash.as_deref());
        let (passwords, attempts) = (&self.server.passwords, &self.server.client_attempts);
        // A secret that was verified before skips the limit, so that an attacker's guesses do not lock out the client.
        let mut is_right = hash.is_some_and(|hash| passwords.is_proven(secret, hash));
        if !is_right {
            let name = LoginAttempts::name(id);
            let turn = passwords.turn().ok_or_else(OauthError::busy)?;
            attempts.begin(name, self.now, self.attempt_limits()).map_err(|_| OauthError::busy())?;
            // Unknown ids are checked too, so that the response time does not reveal which ids exist.
            is_right = turn.check_secret(secret, hash);
            if is_right {
                attempts.succeeded(name);
            }
        }
        client.filter(|_| is_right).ok_or_else(OauthError::invalid_client)
    }
}

/// Name and password of HTTP Basic authentication (RFC 7617).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(decode_base64(encoded.trim())?).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

//! The token endpoint (RFC 6749 section 3.2): selects the grant type, and issues a client's own tokens.
use serde_json::{Value, json};

use super::super::granted::{GrantHolder, granted};
use super::super::issuer::{AccessToken, Confirmation};
use super::super::purpose::narrowed_purposes;
use super::super::registry::{Client, GrantType};
use super::assertion::purposes_of;
use super::fields::{Fields, OauthCode, OauthError};
use super::seal::secret_text;
use super::server::AuthorizationContext;

impl AuthorizationContext<'_> {
    /// The response of the token endpoint, as JSON. `authorization` is that request header.
    ///
    /// # Errors
    /// [`OauthError`] with the code that the standard requires.
    pub fn token(&self, authorization: Option<&str>, fields: &Fields) -> Result<Value, OauthError> {
        let name = fields.needed("grant_type")?;
        let grant_type = GrantType::parse(name).ok_or_else(|| {
            OauthError::new(OauthCode::UnsupportedGrantType, "the grant_type is none that is served")
        })?;
        let client = match grant_type {
            GrantType::RefreshToken => self.refreshing_client(authorization, fields)?,
            GrantType::ClientCredentials | GrantType::AuthorizationCode => {
                self.client(authorization, fields)?
            }
        };
        if !client.may(grant_type) {
            let description = "the grant_type is not registered for the client";
            return Err(OauthError::new(OauthCode::UnauthorizedClient, description));
        }
        match grant_type {
            GrantType::ClientCredentials => self.client_credentials(&client, fields),
            GrantType::AuthorizationCode => self.redeem_code(&client, fields),
            GrantType::RefreshToken => self.refresh(&client, fields),
        }
    }

    fn client_credentials(&self, client: &Client, fields: &Fields) -> Result<Value, OauthError> {
        let scope =
            granted(fields.one("scope")?.unwrap_or_default(), &client.scope, GrantHolder::System).join(" ");
        if scope.is_empty() {
            return Err(invalid_scope());
        }
        let asserted = purposes_of(fields.one("client_assertion")?)?;
        let purposes = narrowed_purposes(&asserted, &client.purposes, client.default_purpose.as_deref())
            .map_err(|error| OauthError::new(OauthCode::InvalidGrant, error.to_string()))?;
        let lifetime = self.server.options.client_token_seconds;
        let mut token = self.blank_token(client, lifetime)?;
        token.sub.clone_from(&client.client_id);
        token.scope.clone_from(&scope);
        token.role = client.role.clone().ok_or_else(OauthError::failed)?;
        token.organization.clone_from(&client.organization);
        token.fhir_user.clone_from(&client.fhir_user);
        token.patient.clone_from(&client.patient);
        token.confined_to.clone_from(&client.patient);
        token.purpose_of_use = purposes;
        token.assign_ids = client.assign_ids;
        Ok(json!({
            "access_token": self.signed(&token)?, "token_type": "Bearer", "expires_in": lifetime, "scope": scope
        }))
    }

    /// A token of a client for `lifetime` seconds. The caller fills in the subject and its rights.
    pub(super) fn blank_token(&self, client: &Client, lifetime: i64) -> Result<AccessToken, OauthError> {
        let url = self.base_url().to_owned();
        // `iat` has whole seconds: it is rounded up so that a token issued after a `not_before` does not count as older.
        let again = client.not_before.saturating_add(999).div_euclid(1_000);
        let iat = self.seconds().max(again.min(self.seconds() + 1));
        Ok(AccessToken {
            iss: url.clone(),
            aud: url,
            client_id: client.client_id.clone(),
            iat,
            exp: iat + lifetime,
            jti: secret_text()?,
            files_consent: client.files_consent,
            lenient: client.lenient,
            confirmation: self.confirmation(client)?,
            ..AccessToken::default()
        })
    }

    /// The certificate binding of a client's tokens (RFC 8705 section 3).
    fn confirmation(&self, client: &Client) -> Result<Option<Confirmation>, OauthError> {
        if !client.tls_client_certificate_bound_access_tokens {
            return Ok(None);
        }
        let certificate = self.certificate.as_ref().ok_or_else(OauthError::invalid_client)?;
        Ok(Some(Confirmation::of(certificate)))
    }

    pub(super) fn signed(&self, token: &AccessToken) -> Result<String, OauthError> {
        self.issuer.sign(token).map_err(|_| OauthError::failed())
    }
}

pub(super) fn invalid_scope() -> OauthError {
    OauthError::new(OauthCode::InvalidScope, "none of the scopes is registered for the client")
}

//! Validates requests to the authorization endpoint (RFC 6749 section 4.1.1, SMART App Launch 2.2 "App Launch") before the
//! user is asked anything.
use serde::{Deserialize, Serialize};

use crate::model::encode;

use super::super::granted::{GrantHolder, granted};
use super::super::registry::{Client, GrantType, LaunchKind};
use super::fields::{Fields, OauthCode, OauthError};
use super::launch::LaunchContext;
use super::server::AuthorizationContext;

/// A valid authorization request. `scope` contains only what is registered for the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AuthorizationRequest {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) launch: Option<LaunchContext>,
}

/// Why the authorization request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationRefusal {
    /// A message for the user, because the client or its redirect URI is not known for certain.
    #[error("{0}")]
    Page(String),
    /// An error for the client: the address to which the browser is redirected.
    #[error("the client is told by a redirect to {0}")]
    Redirect(String),
}

impl AuthorizationContext<'_> {
    pub(super) fn read_authorization(
        &self,
        fields: &Fields,
    ) -> Result<AuthorizationRequest, AuthorizationRefusal> {
        let page = |error: OauthError| AuthorizationRefusal::Page(error.description);
        let client_id = fields.needed("client_id").map_err(page)?;
        let client = self.enabled_client(client_id).map_err(page)?;
        let redirect_uri = fields.needed("redirect_uri").map_err(page)?;
        // Compared as strings, without normalization (RFC 9700 section 2.1).
        if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
            return Err(AuthorizationRefusal::Page(
                "the redirect_uri is not registered for the client".to_owned(),
            ));
        }
        let state = fields.one("state").map_err(page)?;
        self.check_authorization(&client, fields)
            .map_err(|error| AuthorizationRefusal::Redirect(refused_address(redirect_uri, state, &error)))
    }

    fn check_authorization(
        &self,
        client: &Client,
        fields: &Fields,
    ) -> Result<AuthorizationRequest, OauthError> {
        if !client.may(GrantType::AuthorizationCode) {
            let description = "the grant is not registered for the client";
            return Err(OauthError::new(OauthCode::UnauthorizedClient, description));
        }
        if fields.needed("response_type")? != "code" {
            let description = "the response_type is `code`";
            return Err(OauthError::new(OauthCode::UnsupportedResponseType, description));
        }
        let challenge = fields.needed("code_challenge")?;
        if fields.one("code_challenge_method")? != Some("S256") {
            return Err(OauthError::invalid_request("the code_challenge_method is `S256`"));
        }
        // The length of a SHA-256 digest in base64url.
        if challenge.len() != 43 {
            return Err(OauthError::invalid_request("the code_challenge is no digest"));
        }
        let audience = fields.needed("aud")?;
        if audience.strip_suffix('/').unwrap_or(audience) != self.base_url() {
            return Err(OauthError::invalid_request("aud is not this server"));
        }
        if fields.one("prompt")?.is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
            return Err(OauthError::new(OauthCode::LoginRequired, "nobody is logged in between requests"));
        }
        let mut scope = granted(fields.needed("scope")?, &client.scope, GrantHolder::User);
        if !client.may(GrantType::RefreshToken) {
            scope.retain(|scope| !matches!(scope.as_str(), "offline_access" | "online_access"));
        }
        if scope.is_empty() {
            let description = "none of the scopes is registered for the client";
            return Err(OauthError::new(OauthCode::InvalidScope, description));
        }
        let has_launch = scope.iter().any(|scope| scope == "launch");
        let kind = if has_launch { LaunchKind::Ehr } else { LaunchKind::Standalone };
        if !client.may_launch(kind) {
            let description = "the client is not registered for this kind of launch";
            return Err(OauthError::new(OauthCode::UnauthorizedClient, description));
        }
        let launch = if has_launch {
            let context = self.launch_context(fields.needed("launch")?)?;
            Some(
                context
                    .ok_or_else(|| OauthError::invalid_request("the launch is not known, or has expired"))?,
            )
        } else {
            None
        };
        let text = |name: &str| Ok::<_, OauthError>(fields.one(name)?.map(str::to_owned));
        Ok(AuthorizationRequest {
            client_id: client.client_id.clone(),
            redirect_uri: fields.needed("redirect_uri")?.to_owned(),
            scope,
            state: text("state")?,
            challenge: challenge.to_owned(),
            nonce: text("nonce")?,
            launch,
        })
    }
}

/// The client's redirect URI with an error.
pub(super) fn refused_address(redirect_uri: &str, state: Option<&str>, error: &OauthError) -> String {
    let mut pairs = vec![("error", error.code.text()), ("error_description", error.description.as_str())];
    pairs.extend(state.map(|state| ("state", state)));
    with_query(redirect_uri, &pairs)
}

/// Adds query parameters to an address.
pub(super) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = address.to_owned();
    for (name, value) in pairs {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn parameters_are_added_encoded() {
        assert_eq!(
            with_query("https://a/cb", &[("a", "1 &="), ("b", "ü")]),
            "https://a/cb?a=1%20%26%3D&b=%C3%BC"
        );
        assert_eq!(with_query("com.app:/cb?x=1", &[("a", "1")]), "com.app:/cb?x=1&a=1");
    }
}

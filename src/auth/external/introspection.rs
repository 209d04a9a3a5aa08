//! Opaque tokens of another issuer, which the server asks about them (RFC 7662). Answers are cached only briefly, because
//! the issuer may revoke a token.
use serde_json::Value;

use crate::auth::issuer::{TOKEN_BYTES_MAX, TokenError};
use crate::auth::party::Party;
use crate::model::Millis;

use super::issuer::check_claims;
use super::registration::Registrations;
use super::source::{IntrospectedAt, JwksSource};
use super::unverified_jwt::unambiguous;

/// How long an introspection answer is cached, in milliseconds.
pub const ANSWER_MILLIS_MAX: Millis = 60_000;
/// How many inactive tokens are remembered.
const REFUSED_MAX: usize = 10_000;

/// The introspection endpoint, and the registrations of its issuer's clients and users.
pub struct Introspection {
    at: IntrospectedAt,
    /// The value that `aud` must contain.
    audience: String,
    /// Whether the answer may omit `aud`.
    audience_is_optional: bool,
    pub(super) registrations: Registrations,
    /// Digests of inactive tokens, each with the time until which the answer is cached.
    refused: quick_cache::sync::Cache<[u8; 32], Millis>,
}

impl Introspection {
    #[must_use]
    pub fn new(at: IntrospectedAt, audience: String, registrations: Registrations) -> Self {
        let refused = quick_cache::sync::Cache::new(REFUSED_MAX);
        Self { at, audience, audience_is_optional: false, registrations, refused }
    }

    /// Accepts answers without `aud`, for an issuer whose tokens are for this server only.
    #[must_use]
    pub fn without_audience(self) -> Self {
        Self { audience_is_optional: true, ..self }
    }

    /// The party of an opaque token.
    pub(super) fn party(
        &self,
        (token, digest): (&str, [u8; 32]),
        source: &dyn JwksSource,
        now: Millis,
    ) -> Result<Party, TokenError> {
        let is_token = token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || !is_token {
            return Err(TokenError::Malformed);
        }
        let inactive = || TokenError::Untrusted("it is not active".to_owned());
        if self.refused.get(&digest).is_some_and(|until| now < until) {
            return Err(inactive());
        }
        let answer =
            source.introspect(&self.at, token).map_err(|error| TokenError::Unavailable(error.to_string()))?;
        let unreadable = || TokenError::Unavailable("the answer about the token cannot be read".to_owned());
        let claims = unambiguous(&answer).ok_or_else(unreadable)?;
        if claims.get("active") != Some(&Value::Bool(true)) {
            self.refused.insert(digest, now.saturating_add(ANSWER_MILLIS_MAX));
            return Err(inactive());
        }
        let is_ours = |audience: &Value| match audience {
            Value::Array(several) => several.iter().any(|one| one.as_str() == Some(&self.audience)),
            one => one.as_str() == Some(&self.audience),
        };
        if !claims.get("aud").map_or(self.audience_is_optional, is_ours) {
            return Err(TokenError::Untrusted("it is for another server".to_owned()));
        }
        // SMART App Launch, "Token Introspection": exp, scope and client_id are required.
        let expires = check_claims(&claims, now)?;
        self.registrations.party(&self.at.url, &claims, (token, expires))
    }
}

//! Opaque tokens: their issuer is asked what they are (RFC 7662). Its answer is kept for a short time, because it may
//! take a token back.
use serde_json::Value;

use crate::auth::issuer::{TOKEN_BYTES_MAX, TokenError};
use crate::auth::party::Party;
use crate::model::Millis;

use super::issuer::check_claims;
use super::registration::Registrations;
use super::source::{IntrospectedAt, JwksSource};
use super::unverified_jwt::unambiguous;

/// How long an answer is kept, in milliseconds.
pub const ANSWER_MILLIS_MAX: Millis = 60_000;
/// How many answers that refuse are kept.
const REFUSED_MAX: usize = 10_000;

/// Where opaque tokens are asked for, and who is registered of their issuer.
pub struct Introspection {
    at: IntrospectedAt,
    /// What the answer has in `aud`.
    audience: String,
    /// Whether it may leave that out.
    audience_is_optional: bool,
    pub(super) registrations: Registrations,
    /// Tokens that are not active, by digest, and until when that is believed.
    refused: quick_cache::sync::Cache<[u8; 32], Millis>,
}

impl Introspection {
    #[must_use]
    pub fn new(at: IntrospectedAt, audience: String, registrations: Registrations) -> Self {
        let refused = quick_cache::sync::Cache::new(REFUSED_MAX);
        Self { at, audience, audience_is_optional: false, registrations, refused }
    }

    /// The same, where answers are believed that do not say for whom a token is: its issuer has no other servers.
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
        let answer = source.introspect(&self.at, token).map_err(TokenError::Unavailable)?;
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
        // SMART App Launch, "Token Introspection": exp, scope and client_id are always there.
        let expires = check_claims(&claims, now)?;
        self.registrations.party(&self.at.url, &claims, (token, expires))
    }
}

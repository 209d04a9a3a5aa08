//! Assertions with which a client proves who it is (RFC 7523; SMART App Launch 2.2, "Client Authentication:
//! Asymmetric"). Whatever is wrong with one, the answer is the same.
use jsonwebtoken::Validation;
use serde::Deserialize;
use serde_json::Value;

use crate::model::decode_base64_url;

use super::super::external::CLIENT_ALGORITHMS;
use super::super::purpose::asserted_purposes;
use super::super::registry::{Client, ClientAuthentication, Expiring, Kept};
use super::fields::{OauthCode, OauthError};
use super::seal::digest_text;
use super::server::AuthorizationContext;

/// The longest assertion, in bytes.
const ASSERTION_BYTES_MAX: usize = 16 * 1024;
/// The longest `jti`, in bytes.
const ID_BYTES_MAX: usize = 256;
/// How far the clocks of client and server may differ, in seconds.
const LEEWAY_SECONDS: i64 = 10;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    jti: String,
}

impl AuthorizationContext<'_> {
    /// Authenticates a client by its assertion.
    pub(super) fn client_of_assertion(&self, assertion: &str) -> Result<Client, OauthError> {
        let claimed = claimed_client(assertion).ok_or_else(OauthError::invalid_client)?;
        let client = self.enabled_client(&claimed)?;
        let is_asymmetric = client.token_endpoint_auth_method == ClientAuthentication::PrivateKeyJwt;
        let claims = self.proven(&client, assertion).filter(|_| is_asymmetric);
        let claims = claims.ok_or_else(OauthError::invalid_client)?;
        // An assertion can be used once (RFC 7523 section 3, item 7).
        let name = digest_text(&format!("{}\n{}", client.client_id, claims.jti));
        let expires = claims.exp.saturating_add(LEEWAY_SECONDS).saturating_mul(1_000);
        match self.server.registry.keep(Expiring::Assertion, &name, &true, (expires, self.now))? {
            Kept::Yes => Ok(client),
            Kept::No => Err(OauthError::invalid_client()),
        }
    }

    /// The verified claims, if the client has signed the assertion for this server and it is valid now.
    fn proven(&self, client: &Client, assertion: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(assertion).ok()?;
        let algorithm = header.alg;
        // Keys come from the registration; a `jku` header is accepted only if it equals the registered address.
        let has_right_address = header.jku.is_none() || header.jku == client.jwks_uri;
        let is_jwt = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("jwt"));
        if !CLIENT_ALGORITHMS.contains(&algorithm) || !has_right_address || !is_jwt {
            return None;
        }
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[self.address("/auth/token")]);
        rules.set_issuer(&[&client.client_id]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Compared with the server's own clock below.
        rules.validate_exp = false;
        let key_id = header.kid?;
        let key = self.server.client_keys.key(client, (&key_id, algorithm), self.now)?;
        let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &rules).ok()?.claims;
        let now = self.seconds();
        let ahead_max = self.server.options.assertion_seconds_max;
        let is_now = claims.exp > now - LEEWAY_SECONDS
            && claims.exp <= now + ahead_max + LEEWAY_SECONDS
            && claims.nbf.is_none_or(|not_before| not_before <= now + LEEWAY_SECONDS);
        let has_id = !claims.jti.is_empty() && claims.jti.len() <= ID_BYTES_MAX;
        (is_now && has_id && claims.iss == claims.sub && claims.iss == client.client_id).then_some(claims)
    }
}

/// The unverified `iss`: it only chooses the registration whose keys verify the assertion.
pub(super) fn claimed_client(assertion: &str) -> Option<String> {
    payload(assertion)?.get("iss")?.as_str().map(str::to_owned)
}

fn payload(assertion: &str) -> Option<Value> {
    if assertion.len() > ASSERTION_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&decode_base64_url(assertion.split('.').nth(1)?)?).ok()
}

/// The purposes that a verified assertion states (UDAP Security, "B2B Authorization Extension Object"; IHE IUA).
pub(super) fn purposes_of(assertion: Option<&str>) -> Result<Vec<String>, OauthError> {
    let Some(assertion) = assertion else { return Ok(Vec::new()) };
    let claims = payload(assertion).ok_or_else(OauthError::invalid_client)?;
    asserted_purposes(&claims).map_err(|error| OauthError::new(OauthCode::InvalidGrant, error.to_string()))
}

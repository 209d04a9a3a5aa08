//! An external issuer: its access tokens are JWTs (RFC 9068) that are verified with its own keys only.
use jsonwebtoken::{Algorithm, Validation};
use serde_json::Value;

use crate::auth::issuer::{LEEWAY_SECONDS, TokenError};
use crate::auth::party::Party;
use crate::model::Millis;

use super::key_cache::KeyCache;
use super::registration::Registrations;
use super::source::JwksSource;
use super::unverified_jwt::{UnverifiedJwt, seconds};

/// The algorithms that can be configured for an issuer, by name (RFC 7518, RFC 8037). None is symmetric.
pub const ALGORITHMS: [(&str, Algorithm); 7] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("EdDSA", Algorithm::EdDSA),
];
/// The longest key id, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;
/// Claims of id tokens (OpenID Connect Core). An id token is for a client, so it must not pass as an access token.
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// An external issuer with the registrations of its clients and users.
pub struct ExternalIssuer {
    /// The exact value of `iss` in its tokens.
    pub url: String,
    /// The value that `aud` of its tokens must contain.
    pub audience: String,
    pub algorithms: Vec<Algorithm>,
    pub keys: KeyCache,
    pub registrations: Registrations,
}

impl ExternalIssuer {
    /// Verifies a token of this issuer and returns its party.
    pub(super) fn party(
        &self,
        token: &str,
        jwt: &UnverifiedJwt,
        (source, now): (&dyn JwksSource, Millis),
    ) -> Result<Party, TokenError> {
        let algorithm = self.algorithm(jwt)?;
        check_header(jwt)?;
        let key = self.keys.key(jwt.header("kid"), algorithm, (source, now))?;
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[&self.url]);
        // Otherwise jsonwebtoken would accept tokens without these claims.
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // `check_claims` compares the times with the server's own clock.
        rules.validate_exp = false;
        jsonwebtoken::decode::<Value>(token, &key, &rules)
            .map_err(|error| TokenError::Untrusted(error.to_string()))?;
        // INVARIANT: `jwt.claims` was parsed from the bytes whose signature has just been verified.
        let claims = &jwt.claims;
        let expires = check_claims(claims, now)?;
        self.registrations.party(&self.url, claims, (token, expires))
    }

    /// The algorithm in the header, if this issuer is configured for it.
    fn algorithm(&self, jwt: &UnverifiedJwt) -> Result<Algorithm, TokenError> {
        let named = jwt.header("alg");
        let known = ALGORITHMS.iter().find(|(name, _)| Some(*name) == named).map(|(_, algorithm)| *algorithm);
        known
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| TokenError::Untrusted("the algorithm is not one of its issuer".to_owned()))
    }
}

/// Checks `crit`, `kid` and `typ`. Keys in the header (`jwk`, `jku`, `x5u`, `x5c`) are never used.
fn check_header(jwt: &UnverifiedJwt) -> Result<(), TokenError> {
    let untrusted = |what: &str| Err(TokenError::Untrusted(what.to_owned()));
    // RFC 7515 section 4.1.11: critical headers must be understood, and this server understands none.
    if jwt.header.get("crit").is_some() {
        return untrusted("it has critical headers");
    }
    let is_id = |id: &Value| id.as_str().is_some_and(|id| !id.is_empty() && id.len() <= KEY_ID_BYTES_MAX);
    if !jwt.header.get("kid").is_none_or(is_id) {
        return untrusted("its key id is none");
    }
    match jwt.header.get("typ").map(|is| is.as_str().unwrap_or_default().to_ascii_lowercase()).as_deref() {
        Some("at+jwt" | "application/at+jwt") => Ok(()),
        // Many issuers do not follow RFC 9068; then the claims must tell an access token from an id token.
        None | Some("jwt") => {
            let has = |name: &str| jwt.claims.get(name).is_some();
            let is_access = has("scope") && !ID_TOKEN_CLAIMS.iter().any(|name| has(name));
            if is_access { Ok(()) } else { untrusted("it is no access token") }
        }
        Some(_) => untrusted("it is of another type"),
    }
}

/// The expiry in milliseconds, if the token is valid now.
pub(super) fn check_claims(claims: &Value, now: Millis) -> Result<Millis, TokenError> {
    let leeway = Millis::try_from(LEEWAY_SECONDS * 1_000).unwrap_or(0);
    let millis = |name: &str| seconds(claims.get(name)).map(|seconds| seconds.saturating_mul(1_000));
    let expires = millis("exp").ok_or(TokenError::Malformed)?;
    if expires.saturating_add(leeway) <= now {
        return Err(TokenError::Expired);
    }
    if claims.get("nbf").is_some() {
        let begins = millis("nbf").ok_or(TokenError::Malformed)?;
        if begins.saturating_sub(leeway) > now {
            return Err(TokenError::Untrusted("its time has not come".to_owned()));
        }
    }
    Ok(expires)
}

//! Token introspection (RFC 7662) and revocation (RFC 7009).
use serde_json::{Value, json};

use super::super::registry::Expiring;
use super::fields::{Fields, OauthError};
use super::server::AuthorizationContext;

/// How long past its expiry a revoked token is remembered, in milliseconds: longer than any clock leeway.
const REVOKED_MS: i64 = 5 * 60 * 1_000;

impl AuthorizationContext<'_> {
    /// The introspection response. Only clients that have authenticated get one.
    ///
    /// # Errors
    /// [`OauthError`] if client authentication fails.
    pub fn introspect(&self, authorization: Option<&str>, fields: &Fields) -> Result<Value, OauthError> {
        self.confidential_client(authorization, fields)?;
        let token = fields.needed("token")?;
        let inactive = json!({"active": false});
        if let Some(refresh) = self.read_refresh_token(token) {
            let registry = &self.server.registry;
            let grant = self.grant(&refresh.grant)?.filter(|grant| grant.generation == refresh.generation);
            let good = match grant {
                Some(grant) => {
                    let (user, client) = (registry.user(&grant.user)?, registry.client(&grant.client)?);
                    grant.stands(user.as_ref(), client.as_ref()).then_some(grant)
                }
                None => None,
            };
            return Ok(good.map_or(inactive, |grant| {
                json!({
                    "active": true, "scope": grant.scope, "client_id": grant.client, "sub": grant.user,
                    "username": grant.user, "exp": grant.expires.div_euclid(1_000), "iss": self.base_url(),
                    "token_type": "refresh_token"
                })
            }));
        }
        let Ok(party) = self.issuer.verify(token, self.now) else { return Ok(inactive) };
        let admitted = self.server.registry.admits(&party).map_err(|_| OauthError::failed())?;
        let claims = self.issuer.claims(token, self.now).ok().filter(|_| admitted);
        let Some(claims) = claims else { return Ok(inactive) };
        let mut answer = json!({
            "active": true, "scope": claims.scope, "client_id": claims.client_id, "sub": claims.sub,
            "exp": claims.exp, "iat": claims.iat, "iss": claims.iss, "aud": claims.aud, "jti": claims.jti,
            "token_type": "Bearer"
        });
        let fhir_user = claims.fhir_user.map(|reference| format!("{}/{reference}", self.base_url()));
        let encounter = match &claims.grant {
            Some(id) => self.grant(id)?.and_then(|grant| grant.encounter),
            None => None,
        };
        if let Some(members) = answer.as_object_mut() {
            members.extend(claims.confirmation.map(|confirmation| ("cnf".to_owned(), json!(confirmation))));
            for (name, value) in
                [("fhirUser", fhir_user), ("patient", claims.patient), ("encounter", encounter)]
            {
                members.extend(value.map(|value| (name.to_owned(), json!(value))));
            }
        }
        Ok(answer)
    }

    /// Revokes a token of the client. A refresh token revokes its whole grant. For unknown tokens and those of other
    /// clients, nothing happens and the client is told nothing.
    ///
    /// # Errors
    /// [`OauthError`] if client authentication fails.
    pub fn revoke(&self, authorization: Option<&str>, fields: &Fields) -> Result<(), OauthError> {
        let client = self.client(authorization, fields)?;
        let token = fields.needed("token")?;
        if let Some(refresh) = self.read_refresh_token(token) {
            let is_own = self.grant(&refresh.grant)?.is_some_and(|grant| grant.client == client.client_id);
            return if is_own { self.revoke_grant(&refresh.grant) } else { Ok(()) };
        }
        let Ok(claims) = self.issuer.claims(token, self.now) else { return Ok(()) };
        if claims.client_id != client.client_id {
            return Ok(());
        }
        let expires = claims.exp.saturating_mul(1_000).saturating_add(REVOKED_MS);
        // An existing record means that the token was revoked before.
        self.server.registry.keep(Expiring::Revoked, &claims.jti, &true, (expires, self.now))?;
        Ok(())
    }
}

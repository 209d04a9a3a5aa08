//! Authorization codes (RFC 6749 section 4.1.3, RFC 7636): short-lived, used once, and bound to client, redirect URI and
//! verifier. Reuse revokes every token issued from the code.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::Millis;

use super::super::jwk::base64_url;
use super::super::registry::{Amendment, Client, Expiring, Grant, GrantType, Kept, User};
use super::fields::{Fields, OauthError};
use super::seal::{digest_text, secret_text};
use super::server::AuthorizationContext;

/// How long a used code is remembered, in seconds, so that its reuse is noticed.
const REMEMBERED_SECONDS: i64 = 600;
/// How often a revocation is retried after a conflict with a concurrent commit.
const RETRIES_MAX: usize = 8;

/// The stored state of a code.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Code {
    grant: String,
    redirect_uri: String,
    challenge: String,
    expires: Millis,
    used: bool,
}

impl AuthorizationContext<'_> {
    /// Stores a grant and issues a code for it.
    pub(super) fn issue_code(
        &self,
        grant: &Grant,
        redirect_uri: &str,
        challenge: &str,
    ) -> Result<String, OauthError> {
        let (id, code) = (secret_text()?, secret_text()?);
        let registry = &self.server.registry;
        registry.keep(Expiring::Grant, &id, grant, (grant.expires, self.now))?;
        let record = Code {
            grant: id,
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.to_owned(),
            expires: self.ahead(self.server.options.code_seconds),
            used: false,
        };
        let times = (self.ahead(REMEMBERED_SECONDS), self.now);
        registry.keep(Expiring::Code, &digest_text(&code), &record, times)?;
        Ok(code)
    }

    pub(super) fn redeem_code(&self, client: &Client, fields: &Fields) -> Result<Value, OauthError> {
        let name = digest_text(fields.needed("code")?);
        let redirect_uri = fields.needed("redirect_uri")?;
        let verifier = fields.needed("code_verifier")?;
        let registry = &self.server.registry;
        let found = registry.kept::<Code>(Expiring::Code, &name)?;
        let (code, sequence) = found.ok_or_else(OauthError::invalid_grant)?;
        let grant = self.grant(&code.grant)?.ok_or_else(OauthError::invalid_grant)?;
        if grant.client != client.client_id {
            return Err(OauthError::invalid_grant());
        }
        if code.used {
            // The code has leaked (RFC 6749 section 4.1.2).
            self.revoke_grant(&code.grant)?;
            return Err(OauthError::invalid_grant());
        }
        let is_right = code.redirect_uri == redirect_uri
            && code.expires > self.now
            && (43..=128).contains(&verifier.len())
            && bool::from(challenge_of(verifier).as_bytes().ct_eq(code.challenge.as_bytes()));
        if !is_right || grant.revoked {
            return Err(OauthError::invalid_grant());
        }
        let id = code.grant.clone();
        let used = Code { used: true, ..code };
        match registry.amend(Expiring::Code, &name, &used, sequence, Amendment::KeepsTokens)? {
            Kept::Yes => self.answer_of_grant(client, (&id, &grant), &grant.scope),
            Kept::No => {
                self.revoke_grant(&id)?;
                Err(OauthError::invalid_grant())
            }
        }
    }

    pub(super) fn grant(&self, id: &str) -> Result<Option<Grant>, OauthError> {
        let found = self.server.registry.kept::<Grant>(Expiring::Grant, id)?;
        Ok(found.map(|(grant, _)| grant).filter(|grant| grant.expires > self.now))
    }

    /// Revokes a grant and thereby all its tokens.
    pub(super) fn revoke_grant(&self, id: &str) -> Result<(), OauthError> {
        let registry = &self.server.registry;
        for _ in 0..RETRIES_MAX {
            let Some((grant, sequence)) = registry.kept::<Grant>(Expiring::Grant, id)? else {
                return Ok(());
            };
            let revoked = Grant { revoked: true, ..grant };
            let kept = registry.amend(Expiring::Grant, id, &revoked, sequence, Amendment::EndsTokens)?;
            if kept == Kept::Yes {
                return Ok(());
            }
        }
        Err(OauthError::failed())
    }

    /// The user of a grant, if the grant is still valid for the user and the client.
    pub(super) fn user_of(&self, grant: &Grant, client: &Client) -> Result<User, OauthError> {
        let user = self.server.registry.user(&grant.user)?;
        let user = user.filter(|user| grant.stands(Some(user), Some(client)));
        user.ok_or_else(OauthError::invalid_grant)
    }

    /// The token response of a grant, for some of its scopes.
    pub(super) fn answer_of_grant(
        &self,
        client: &Client,
        (id, grant): (&str, &Grant),
        scope: &str,
    ) -> Result<Value, OauthError> {
        let user = self.user_of(grant, client)?;
        let left = grant.expires.saturating_sub(self.now).div_euclid(1_000);
        let lifetime = self.server.options.user_token_seconds.min(left);
        let mut token = self.blank_token(client, lifetime)?;
        token.sub.clone_from(&user.name);
        scope.clone_into(&mut token.scope);
        token.role.clone_from(&user.role);
        token.organization.clone_from(&user.organization);
        token.fhir_user.clone_from(&user.fhir_user);
        token.patient.clone_from(&grant.patient);
        token.confined_to.clone_from(&user.patient);
        token.purpose_of_use =
            grant.purpose.iter().filter(|code| user.purposes.contains(code)).cloned().collect();
        token.may_break_glass = user.may_break_glass;
        token.grant = Some(id.to_owned());
        let mut answer = json!({
            "access_token": self.signed(&token)?, "token_type": "Bearer", "expires_in": lifetime, "scope": scope
        });
        let mut put = |name: &str, value: Value| {
            if let Some(members) = answer.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(patient) = &grant.patient {
            put("patient", json!(patient));
            put("need_patient_banner", json!(grant.need_patient_banner));
            put("smart_style_url", json!(self.address("/auth/smart-style.json")));
        }
        if let Some(encounter) = &grant.encounter {
            put("encounter", json!(encounter));
        }
        if scope.split_whitespace().any(|granted| granted == "openid") {
            put("id_token", json!(self.id_token(client, &user, grant, scope)?));
        }
        let is_lasting = grant.has("offline_access") || grant.has("online_access");
        if is_lasting && client.may(GrantType::RefreshToken) {
            put("refresh_token", json!(self.refresh_token(id, grant.generation)?));
        }
        Ok(answer)
    }

    /// The id token, which tells the client who the user is (OpenID Connect Core section 2; SMART App Launch 2.2, "Scopes
    /// for requesting identity data").
    fn id_token(
        &self,
        client: &Client,
        user: &User,
        grant: &Grant,
        scope: &str,
    ) -> Result<String, OauthError> {
        let has = |name: &str| scope.split_whitespace().any(|granted| granted == name);
        let iat = self.seconds();
        let mut claims = json!({
            "iss": self.base_url(), "sub": user.name, "aud": client.client_id, "iat": iat,
            "exp": iat + self.server.options.user_token_seconds,
            "auth_time": grant.authenticated.div_euclid(1_000)
        });
        let address = user.fhir_user.as_ref().map(|reference| format!("{}/{reference}", self.base_url()));
        let optional = [
            ("nonce", grant.nonce.clone()),
            ("fhirUser", address.clone().filter(|_| has("fhirUser"))),
            ("profile", address.filter(|_| has("profile"))),
        ];
        if let Some(members) = claims.as_object_mut() {
            for (name, value) in optional {
                members.extend(value.map(|value| (name.to_owned(), json!(value))));
            }
        }
        self.server.identity.sign(&claims).map_err(|_| OauthError::failed())
    }
}

/// The code challenge of a code verifier (RFC 7636 section 4.2, S256).
fn challenge_of(verifier: &str) -> String {
    base64_url(&Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let challenge = super::challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}

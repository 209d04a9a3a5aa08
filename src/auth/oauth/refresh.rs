//! Refresh tokens. Each is used once and replaced by the next one. Reuse shows that the token has leaked, and revokes the
//! whole grant (RFC 9700 section 4.14.2).
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::granted::{GrantHolder, granted};
use super::super::registry::{Amendment, Client, Expiring, Grant, Kept};
use super::fields::{Fields, OauthError};
use super::server::AuthorizationContext;
use super::token::invalid_scope;

/// The content of a refresh token. It is sealed, so that nobody can forge a token in order to have a grant revoked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RefreshToken {
    pub(super) grant: String,
    pub(super) generation: u64,
}

const SORT: &str = "refresh token";

impl AuthorizationContext<'_> {
    pub(super) fn refresh_token(&self, grant: &str, generation: u64) -> Result<String, OauthError> {
        self.server.sealer.seal(SORT, &RefreshToken { grant: grant.to_owned(), generation })
    }

    /// The content of a refresh token; `None` if the text is none.
    pub(super) fn read_refresh_token(&self, text: &str) -> Option<RefreshToken> {
        self.server.sealer.open(SORT, text)
    }

    /// The client of a refresh request. A public client may omit its id, because the token belongs to one client and the
    /// request in SMART App Launch 2.2 ("Refresh access token") has no `client_id`.
    pub(super) fn refreshing_client(
        &self,
        authorization: Option<&str>,
        fields: &Fields,
    ) -> Result<Client, OauthError> {
        const NAMES: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
        if authorization.is_some() || NAMES.iter().any(|name| fields.all(name).next().is_some()) {
            return self.client(authorization, fields);
        }
        let token = self.read_refresh_token(fields.needed("refresh_token")?);
        let grant = token.map_or(Ok(None), |token| self.grant(&token.grant))?;
        self.public_client(&grant.ok_or_else(OauthError::invalid_grant)?.client)
    }

    pub(super) fn refresh(&self, client: &Client, fields: &Fields) -> Result<Value, OauthError> {
        let token = self.read_refresh_token(fields.needed("refresh_token")?);
        let RefreshToken { grant: id, generation } = token.ok_or_else(OauthError::invalid_grant)?;
        let registry = &self.server.registry;
        let found = registry.kept::<Grant>(Expiring::Grant, &id)?;
        let (grant, sequence) = found.ok_or_else(OauthError::invalid_grant)?;
        if grant.client != client.client_id || grant.revoked || grant.expires <= self.now {
            return Err(OauthError::invalid_grant());
        }
        if grant.generation != generation {
            self.revoke_grant(&id)?;
            return Err(OauthError::invalid_grant());
        }
        let scope = narrowed(fields.one("scope")?, &grant.scope)?;
        self.user_of(&grant, client)?;
        let next = Grant { generation: generation + 1, ..grant };
        match registry.amend(Expiring::Grant, &id, &next, sequence, Amendment::KeepsTokens)? {
            Kept::Yes => self.answer_of_grant(client, (&id, &next), &scope),
            Kept::No => {
                // Two requests have used the token at the same time.
                self.revoke_grant(&id)?;
                Err(OauthError::invalid_grant())
            }
        }
    }
}

/// The requested scopes, if the grant has all of them (RFC 6749 section 6).
fn narrowed(asked: Option<&str>, granted_scope: &str) -> Result<String, OauthError> {
    let Some(asked) = asked else { return Ok(granted_scope.to_owned()) };
    let found = granted(asked, granted_scope, GrantHolder::User);
    let is_whole = asked.split_whitespace().all(|scope| found.iter().any(|found| found == scope));
    if is_whole && !found.is_empty() { Ok(found.join(" ")) } else { Err(invalid_scope()) }
}

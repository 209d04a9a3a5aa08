//! Who asks: the party of an access token (of this server or a trusted issuer), of a client certificate, or of an open server.
use std::sync::Arc;

use crate::auth::{Client, Party, Role, TokenError, Trust, User};
use crate::model::{Issue, IssueCode, Outcome};

use super::answer::{Refusal, RefusalKind};
use super::context::Context;

/// A registered client or user: role, `Organization/id`, and the FHIR user (`Practitioner/id` and the like).
type Registered = (Role, Option<String>, Option<String>);

impl Context {
    /// The party of a request's token; without a token the open party, if the server is open.
    ///
    /// # Errors
    /// 401; 403 and 503 as for `authenticate_with`.
    pub fn authenticate(&self, token: Option<&str>) -> Result<Arc<Party>, Refusal> {
        self.authenticate_with(token, None)
    }

    /// Like `authenticate`, for a client that presented a certificate, given by its SHA-256. Without a token the party is that of
    /// the certificate. A token bound to a certificate (RFC 8705 section 3) is valid with that certificate only.
    ///
    /// # Errors
    /// 401; 403 for a token that states a purpose that is not allowed; 503 if its issuer cannot be asked.
    pub fn authenticate_with(
        &self,
        token: Option<&str>,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Arc<Party>, Refusal> {
        let refuse = |message: String| {
            Refusal::new(RefusalKind::Unauthorized, Issue::error(IssueCode::Login, message))
        };
        let Some(token) = token else {
            let trusted = self.trust.as_ref().zip(certificate);
            let known = trusted.and_then(|(trust, certificate)| trust.party_of_certificate(certificate));
            let party = known.or_else(|| self.open.clone());
            return party.ok_or_else(|| refuse("an access token is needed".to_owned()));
        };
        let own = self.issuer.verify(token, self.now());
        if let Ok(party) = &own
            && !self.authorization.registry.admits(party)?
        {
            return Err(refuse("the access token was revoked".to_owned()));
        }
        let party = match (own, &self.trust) {
            (Err(TokenError::Malformed | TokenError::Untrusted(_)), Some(trust)) => {
                trust.party(token, self.now())
            }
            (own, _) => own,
        };
        let party = party.map_err(|error| token_refusal(&error))?;
        if party.certificate.is_some() && party.certificate.as_ref() != certificate {
            return Err(refuse("the access token needs the certificate that it is bound to".to_owned()));
        }
        Ok(party)
    }

    /// Role, organization and user of every enabled registration, of this server and of trusted issuers.
    pub(super) fn registered(&self) -> Result<Vec<Registered>, Refusal> {
        let registry = &self.authorization.registry;
        let mut found = Vec::new();
        for client in registry.list::<Client>()?.into_iter().filter(|client| !client.disabled) {
            let role = client.role.as_deref().and_then(Role::parse);
            found.extend(role.map(|role| (role, client.organization, client.fhir_user)));
        }
        for user in registry.list::<User>()?.into_iter().filter(|user| !user.disabled) {
            found.extend(Role::parse(&user.role).map(|role| (role, user.organization, user.fhir_user)));
        }
        let of_others = self.trust.iter().flat_map(Trust::registered);
        found.extend(of_others.map(|(role, organization, user)| {
            (role, organization.map(str::to_owned), user.map(str::to_owned))
        }));
        Ok(found)
    }

    /// Whether checking a token may have to wait for another server or for a database.
    #[must_use]
    pub fn may_ask_others(&self, token: &str) -> bool {
        !self.kv.is_local() || self.trust.as_ref().is_some_and(|trust| trust.may_ask(token, self.now()))
    }
}

fn token_refusal(error: &TokenError) -> Refusal {
    let (kind, code) = match error {
        TokenError::Malformed | TokenError::Expired | TokenError::Untrusted(_) => {
            (RefusalKind::Unauthorized, IssueCode::Login)
        }
        TokenError::Forbidden(_) => (RefusalKind::Forbidden, IssueCode::Forbidden),
        TokenError::Unavailable(_) => (RefusalKind::Busy, IssueCode::Transient),
    };
    let outcome = Outcome::error(code, error.to_string());
    match error {
        TokenError::Untrusted(why) | TokenError::Unavailable(why) => {
            Refusal::new(kind, outcome.because(why.clone()))
        }
        TokenError::Malformed | TokenError::Expired | TokenError::Forbidden(_) => Refusal::new(kind, outcome),
    }
}

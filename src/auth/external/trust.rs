//! What the server trusts besides its own issuer to identify parties: external issuers, an introspection endpoint, and
//! client certificates.
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::issuer::{LEEWAY_SECONDS, TokenError};
use crate::auth::party::Party;
use crate::auth::role::Role;
use crate::model::{Millis, hex};

use super::introspection::{ANSWER_MILLIS_MAX, Introspection};
use super::issuer::ExternalIssuer;
use super::registration::{ClientRegistration, client_party};
use super::source::JwksSource;
use super::unverified_jwt::{UnverifiedJwt, is_signed};

/// How many verified tokens are cached.
const VERIFIED_MAX: usize = 10_000;
/// How long a verified token is cached before it is verified again with the issuer's current keys, in milliseconds.
pub const VERIFIED_MILLIS_MAX: Millis = 300_000;

/// A client that is identified by its TLS certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRegistration {
    /// The SHA-256 digest of the certificate in DER.
    pub sha256: [u8; 32],
    pub client: ClientRegistration,
}

/// The trusted issuers and certificates, with a cache of verified tokens.
pub struct Trust {
    source: Arc<dyn JwksSource>,
    issuers: Vec<ExternalIssuer>,
    introspection: Option<Introspection>,
    certificates: Vec<([u8; 32], Arc<Party>)>,
    verified: quick_cache::sync::Cache<[u8; 32], Verified>,
}

#[derive(Clone)]
struct Verified {
    party: Arc<Party>,
    until: Millis,
}

impl Trust {
    #[must_use]
    pub fn new(
        source: Arc<dyn JwksSource>,
        issuers: Vec<ExternalIssuer>,
        introspection: Option<Introspection>,
        certificates: &[CertificateRegistration],
    ) -> Self {
        let party = |registered: &CertificateRegistration| {
            let id = hex(registered.sha256.first_chunk::<16>().map_or(&[][..], |first| first));
            (registered.sha256, Arc::new(client_party(&registered.client, id)))
        };
        Self {
            source,
            issuers,
            introspection,
            certificates: certificates.iter().map(party).collect(),
            verified: quick_cache::sync::Cache::new(VERIFIED_MAX),
        }
    }

    /// Whether verifying the token may need a request to another server, which takes time.
    #[must_use]
    pub fn may_ask(&self, token: &str, now: Millis) -> bool {
        let is_empty = self.issuers.is_empty() && self.introspection.is_none();
        !is_empty && self.remembered(&digest(token), now).is_none()
    }

    /// Verifies a token of another issuer and returns its party.
    ///
    /// # Errors
    /// [`TokenError`] if the token is not valid now.
    pub fn party(&self, token: &str, now: Millis) -> Result<Arc<Party>, TokenError> {
        let digest = digest(token);
        if let Some(party) = self.remembered(&digest, now) {
            return Ok(party);
        }
        let (party, kept) = if is_signed(token) {
            let jwt = UnverifiedJwt::of(token)?;
            let issuer = jwt.claims.get("iss").and_then(Value::as_str);
            let issuer = self.issuers.iter().find(|known| Some(known.url.as_str()) == issuer);
            let issuer = issuer.ok_or_else(|| TokenError::Untrusted("the issuer is not known".to_owned()))?;
            (issuer.party(token, &jwt, (&*self.source, now))?, VERIFIED_MILLIS_MAX)
        } else {
            let introspection = self.introspection.as_ref().ok_or(TokenError::Malformed)?;
            (introspection.party((token, digest), &*self.source, now)?, ANSWER_MILLIS_MAX)
        };
        let party = Arc::new(party);
        self.verified.insert(digest, Verified { party: party.clone(), until: now.saturating_add(kept) });
        Ok(party)
    }

    /// Role, `Organization/id` and user (`Practitioner/id` and the like) of every registered client and user of other
    /// issuers, and of every registered certificate.
    pub fn registered(&self) -> impl Iterator<Item = (Role, Option<&str>, Option<&str>)> {
        let of_issuers = self.issuers.iter().map(|issuer| &issuer.registrations);
        let of_introspection = self.introspection.iter().map(|asked| &asked.registrations);
        let of_tokens = of_issuers.chain(of_introspection).flat_map(|registrations| {
            let clients = registrations
                .clients
                .iter()
                .map(|client| (client.role, client.organization.as_deref(), None));
            let users = registrations
                .users
                .iter()
                .map(|user| (user.role, user.organization.as_deref(), user.fhir_user.as_deref()));
            clients.chain(users)
        });
        let of_certificates = self
            .certificates
            .iter()
            .map(|(_, party)| (party.role, party.organization.as_deref(), party.fhir_user.as_deref()));
        of_tokens.chain(of_certificates)
    }

    /// The party of a client that presents this certificate without a token.
    #[must_use]
    pub fn party_of_certificate(&self, sha256: &[u8; 32]) -> Option<Arc<Party>> {
        self.certificates.iter().find(|(known, _)| known == sha256).map(|(_, party)| party.clone())
    }

    fn remembered(&self, digest: &[u8; 32], now: Millis) -> Option<Arc<Party>> {
        let leeway = Millis::try_from(LEEWAY_SECONDS * 1_000).unwrap_or(0);
        let found = self.verified.get(digest)?;
        let is_good = now < found.until && now < found.party.expires.saturating_add(leeway);
        is_good.then_some(found.party)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

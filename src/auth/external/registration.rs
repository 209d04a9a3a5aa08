//! This server's registrations of an issuer's clients and users: the only source of role, organization and user. The claims
//! of a token can only narrow them.
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::issuer::{Confirmation, TokenError};
use crate::auth::party::Party;
use crate::auth::purpose::{PurposeError, asserted_purposes, narrowed_purposes};
use crate::auth::role::Role;
use crate::auth::scope::Scopes;
use crate::model::{Millis, ResourceId, hex};

/// The longest `scope` claim, in bytes.
const SCOPE_BYTES_MAX: usize = 8 * 1024;
/// The longest `jti` that is used as it is, in bytes.
const TOKEN_ID_BYTES_MAX: usize = 128;

/// A client of an external issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRegistration {
    pub client_id: String,
    pub role: Role,
    /// `Organization/id`.
    pub organization: Option<String>,
    /// Codes of v3-ActReason that the client may assert.
    pub purposes: Vec<String>,
    pub default_purpose: Option<String>,
    /// The upper bound of the scopes of its tokens.
    pub scopes: Scopes,
    pub lenient: bool,
    pub assign_ids: bool,
    /// Whether the client only acts for itself: its tokens need no `sub`, and never stand for a user.
    pub machine: bool,
}

/// A user of an external issuer, known by the `sub` of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRegistration {
    pub subject: String,
    pub role: Role,
    /// `Organization/id`; if absent, the client's organization applies.
    pub organization: Option<String>,
    /// `Practitioner/id`, `Patient/id` and the like.
    pub fhir_user: Option<String>,
    /// The id of the only patient whose data the user may reach.
    pub patient: Option<String>,
    /// Codes of v3-ActReason. If not empty, they further limit the client's purposes.
    pub purposes: Vec<String>,
}

/// All registrations of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations {
    pub clients: Vec<ClientRegistration>,
    pub users: Vec<UserRegistration>,
}

impl Registrations {
    /// The party of verified claims. `issuer` prefixes the ids, so that those of different issuers never collide.
    ///
    /// # Errors
    /// [`TokenError`] if the client or user is not registered, or the claims exceed the registration.
    pub(super) fn party(
        &self,
        issuer: &str,
        claims: &Value,
        (token, expires): (&str, Millis),
    ) -> Result<Party, TokenError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let untrusted = |what: &str| TokenError::Untrusted(what.to_owned());
        let client_id = match (text("client_id"), text("azp")) {
            (Some(id), Some(other)) if id != other => return Err(untrusted("two clients")),
            (id, other) => id.or(other).ok_or_else(|| untrusted("no client"))?,
        };
        let client = self.clients.iter().find(|client| client.client_id == client_id);
        let client = client.ok_or_else(|| untrusted("the client is not registered"))?;
        // RFC 7662 makes `sub` optional: without it, a user's token could pass for the client's own and its rights.
        let subject = match (text("sub"), claims.get("sub"), client.machine) {
            (Some(subject), ..) => subject,
            (None, None, true) => client_id,
            (None, ..) => return Err(untrusted("no subject")),
        };
        let user = self.users.iter().find(|user| user.subject == subject).filter(|_| !client.machine);
        if user.is_none() && subject != client_id {
            return Err(untrusted("the user is not registered"));
        }
        let scope = text("scope").ok_or_else(|| untrusted("no scope"))?;
        if scope.len() > SCOPE_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        refuse_unkept(claims)?;
        let fhir_user = user.and_then(|user| user.fhir_user.clone());
        let party = Party {
            subject: format!("{issuer}#{subject}"),
            client: format!("{issuer}#{client_id}"),
            role: user.map_or(client.role, |user| user.role),
            organization: user.and_then(|user| user.organization.clone()).or(client.organization.clone()),
            fhir_user: fhir_user.clone(),
            patient_context: context(claims, user.and_then(|user| user.patient.as_deref()))?,
            confined_to: user.and_then(|user| user.patient.clone()),
            purposes: purposes(claims, client, user)?,
            scopes: Scopes::parse(scope).within(&client.scopes).with_user(fhir_user.as_deref()),
            certificate: confirmed(claims)?,
            expires,
            ..client_party(client, token_id(text("jti"), token))
        };
        Ok(party)
    }
}

/// The party of a client acting for itself, without a token.
pub(super) fn client_party(client: &ClientRegistration, token_id: String) -> Party {
    Party {
        subject: client.client_id.clone(),
        client: client.client_id.clone(),
        role: client.role,
        organization: client.organization.clone(),
        purposes: narrowed_purposes(&[], &client.purposes, client.default_purpose.as_deref())
            .unwrap_or_default(),
        scopes: client.scopes.clone(),
        assign_ids: client.assign_ids,
        lenient: client.lenient,
        token_id,
        expires: Millis::MAX,
        ..Party::nobody()
    }
}

/// The patient of the `patient` claim. If the user is confined to a patient, the claim must name the same one.
fn context(claims: &Value, registered: Option<&str>) -> Result<Option<String>, TokenError> {
    let Some(claimed) = claims.get("patient") else { return Ok(registered.map(str::to_owned)) };
    let id = claimed.as_str().map(|text| text.strip_prefix("Patient/").unwrap_or(text));
    let id = id.and_then(ResourceId::parse).ok_or(TokenError::Malformed)?;
    if registered.is_some_and(|registered| registered != id.as_str()) {
        return Err(TokenError::Untrusted("the token is for another patient than the user".to_owned()));
    }
    Ok(Some(id.to_string()))
}

fn purposes(
    claims: &Value,
    client: &ClientRegistration,
    user: Option<&UserRegistration>,
) -> Result<Vec<String>, TokenError> {
    let of_user = user.map_or([].as_slice(), |user| &user.purposes);
    let is_allowed = |code: &&String| of_user.is_empty() || of_user.contains(code);
    let allowed: Vec<String> = client.purposes.iter().filter(is_allowed).cloned().collect();
    let asserted = asserted_purposes(claims);
    let found = asserted
        .and_then(|asserted| narrowed_purposes(&asserted, &allowed, client.default_purpose.as_deref()));
    found.map_err(|error| match error {
        PurposeError::Malformed(_) => TokenError::Malformed,
        PurposeError::NotAllowed(code) => TokenError::Forbidden(code),
    })
}

/// Refuses restrictions that this server cannot enforce (IHE PCF, `ihe_pcf`); ignoring them would widen the token.
fn refuse_unkept(claims: &Value) -> Result<(), TokenError> {
    let extension = claims.get("extensions").and_then(|extensions| extensions.get("ihe_pcf"));
    match extension.or(claims.get("ihe_pcf")) {
        Some(_) => {
            Err(TokenError::Untrusted("the claim ihe_pcf restricts it in a way that is not kept".to_owned()))
        }
        None => Ok(()),
    }
}

/// The certificate that the bearer must present (RFC 8705 section 3.1). Tokens with another confirmation method are
/// refused, because it cannot be checked.
fn confirmed(claims: &Value) -> Result<Option<[u8; 32]>, TokenError> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let confirmation: Confirmation = serde_json::from_value(confirmation.clone())
        .map_err(|_| TokenError::Untrusted("its confirmation cannot be checked".to_owned()))?;
    confirmation.digest().map(Some)
}

/// The token's id in access records: its `jti`, or the beginning of its digest. It contains nothing of the token itself, so
/// that readers of the records cannot use the token.
fn token_id(jti: Option<&str>, token: &str) -> String {
    match jti.filter(|jti| !jti.is_empty() && jti.len() <= TOKEN_ID_BYTES_MAX) {
        Some(jti) => jti.to_owned(),
        None => hex(Sha256::digest(token).first_chunk::<16>().map_or(&[][..], |first| first)),
    }
}

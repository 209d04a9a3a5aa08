//! Our registrations of the clients and users of an issuer: the only source of role, organization and user. What a token
//! claims narrows them.
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::issuer::{Confirmation, TokenError};
use crate::auth::party::Party;
use crate::auth::purpose::{PurposeError, asserted_purposes, narrowed_purposes};
use crate::auth::role::Role;
use crate::auth::scope::Scopes;
use crate::model::{Millis, ResourceId, hex};

/// The longest list of scopes, in bytes.
const SCOPE_BYTES_MAX: usize = 8 * 1024;
/// The longest id of a token that is kept as it is, in bytes.
const TOKEN_ID_BYTES_MAX: usize = 128;

/// A client of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRegistration {
    pub client_id: String,
    pub role: Role,
    /// `Organization/id`.
    pub organization: Option<String>,
    /// Codes of v3-ActReason that it may state, and which it has if it states none.
    pub purposes: Vec<String>,
    pub default_purpose: Option<String>,
    /// What its tokens permit at most.
    pub scopes: Scopes,
    pub lenient: bool,
    pub assign_ids: bool,
    /// Whether it asks for itself alone: its tokens need no subject, and are never a user's.
    pub machine: bool,
}

/// A user of an issuer, by the subject of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRegistration {
    pub subject: String,
    pub role: Role,
    /// `Organization/id`; without it the client's.
    pub organization: Option<String>,
    /// `Practitioner/id`, `Patient/id` and the like.
    pub fhir_user: Option<String>,
    /// The id of the patient to whom it is confined.
    pub patient: Option<String>,
    /// Codes of v3-ActReason; if there are any, no others are allowed, whatever the client may state.
    pub purposes: Vec<String>,
}

/// Who is known of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations {
    pub clients: Vec<ClientRegistration>,
    pub users: Vec<UserRegistration>,
}

impl Registrations {
    /// The party of claims that are believed. `issuer` keeps apart the clients and users of several.
    ///
    /// # Errors
    /// [`TokenError`] for who is not registered, and for claims that ask for more than is registered.
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
        // RFC 7662 leaves the subject out as it likes: taken for the client then, a user's token would be more than the user.
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

/// The party of a client by itself, without a token.
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

/// The patient that a token narrows to. Where a user is narrowed to one already, it can only be the same.
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

/// Restrictions that are not kept here: passed over, they would widen the token (IHE PCF, `ihe_pcf`).
fn refuse_unkept(claims: &Value) -> Result<(), TokenError> {
    let extension = claims.get("extensions").and_then(|extensions| extensions.get("ihe_pcf"));
    match extension.or(claims.get("ihe_pcf")) {
        Some(_) => {
            Err(TokenError::Untrusted("the claim ihe_pcf restricts it in a way that is not kept".to_owned()))
        }
        None => Ok(()),
    }
}

/// The certificate that the bearer has to show (RFC 8705 section 3.1). Another way of confirmation cannot be checked here,
/// and a token that needs one is not to be taken without.
fn confirmed(claims: &Value) -> Result<Option<[u8; 32]>, TokenError> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let confirmation: Confirmation = serde_json::from_value(confirmation.clone())
        .map_err(|_| TokenError::Untrusted("its confirmation cannot be checked".to_owned()))?;
    confirmation.digest().map(Some)
}

/// What the token is called in the record of accesses: its own id, or the beginning of its digest. Never any of its own
/// characters, because who reads the record must not be able to use it.
fn token_id(jti: Option<&str>, token: &str) -> String {
    match jti.filter(|jti| !jti.is_empty() && jti.len() <= TOKEN_ID_BYTES_MAX) {
        Some(jti) => jti.to_owned(),
        None => hex(Sha256::digest(token).first_chunk::<16>().map_or(&[][..], |first| first)),
    }
}

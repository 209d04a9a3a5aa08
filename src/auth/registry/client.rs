//! A client registration, with the names of RFC 7591 where there are any: how the client authenticates, what it may
//! request, and for whom it acts. Requests can only narrow it.
use serde::{Deserialize, Serialize};

use crate::definitions::r4;
use crate::model::{Millis, ResourceId};

use super::super::external::KeySet;
use super::super::granted::{SCOPE_BYTES_MAX, is_served};
use super::super::role::Role;
use super::super::scope::{Permission, Scopes};
use super::invalid_registration::InvalidRegistration;

const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// The longest client id or user name, in bytes.
const ID_LEN_MAX: usize = 64;
/// The longest display name or address, in bytes.
const TEXT_LEN_MAX: usize = 2_000;

/// How a client authenticates at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// A shared secret. The client may send it in the header or in the form, whichever method it is registered for.
    #[serde(alias = "client_secret_post")]
    ClientSecretBasic,
    /// An assertion that the client has signed with its own key (RFC 7523).
    PrivateKeyJwt,
    /// None: a public client.
    None,
}

/// The grant types of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    ClientCredentials,
    AuthorizationCode,
    RefreshToken,
}

impl GrantType {
    /// The grant type with that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// How an app may be launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchKind {
    Standalone,
    Ehr,
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub client_id: String,
    pub client_name: String,
    pub token_endpoint_auth_method: ClientAuthentication,
    pub grant_types: Vec<GrantType>,
    /// The scopes that the client may request, separated by spaces.
    pub scope: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The client's public keys, as a JSON Web Key Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The argon2id hash of the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<String>,
    /// The code of the client's role when it acts for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `Organization/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// `Device/id` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    /// The id of the only patient whose data the client may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Codes of v3-ActReason that the client may assert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<String>,
    /// The purpose of a request that states none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_purpose: Option<String>,
    /// Whether unknown search parameters are ignored instead of refused.
    #[serde(default)]
    pub lenient: bool,
    /// Whether it may choose the ids of resources.
    #[serde(default)]
    pub assign_ids: bool,
    /// Whether it may hand in Consents of members with `$member-match`.
    #[serde(default)]
    pub files_consent: bool,
    /// Whether its access tokens are bound to the TLS certificate that it presents at the token endpoint.
    #[serde(default)]
    pub tls_client_certificate_bound_access_tokens: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub launch: Vec<LaunchKind>,
    #[serde(default)]
    pub disabled: bool,
    /// Whether the registration was removed. It is kept, without credentials, so that its id is never given again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Grants and tokens from before this time are refused.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub not_before: Millis,
}

/// Whether `not_before` has no effect, so that it is not stored.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_unset(not_before: &Millis) -> bool {
    *not_before == 0
}

impl Client {
    /// Checks the registration.
    ///
    /// # Errors
    /// Why the registration is invalid.
    pub fn check(&self) -> Result<(), InvalidRegistration> {
        check_id("client_id", &self.client_id)?;
        check_text("client_name", &self.client_name)?;
        if self.grant_types.is_empty() {
            return Err("grant_types are needed".into());
        }
        self.check_keys()?;
        if self.may(GrantType::ClientCredentials) {
            if self.token_endpoint_auth_method == ClientAuthentication::None {
                return Err("client_credentials are not for public clients".into());
            }
            if self.role.is_none() {
                return Err("a client that asks for itself needs a role".into());
            }
        }
        if self.may(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return Err("authorization_code needs redirect_uris".into());
        }
        if self.may(GrantType::RefreshToken) && !self.may(GrantType::AuthorizationCode) {
            return Err("refresh_token comes with authorization_code".into());
        }
        self.redirect_uris.iter().try_for_each(|uri| check_redirect(uri))?;
        check_scope(&self.scope)?;
        let role = self.role.as_deref().map(role_of).transpose()?;
        let actor = Actor {
            role,
            organization: self.organization.as_deref(),
            fhir_user: self.fhir_user.as_deref(),
            patient: self.patient.as_deref(),
            purposes: &self.purposes,
            may_break_glass: false,
        };
        actor.check()?;
        self.check_filing()?;
        match &self.default_purpose {
            Some(purpose) if !self.purposes.contains(purpose) => {
                Err("default_purpose must be one of purposes".into())
            }
            _ => Ok(()),
        }
    }

    /// A client that hands in Consents needs a role, an organization and the scopes; otherwise every attempt would fail.
    fn check_filing(&self) -> Result<(), InvalidRegistration> {
        if !self.files_consent {
            return Ok(());
        }
        if self.role.is_none() || self.organization.is_none() {
            return Err("files_consent needs a role, and the organization that the Consents permit".into());
        }
        let scopes = Scopes::parse(&self.scope);
        if !scopes.permit(Permission::Create, Some("Consent"))
            || !scopes.permit(Permission::Search, Some("Patient"))
        {
            return Err("files_consent needs scopes to create Consents and to search for Patients, such as \
                        system/Consent.c and system/Patient.rs"
                .to_owned()
                .into());
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), InvalidRegistration> {
        let (secret, keys) = (self.secret_hash.is_some(), (self.jwks.is_some(), self.jwks_uri.is_some()));
        match (self.token_endpoint_auth_method, secret, keys) {
            (ClientAuthentication::ClientSecretBasic, true, (false, false))
            | (ClientAuthentication::None, false, (false, false))
            | (ClientAuthentication::PrivateKeyJwt, false, (true, false) | (false, true)) => {}
            (ClientAuthentication::ClientSecretBasic, ..) => {
                return Err("client_secret_basic has a secret and no keys".into());
            }
            (ClientAuthentication::None, ..) => {
                return Err("a public client has neither secret nor keys".into());
            }
            (ClientAuthentication::PrivateKeyJwt, ..) => {
                return Err("private_key_jwt has either jwks or jwks_uri, and no secret".into());
            }
        }
        if let Some(jwks) = &self.jwks {
            KeySet::of_client(jwks).map_err(|error| error.to_string())?;
        }
        match &self.jwks_uri {
            Some(uri) => check_web_address("jwks_uri", uri),
            None => Ok(()),
        }
    }

    /// Whether a grant type is registered for the client.
    #[must_use]
    pub fn may(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether the client may be launched this way. Without registered kinds, it may in every way.
    #[must_use]
    pub fn may_launch(&self, kind: LaunchKind) -> bool {
        self.launch.is_empty() || self.launch.contains(&kind)
    }

    /// The registration without its secret.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        serde_json::json!(Self { secret_hash: None, ..self.clone() })
    }
}

/// Whether a text has only letters, digits and `-._~` (RFC 3986 unreserved), which percent-encoding does not change.
pub(in crate::auth) fn is_unreserved(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

pub(super) fn check_id(name: &str, id: &str) -> Result<(), InvalidRegistration> {
    if id.len() <= ID_LEN_MAX && is_unreserved(id) {
        Ok(())
    } else {
        Err(format!("{name} has 1 to {ID_LEN_MAX} letters, digits or any of -._~").into())
    }
}

fn check_text(name: &str, text: &str) -> Result<(), InvalidRegistration> {
    let is_good = !text.trim().is_empty() && text.len() <= TEXT_LEN_MAX && !text.contains(char::is_control);
    if is_good { Ok(()) } else { Err(format!("{name} is empty, too long or has control characters").into()) }
}

pub(super) fn role_of(code: &str) -> Result<Role, InvalidRegistration> {
    Role::parse(code).ok_or_else(|| format!("there is no role `{code}`").into())
}

/// A client, a user, or the bearer of a minted token. The same checks apply to all.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// `None` for a client that only acts for users.
    pub role: Option<Role>,
    pub organization: Option<&'a str>,
    pub fhir_user: Option<&'a str>,
    pub patient: Option<&'a str>,
    pub purposes: &'a [String],
    pub may_break_glass: bool,
}

impl Actor<'_> {
    /// Checks that the attributes fit together.
    ///
    /// # Errors
    /// Why they do not.
    pub fn check(&self) -> Result<(), InvalidRegistration> {
        check_actor(self.organization, self.fhir_user, self.patient)?;
        check_purposes(self.purposes, self.role)?;
        let Some(role) = self.role else { return Ok(()) };
        let acts_for_itself = matches!(role, Role::Patient | Role::Representative);
        if !acts_for_itself && self.organization.is_none() {
            return Err(format!(
                "the role {} acts for an organization: organization is needed, as Organization/id",
                role.code()
            )
            .into());
        }
        if self.may_break_glass && !role.row().breaks_glass {
            return Err(format!("the role {} does not break the glass", role.code()).into());
        }
        let is_patient = self.fhir_user.is_some_and(|user| user.starts_with("Patient/"));
        if role == Role::Patient && !is_patient {
            return Err("a patient needs its Patient as fhir_user".into());
        }
        Ok(())
    }
}

/// Checks that the role may assert all purposes, or broader ones. Without a role, any role's purposes are allowed.
fn check_purposes(purposes: &[String], role: Option<Role>) -> Result<(), InvalidRegistration> {
    for purpose in purposes {
        if purpose == "BTG" {
            return Err("breaking the glass is asked for case by case, it is no purpose of a token".into());
        }
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if purpose.is_empty() || purpose.len() > ID_LEN_MAX || !purpose.bytes().all(is_code) {
            return Err(format!("`{purpose}` is no code of v3-ActReason").into());
        }
        let Some(role) = role else {
            if !Role::ALL.iter().any(|role| is_within(purpose, role.row().purposes)) {
                return Err(format!("no role asks for the purpose `{purpose}`").into());
            }
            continue;
        };
        if !is_within(purpose, role.row().purposes) {
            return Err(format!(
                "the role {} does not ask for the purpose `{purpose}`, but for {}",
                role.code(),
                role.row().purposes.join(", ")
            )
            .into());
        }
    }
    Ok(())
}

/// Whether a purpose is allowed, or narrower than an allowed one.
fn is_within(purpose: &str, allowed: &[&str]) -> bool {
    let mut open = vec![purpose];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(code) = open.pop() {
        if allowed.contains(&code) {
            return true;
        }
        if !seen.contains(&code) {
            seen.push(code);
            open.extend(r4().broader(ACT_REASON, code).iter().map(String::as_str));
        }
    }
    false
}

fn check_actor(
    organization: Option<&str>,
    fhir_user: Option<&str>,
    patient: Option<&str>,
) -> Result<(), InvalidRegistration> {
    const USERS: [&str; 6] =
        ["Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Person", "Device"];
    let is_of = |reference: &str, types: &[&str]| {
        reference
            .split_once('/')
            .is_some_and(|(name, id)| types.contains(&name) && ResourceId::parse(id).is_some())
    };
    if organization.is_some_and(|reference| !is_of(reference, &["Organization"])) {
        return Err("organization is written as Organization/id".into());
    }
    if fhir_user.is_some_and(|reference| !is_of(reference, &USERS)) {
        return Err(format!("fhir_user is a {} with an id", USERS.join(", ")).into());
    }
    if patient.is_some_and(|id| ResourceId::parse(id).is_none()) {
        return Err("patient is the id of a Patient".into());
    }
    Ok(())
}

/// Checks that the server supports all scopes.
///
/// # Errors
/// Which scope is not supported.
pub fn check_scope(scope: &str) -> Result<(), InvalidRegistration> {
    if scope.len() > SCOPE_BYTES_MAX {
        return Err(format!("scope has more than {SCOPE_BYTES_MAX} bytes").into());
    }
    if scope.split_whitespace().next().is_none() {
        return Err("scope is needed".into());
    }
    match scope.split_whitespace().find(|scope| !is_served(scope)) {
        Some(unknown) => Err(format!("`{unknown}` is no scope that is served").into()),
        None => Ok(()),
    }
}

/// Checks that an address is `https`, or `http` to the loopback interface.
fn check_web_address(name: &str, address: &str) -> Result<(), InvalidRegistration> {
    let local = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
    let is_local = local.iter().any(|start| {
        address.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?']))
    });
    let has_host = address
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?']));
    if !has_host && !is_local {
        return Err(format!("{name} is an https address, or an http address of the own machine").into());
    }
    check_address(name, address)
}

fn check_address(name: &str, address: &str) -> Result<(), InvalidRegistration> {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || address.len() > TEXT_LEN_MAX || address.contains('#') || address.contains('@') {
        return Err(format!("{name} is an address without blanks, user and fragment").into());
    }
    Ok(())
}

/// Checks a redirect URI: a web address, or a native app's scheme named after a domain (RFC 8252 section 7.1).
fn check_redirect(uri: &str) -> Result<(), InvalidRegistration> {
    match uri.split_once(':') {
        Some((scheme, rest)) if scheme.contains('.') && is_unreserved(scheme) && !rest.is_empty() => {
            check_address("redirect_uri", uri)
        }
        _ => check_web_address("redirect_uri", uri),
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, InvalidRegistration};
    use serde_json::{Value, json};

    fn backend() -> Value {
        json!({
            "client_id": "acme", "client_name": "Acme", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scope": "system/*.rs", "secret_hash": "x", "role": "insurer",
            "organization": "Organization/acme", "purposes": ["HPAYMT"], "default_purpose": "HPAYMT"
        })
    }

    fn app() -> Value {
        json!({
            "client_id": "app", "client_name": "App", "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "scope": "openid patient/*.rs launch/patient",
            "redirect_uris": ["https://app.example/cb"]
        })
    }

    fn check(mut client: Value, change: &Value) -> Result<(), InvalidRegistration> {
        for (name, value) in change.as_object().unwrap() {
            client[name] = value.clone();
        }
        serde_json::from_value::<Client>(client).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn a_registration_makes_sense_or_is_refused() {
        check(backend(), &json!({})).unwrap();
        check(app(), &json!({})).unwrap();
        check(backend(), &json!({"purposes": ["CLMATTCH"], "default_purpose": null})).unwrap();
        for uri in ["http://localhost:4567/cb", "com.example.app:/cb", "http://127.0.0.1/cb?x=1"] {
            check(app(), &json!({"redirect_uris": [uri]})).unwrap();
        }
        let refused = [
            json!({"client_id": "a b"}),
            json!({"client_id": "a/b"}),
            json!({"client_id": ""}),
            json!({"role": "king"}),
            json!({"role": null}),
            json!({"organization": "acme"}),
            json!({"fhir_user": "Observation/1"}),
            json!({"patient": "a/b"}),
            json!({"scope": "system/*.sr"}),
            json!({"scope": " "}),
            json!({"purposes": ["BTG"], "default_purpose": null}),
            json!({"purposes": ["TREAT"], "default_purpose": "TREAT"}),
            json!({"default_purpose": "TREAT"}),
            json!({"secret_hash": null}),
            json!({"jwks_uri": "https://x/keys"}),
            json!({"grant_types": []}),
            json!({"token_endpoint_auth_method": "none", "secret_hash": null}),
            json!({"unknown": 1}),
        ];
        for change in refused {
            assert!(check(backend(), &change).is_err(), "{change}");
        }
        let redirects = [
            "http://app.example/cb",
            "https://",
            "https://user@app.example/",
            "https://app.example/cb#here",
            "javascript:alert(1)",
            "http://localhost.evil.example/",
        ];
        for uri in redirects {
            assert!(check(app(), &json!({"redirect_uris": [uri]})).is_err(), "{uri}");
        }
        assert!(check(app(), &json!({"redirect_uris": []})).is_err());
        assert!(check(app(), &json!({"grant_types": ["refresh_token"]})).is_err());
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let client: Client = serde_json::from_value(backend()).unwrap();
        assert!(!client.shown().to_string().contains("secret_hash"));
    }
}

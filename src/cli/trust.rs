//! The configuration sections of other parties that the server trusts: `[[issuer]]`, `[introspection]` and `[[certificate]]`,
//! with their registered clients and users.
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::auth::{
    ALGORITHMS, CertificateRegistration, ClientRegistration, ExternalIssuer, ISSUER_KEYS, IntrospectedAt,
    Introspection, KeyCache, KeysAt, Registrations, Role, Scope, Scopes, Trust, UserRegistration,
};
use crate::model::{ResourceId, ResourceKey, from_hex};

use super::remote::Remote;

/// A trusted issuer of access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// The `iss` claim of its tokens.
    pub url: String,
    /// The source of its keys: exactly one of `jwks_uri` and `jwks_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Allow keys to be fetched without TLS and from private networks, for trials.
    #[serde(default)]
    pub jwks_insecure: bool,
    /// The `aud` claim of its tokens; defaults to the base URL of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The allowed signature algorithms.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientSection>,
    #[serde(default, rename = "user")]
    pub users: Vec<UserSection>,
}

/// The algorithms that SMART requires of every issuer.
fn algorithms() -> Vec<String> {
    vec!["RS384".to_owned(), "ES384".to_owned()]
}

/// The server that introspects opaque tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionSection {
    pub url: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// Allow introspection without TLS and in private networks, for trials.
    #[serde(default)]
    pub insecure: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Accept answers without an audience.
    #[serde(default)]
    pub audience_optional: bool,
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientSection>,
    #[serde(default, rename = "user")]
    pub users: Vec<UserSection>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSection {
    pub client_id: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default)]
    pub purposes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_purpose: Option<String>,
    /// The most that its tokens can permit.
    pub scopes: String,
    #[serde(default)]
    pub lenient: bool,
    #[serde(default)]
    pub assign_ids: bool,
    /// The client acts only for itself: its tokens need no subject, and never stand for a user.
    #[serde(default)]
    pub machine: bool,
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSection {
    pub sub: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, rename = "fhirUser", alias = "fhir_user", skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    #[serde(default)]
    pub purposes: Vec<String>,
}

/// A client that authenticates by certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSection {
    /// The SHA-256 digest of the certificate in DER, in hexadecimal digits, with or without colons.
    pub sha256: String,
    #[serde(rename = "client")]
    pub client: ClientSection,
}

/// Whom a server at a base URL trusts according to these sections.
///
/// # Errors
/// The wrong section, and the reason.
pub(super) fn trust(
    issuers: &[IssuerSection],
    introspection: Option<&IntrospectionSection>,
    certificates: &[CertificateSection],
    base_url: &str,
) -> Result<Trust, String> {
    let issuers: Result<Vec<ExternalIssuer>, String> = issuers
        .iter()
        .map(|section| issuer(section, base_url).map_err(|error| format!("issuer {}: {error}", section.url)))
        .collect();
    let introspection = introspection
        .map(|section| introspected(section, base_url).map_err(|error| format!("introspection: {error}")))
        .transpose()?;
    let certificates: Result<Vec<CertificateRegistration>, String> = certificates
        .iter()
        .map(|section| {
            certificate(section).map_err(|error| format!("certificate {}: {error}", section.sha256))
        })
        .collect();
    Ok(Trust::new(Arc::new(Remote), issuers?, introspection, &certificates?))
}

fn issuer(section: &IssuerSection, base_url: &str) -> Result<ExternalIssuer, String> {
    let keys = match (&section.jwks_uri, &section.jwks_file) {
        (Some(url), None) => {
            check_url("jwks_uri", url, section.jwks_insecure)?;
            KeysAt::Url { url: url.clone(), insecure: section.jwks_insecure }
        }
        (None, Some(path)) => KeysAt::File(path.clone()),
        (Some(_), Some(_)) | (None, None) => {
            return Err("it has either a jwks_uri or a jwks_file".to_owned());
        }
    };
    let algorithm = |name: &String| {
        let found = ALGORITHMS.iter().find(|(known, _)| known == name);
        found.map(|(_, algorithm)| *algorithm).ok_or_else(|| format!("there is no algorithm `{name}`"))
    };
    Ok(ExternalIssuer {
        url: section.url.clone(),
        audience: section.audience.clone().unwrap_or_else(|| base_url.to_owned()),
        algorithms: section.algorithms.iter().map(algorithm).collect::<Result<_, String>>()?,
        keys: KeyCache::new(keys, ISSUER_KEYS),
        registrations: registrations(&section.clients, &section.users)?,
    })
}

fn introspected(section: &IntrospectionSection, base_url: &str) -> Result<Introspection, String> {
    check_url("url", &section.url, section.insecure)?;
    let at = IntrospectedAt {
        url: section.url.clone(),
        client_id: section.client_id.clone(),
        client_secret: section.client_secret.0.clone(),
        insecure: section.insecure,
    };
    let audience = section.audience.clone().unwrap_or_else(|| base_url.to_owned());
    let asked = Introspection::new(at, audience, registrations(&section.clients, &section.users)?);
    Ok(if section.audience_optional { asked.without_audience() } else { asked })
}

fn certificate(section: &CertificateSection) -> Result<CertificateRegistration, String> {
    let bytes = from_hex(&section.sha256.replace(':', ""));
    let sha256 = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("sha256 is no digest")?;
    Ok(CertificateRegistration { sha256, client: client(&section.client)? })
}

fn check_url(name: &str, url: &str, insecure: bool) -> Result<(), String> {
    let is_fit = url.starts_with("https://") || (insecure && url.starts_with("http://"));
    if is_fit { Ok(()) } else { Err(format!("{name} is no https URL")) }
}

fn registrations(clients: &[ClientSection], users: &[UserSection]) -> Result<Registrations, String> {
    Ok(Registrations {
        clients: clients.iter().map(client).collect::<Result<_, String>>()?,
        users: users.iter().map(user).collect::<Result<_, String>>()?,
    })
}

fn client(section: &ClientSection) -> Result<ClientRegistration, String> {
    let wrong = |what: String| format!("client {}: {what}", section.client_id);
    let is_known = |scope: &&str| Scope::parse(scope).is_some() || matches!(*scope, "admin" | "launch");
    if let Some(scope) = section.scopes.split_whitespace().find(|scope| !is_known(scope)) {
        return Err(wrong(format!("`{scope}` is no scope")));
    }
    if let Some(default) = section.default_purpose.as_ref().filter(|code| !section.purposes.contains(code)) {
        return Err(wrong(format!("the default purpose `{default}` is not among its purposes")));
    }
    Ok(ClientRegistration {
        client_id: section.client_id.clone(),
        role: role(&section.role).map_err(wrong)?,
        organization: reference("organization", section.organization.as_deref(), &["Organization"])
            .map_err(wrong)?,
        purposes: section.purposes.clone(),
        default_purpose: section.default_purpose.clone(),
        scopes: Scopes::parse(&section.scopes),
        lenient: section.lenient,
        assign_ids: section.assign_ids,
        machine: section.machine,
    })
}

/// The types that may represent a user (SMART App Launch, `fhirUser`).
const USERS: [&str; 6] = ["Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Person", "Device"];

fn user(section: &UserSection) -> Result<UserRegistration, String> {
    let wrong = |what: String| format!("user {}: {what}", section.sub);
    let patient = section.patient.as_ref().map(|id| ResourceId::parse(id).map(|id| id.to_string()));
    if patient == Some(None) {
        return Err(wrong("its patient is no id".to_owned()));
    }
    Ok(UserRegistration {
        subject: section.sub.clone(),
        role: role(&section.role).map_err(wrong)?,
        organization: reference("organization", section.organization.as_deref(), &["Organization"])
            .map_err(wrong)?,
        fhir_user: reference("fhirUser", section.fhir_user.as_deref(), &USERS).map_err(wrong)?,
        patient: patient.flatten(),
        purposes: section.purposes.clone(),
    })
}

fn role(code: &str) -> Result<Role, String> {
    Role::parse(code).ok_or_else(|| format!("there is no role `{code}`"))
}

/// Checks that a text is `Type/id` of one of these types.
fn reference(name: &str, text: Option<&str>, types: &[&str]) -> Result<Option<String>, String> {
    let Some(text) = text else { return Ok(None) };
    let key = text.split_once('/').and_then(|(type_name, id)| ResourceKey::new(type_name, id));
    match key.filter(|key| types.contains(&key.type_name)) {
        Some(_) => Ok(Some(text.to_owned())),
        None => Err(format!("{name} is no reference to {}", types.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateSection, IntrospectionSection, IssuerSection, trust};

    fn issuer(lines: &str) -> Result<(), String> {
        let text = format!("url = 'https://i'\n{lines}");
        let section: IssuerSection = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
        trust(&[section], None, &[], "https://us/fhir").map(|_| ())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let keys = "jwks_uri = 'https://i/keys'\n";
        let client =
            "[[client]]\nclient_id = 'c'\nrole = 'clinician'\nscopes = 'user/*.rs'\npurposes = ['TREAT']\n";
        assert_eq!(issuer(&format!("{keys}{client}organization = 'Organization/o'")), Ok(()));
        assert_eq!(
            issuer(&format!("{keys}[[user]]\nsub = 's'\nrole = 'patient'\nfhirUser = 'Patient/p'")),
            Ok(())
        );
        for (lines, says) in [
            ("", "either a jwks_uri or a jwks_file"),
            ("jwks_uri = 'http://i/keys'", "no https URL"),
            ("jwks_uri = 'https://i'\nalgorithms = ['HS256']", "no algorithm `HS256`"),
            ("jwks_uri = 'https://i'\nalgorithms = ['none']", "no algorithm `none`"),
            (&format!("{keys}{client}default_purpose = 'HPAYMT'"), "not among its purposes"),
            (&format!("{keys}{client}organization = 'o'"), "organization is no reference"),
            (&format!("{keys}[[client]]\nclient_id = 'c'\nrole = 'king'\nscopes = ''"), "no role `king`"),
            (
                &format!("{keys}[[client]]\nclient_id = 'c'\nrole = 'system'\nscopes = 'user/*.dus'"),
                "no scope",
            ),
            (&format!("{keys}[[client]]\nclient_id = 'c'\nrole = 'system'"), "scopes"),
            (&format!("{keys}[[user]]\nsub = 's'\nrole = 'patient'\nfhirUser = 'Group/g'"), "fhirUser"),
            (&format!("{keys}colour = 'red'"), "colour"),
        ] {
            let error = issuer(lines).unwrap_err();
            assert!(error.contains(says), "{lines}: {error}");
        }
    }

    #[test]
    fn the_example_of_the_documentation_is_right() {
        let text = include_str!("../../docs/identity.md");
        let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config: crate::cli::Config = toml::from_str(example).unwrap();
        let introspection = config.introspection.as_ref();
        assert!(!config.issuers.is_empty() && introspection.is_some() && !config.certificates.is_empty());
        trust(&config.issuers, introspection, &config.certificates, "https://us/fhir").unwrap();
    }

    #[test]
    fn secrets_are_not_printed_and_digests_are_read() {
        let section: IntrospectionSection =
            toml::from_str("url = 'https://i'\nclient_id = 'c'\nclient_secret = 'hush'").unwrap();
        assert!(!toml::to_string(&section).unwrap().contains("hush"));
        assert!(!format!("{section:?}").contains("hush"));
        let certificate = |sha256: &str| {
            let client = "client_id = 'c'\nrole = 'system'\nscopes = 'system/*.rs'";
            let section: CertificateSection =
                toml::from_str(&format!("sha256 = '{sha256}'\n[client]\n{client}")).unwrap();
            trust(&[], None, &[section], "https://us/fhir").is_ok()
        };
        assert!(certificate(&"aB".repeat(32)));
        assert!(certificate(&["00"; 32].join(":")));
        assert!(!certificate("ab") && !certificate(&"zz".repeat(32)));
    }
}

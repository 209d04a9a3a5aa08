//! The embedded issuer: it signs access tokens as JWTs (RFC 9068) with its ES256 key, and verifies them.
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::Millis;
use crate::model::decode_base64_url;
use crate::model::{decode_base64, hex};

use super::jwk::{base64_url, es256_jwk, es256_point};
use super::party::{BreakGlass, Party};
use super::role::Role;
use super::scope::Scopes;
use super::signing_key::SigningKeyError;

/// How far the clocks of issuer and server may differ, in seconds.
pub(super) const LEEWAY_SECONDS: u64 = 60;
/// The longest token that is parsed, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How many verified tokens are cached.
const VERIFIED_MAX: usize = 10_000;

/// The claims of an access token (RFC 9068, SMART App Launch, and Chartward's own).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AccessToken {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    pub client_id: String,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    pub scope: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, rename = "fhirUser", skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// The only patient whose data the bearer may reach, whatever the level of the scopes. Comes from the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confined_to: Option<String>,
    #[serde(default)]
    pub purpose_of_use: Vec<String>,
    #[serde(default)]
    pub assign_ids: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    #[serde(default)]
    pub may_break_glass: bool,
    #[serde(default)]
    pub files_consent: bool,
    #[serde(default)]
    pub lenient: bool,
    /// What the bearer must present besides the token (RFC 8705 section 3.1).
    #[serde(default, rename = "cnf", skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// The id of the user's grant from which the token was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// The certificate to which a token is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The SHA-256 digest of the certificate, in base64url.
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}

impl Confirmation {
    /// Binds a token to the certificate with this SHA-256 digest.
    #[must_use]
    pub fn of(digest: &[u8; 32]) -> Self {
        Self { certificate: base64_url(digest) }
    }

    /// The SHA-256 digest of the certificate.
    ///
    /// # Errors
    /// [`TokenError::Untrusted`] if the text is no such digest.
    pub fn digest(&self) -> Result<[u8; 32], TokenError> {
        let bytes = decode_base64_url(&self.certificate).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| TokenError::Untrusted("the confirmation is no digest".to_owned()))
    }
}

/// Why a token is refused. Clients see only the `Display` text; the details are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the access token is malformed")]
    Malformed,
    #[error("the access token has expired")]
    Expired,
    /// Signature, algorithm, issuer or audience is wrong, or the client or user is not registered.
    #[error("the access token is not trusted")]
    Untrusted(String),
    /// The token is trusted, but asserts a purpose that its client or user may not have.
    #[error("the access token asks for a purpose that is not allowed")]
    Forbidden(String),
    /// The issuer cannot be reached now.
    #[error("the issuer of the access token cannot be asked")]
    Unavailable(String),
}

/// The issuer with its keys and a cache of verified tokens.
pub struct Issuer {
    url: String,
    keys: RwLock<Arc<Keys>>,
    verified: quick_cache::sync::Cache<[u8; 32], Arc<Party>>,
}

/// The signing key, and the public keys that are still trusted.
struct Keys {
    key_id: String,
    encoding: EncodingKey,
    trusted: Vec<(String, DecodingKey)>,
    jwks: Vec<Value>,
}

impl Keys {
    fn new(pkcs8: &[u8], retired: &[Value]) -> Result<Self, SigningKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .map_err(|error| format!("the issuer's key cannot be read: {error}"))?;
        let public = pair.public_key().as_ref();
        let key_id = id_of(public);
        let mut keys = Self {
            encoding: EncodingKey::from_ec_der(pkcs8),
            trusted: vec![(key_id.clone(), DecodingKey::from_ec_der(public))],
            jwks: es256_jwk(&key_id, public).into_iter().collect(),
            key_id,
        };
        for jwk in retired {
            // The list also contains the retired RSA keys of id tokens.
            let Some(point) = es256_point(jwk) else { continue };
            keys.trusted.push((id_of(&point), DecodingKey::from_ec_der(&point)));
            keys.jwks.push(jwk.clone());
        }
        Ok(keys)
    }
}

/// The key id is derived from the public key, so different keys cannot have the same id.
pub(super) fn id_of(public: &[u8]) -> String {
    hex(Sha256::digest(public).first_chunk::<8>().map_or(&[][..], |first| first))
}

/// Whether the header has critical extensions (`crit`). This server understands none.
fn has_critical(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let padded =
        format!("{}{}", header.replace('-', "+").replace('_', "/"), "=".repeat((4 - header.len() % 4) % 4));
    let json =
        decode_base64(&padded).and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    json.is_some_and(|json| json.get("crit").is_some())
}

/// An access token that this issuer has signed.
#[derive(Clone)]
pub struct SignedToken(String);

impl SignedToken {
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Issuer {
    /// Generates a private key, as PKCS#8.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn generate_key() -> Result<Vec<u8>, SigningKeyError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|key| key.as_ref().to_vec())
            .map_err(|_| SigningKeyError::from("no key could be generated"))
    }

    /// An issuer with one key. `url` is both `iss` and `aud` of its tokens.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn new(url: &str, pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        Self::with_retired(url, pkcs8, &[])
    }

    /// An issuer that also trusts retired public keys, as JSON Web Keys.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn with_retired(url: &str, pkcs8: &[u8], retired: &[Value]) -> Result<Self, SigningKeyError> {
        Ok(Self {
            url: url.to_owned(),
            keys: RwLock::new(Arc::new(Keys::new(pkcs8, retired)?)),
            verified: quick_cache::sync::Cache::new(VERIFIED_MAX),
        })
    }

    /// Replaces the keys. New tokens are signed with the new key.
    ///
    /// # Errors
    /// If the key cannot be read; then the old keys stay.
    pub fn change_keys(&self, pkcs8: &[u8], retired: &[Value]) -> Result<(), SigningKeyError> {
        let keys = Arc::new(Keys::new(pkcs8, retired)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        // Cached tokens may be signed with a key that is no longer trusted.
        self.verified.clear();
        Ok(())
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The trusted public keys as JSON Web Keys, the signing key first.
    #[must_use]
    pub fn jwks(&self) -> Vec<Value> {
        self.keys().jwks.clone()
    }

    /// The issuer's URL, which is also the audience.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs a token.
    ///
    /// # Errors
    /// If signing fails.
    pub fn sign(&self, token: &AccessToken) -> Result<String, SigningKeyError> {
        self.signed(token).map(|signed| signed.0)
    }

    /// Like [`Issuer::sign`], but the type proves that an issuer has signed the token.
    ///
    /// # Errors
    /// If signing fails.
    pub fn signed(&self, token: &AccessToken) -> Result<SignedToken, SigningKeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        let keys = self.keys();
        header.kid = Some(keys.key_id.clone());
        let text = jsonwebtoken::encode(&header, token, &keys.encoding);
        text.map(SignedToken).map_err(|error| error.to_string().into())
    }

    /// Verifies a token and returns its party.
    ///
    /// # Errors
    /// [`TokenError`] if the token is not valid now.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Arc<Party>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let party = match self.verified.get(&digest) {
            Some(party) => party,
            None => {
                let party = Arc::new(self.read(token)?);
                self.verified.insert(digest, party.clone());
                party
            }
        };
        let leeway = Millis::try_from(LEEWAY_SECONDS * 1_000).unwrap_or(0);
        if party.expires.saturating_add(leeway) <= now { Err(TokenError::Expired) } else { Ok(party) }
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// [`TokenError`] if the token is not valid now.
    pub fn claims(&self, token: &str, now: Millis) -> Result<AccessToken, TokenError> {
        self.verify(token, now)?;
        self.decode(token)
    }

    fn decode(&self, token: &str) -> Result<AccessToken, TokenError> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[&self.url]);
        rules.set_issuer(&[&self.url]);
        // Otherwise jsonwebtoken would accept tokens without these claims.
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // `verify` compares the expiry with the server's own clock at every use, also for cached tokens.
        rules.validate_exp = false;
        rules.validate_nbf = true;
        if has_critical(token) {
            return Err(TokenError::Untrusted(
                "a critical header that is not known (RFC 7515 section 4.1.11)".to_owned(),
            ));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let keys = self.keys();
        let key_id = header.kid.as_deref().unwrap_or_default();
        let key = keys.trusted.iter().find(|(known, _)| known == key_id);
        let (true, Some((_, key))) = (header.typ.as_deref() == Some("at+jwt"), key) else {
            return Err(TokenError::Untrusted("type or key id".to_owned()));
        };
        jsonwebtoken::decode(token, key, &rules)
            .map(|decoded| decoded.claims)
            .map_err(|error| TokenError::Untrusted(error.to_string()))
    }

    fn read(&self, token: &str) -> Result<Party, TokenError> {
        let claims = self.decode(token)?;
        let role =
            Role::parse(&claims.role).ok_or_else(|| TokenError::Untrusted("unknown role".to_owned()))?;
        let scopes = Scopes::parse(&claims.scope).with_user(claims.fhir_user.as_deref());
        Ok(Party {
            subject: claims.sub,
            client: claims.client_id,
            role,
            organization: claims.organization,
            fhir_user: claims.fhir_user,
            patient_context: claims.patient,
            confined_to: claims.confined_to,
            purposes: claims.purpose_of_use,
            scopes,
            assign_ids: claims.assign_ids,
            break_glass: claims.break_glass,
            may_break_glass: claims.may_break_glass,
            files_consent: claims.files_consent,
            lenient: claims.lenient,
            certificate: claims.confirmation.map(|confirmation| confirmation.digest()).transpose()?,
            token_id: claims.jti,
            grant: claims.grant,
            issued: claims.iat.saturating_mul(1_000),
            expires: claims.exp.saturating_mul(1_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessToken, Issuer, TokenError};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    fn token() -> AccessToken {
        AccessToken {
            iss: "http://us/fhir".to_owned(),
            aud: "http://us/fhir".to_owned(),
            sub: "d1".to_owned(),
            client_id: "c".to_owned(),
            iat: 1_000,
            exp: 2_000,
            jti: "j".to_owned(),
            scope: "user/*.rs".to_owned(),
            role: "clinician".to_owned(),
            organization: Some("Organization/h".to_owned()),
            fhir_user: Some("Practitioner/d1".to_owned()),
            patient: None,
            confined_to: None,
            purpose_of_use: vec!["TREAT".to_owned()],
            assign_ids: false,
            break_glass: None,
            may_break_glass: false,
            files_consent: false,
            lenient: false,
            confirmation: None,
            grant: None,
        }
    }

    #[test]
    fn own_tokens_are_trusted_until_they_expire() {
        let issuer = Issuer::new("http://us/fhir", &Issuer::generate_key().unwrap()).unwrap();
        let signed = issuer.sign(&token()).unwrap();
        let party = issuer.verify(&signed, 1_500_000).unwrap();
        assert_eq!(party.fhir_user.as_deref(), Some("Practitioner/d1"));
        assert!(issuer.verify(&signed, 2_059_000).is_ok());
        assert_eq!(issuer.verify(&signed, 2_061_000), Err(TokenError::Expired));
    }

    #[test]
    fn a_new_key_signs_and_old_ones_are_trusted_as_long_as_they_are_kept() {
        let issuer = Issuer::new("http://us/fhir", &Issuer::generate_key().unwrap()).unwrap();
        let old = issuer.sign(&token()).unwrap();
        let retired = issuer.jwks();
        let next = Issuer::generate_key().unwrap();
        issuer.change_keys(&next, &retired).unwrap();
        let new = issuer.sign(&token()).unwrap();
        for signed in [&old, &new] {
            issuer.verify(signed, 1_500_000).unwrap();
        }
        assert_eq!(issuer.jwks().len(), 2);
        assert_eq!(issuer.jwks()[1], retired[0]);
        issuer.change_keys(&next, &[]).unwrap();
        assert!(issuer.verify(&old, 1_500_000).is_err());
        assert!(issuer.verify(&new, 1_500_000).is_ok());
    }

    #[test]
    fn all_others_are_not() {
        let key = Issuer::generate_key().unwrap();
        let issuer = Issuer::new("http://us/fhir", &key).unwrap();
        let refused = |signed: &str| assert!(issuer.verify(signed, 1_500_000).is_err(), "{signed}");
        refused("");
        refused("a.b.c");
        refused(&"x".repeat(20_000));
        let other = Issuer::new("http://us/fhir", &Issuer::generate_key().unwrap()).unwrap();
        refused(&other.sign(&token()).unwrap());
        refused(&issuer.sign(&AccessToken { aud: "http://them".to_owned(), ..token() }).unwrap());
        refused(&issuer.sign(&AccessToken { iss: "http://us/fhir/".to_owned(), ..token() }).unwrap());
        refused(&issuer.sign(&AccessToken { role: "king".to_owned(), ..token() }).unwrap());
        let good = issuer.sign(&token()).unwrap();
        refused(&format!("{good}x"));
        let (_, body) = good.split_once('.').unwrap();
        let (payload, _) = body.split_once('.').unwrap();
        // {"alg":"none","typ":"at+jwt"}
        refused(&format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}."));
        let symmetric = EncodingKey::from_secret(&key);
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        refused(&jsonwebtoken::encode(&header, &token(), &symmetric).unwrap());
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("JWT".to_owned());
        refused(&jsonwebtoken::encode(&header, &token(), &EncodingKey::from_ec_der(&key)).unwrap());
    }
}

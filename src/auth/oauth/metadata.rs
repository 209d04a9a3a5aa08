//! The discovery documents (SMART App Launch 2.2 "Conformance", OpenID Connect Discovery). They list exactly what the
//! server supports.
use serde_json::{Value, json};

use super::super::scope::SPECIAL;
use super::fields::OauthError;
use super::server::AuthorizationContext;

/// Examples of resource scopes for `scopes_supported`.
const SCOPES: [&str; 6] =
    ["patient/*.rs", "patient/*.cruds", "user/*.rs", "user/*.cruds", "system/*.rs", "system/*.cruds"];

/// SMART App Launch 2.2, "Capabilities".
const CAPABILITIES: [&str; 19] = [
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
];

const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", "client_credentials"];
const CLIENT_AUTHENTICATION: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
const ASSERTION_ALGORITHMS: [&str; 2] = ["RS384", "ES384"];

impl AuthorizationContext<'_> {
    /// The document `/.well-known/smart-configuration`.
    #[must_use]
    pub fn smart_configuration(&self) -> Value {
        let mut document = self.shared();
        if let Some(members) = document.as_object_mut() {
            members.insert("capabilities".to_owned(), json!(CAPABILITIES));
        }
        document
    }

    /// The document `/.well-known/openid-configuration`.
    #[must_use]
    pub fn openid_configuration(&self) -> Value {
        let mut document = self.shared();
        if let Some(members) = document.as_object_mut() {
            members.insert("subject_types_supported".to_owned(), json!(["public"]));
            members.insert("id_token_signing_alg_values_supported".to_owned(), json!(["RS256"]));
            let claims = ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "profile"];
            members.insert("claims_supported".to_owned(), json!(claims));
        }
        document
    }

    fn shared(&self) -> Value {
        let scopes: Vec<&str> = SPECIAL.into_iter().chain(SCOPES).collect();
        json!({
            "issuer": self.base_url(),
            "jwks_uri": self.address("/auth/jwks"),
            "authorization_endpoint": self.address("/auth/authorize"),
            "token_endpoint": self.address("/auth/token"),
            "introspection_endpoint": self.address("/auth/introspect"),
            "revocation_endpoint": self.address("/auth/revoke"),
            "management_endpoint": self.address("/auth/apps"),
            "grant_types_supported": GRANT_TYPES,
            "response_types_supported": ["code"],
            "scopes_supported": scopes,
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
            "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
            "tls_client_certificate_bound_access_tokens": true,
        })
    }

    /// The public keys of access tokens and id tokens, as a JWK set.
    ///
    /// # Errors
    /// `server_error` if the keys of id tokens cannot be read.
    pub fn jwks(&self) -> Result<Value, OauthError> {
        let identity = self.server.identity.jwks().map_err(|_| OauthError::failed())?;
        let keys: Vec<Value> = self.issuer.jwks().into_iter().chain(identity).collect();
        Ok(json!({"keys": keys}))
    }

    /// The style that apps should adopt to fit in (SMART App Launch 2.2, "Style").
    #[must_use]
    pub fn smart_style(&self) -> Value {
        json!({
            "color_background": "#f6f8fa", "color_error": "#a3180e", "color_highlight": "#0b5cad",
            "color_modal_backdrop": "", "color_success": "#1b6e3c", "color_text": "#1c2733",
            "dim_border_radius": "4px", "dim_font_size": "16px", "dim_spacing_size": "16px",
            "font_family_body": "system-ui, sans-serif", "font_family_heading": "system-ui, sans-serif"
        })
    }
}

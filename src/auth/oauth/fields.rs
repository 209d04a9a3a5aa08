//! The parameters of OAuth requests, and error responses (RFC 6749 sections 4.1.2.1 and 5.2).

use super::super::registry::RegistryError;

/// The error codes of OAuth and OpenID Connect that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OauthCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    AccessDenied,
    LoginRequired,
    ServerError,
    /// The server is busy, or too many attempts have failed.
    TemporarilyUnavailable,
}

impl OauthCode {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// An error response: a code, and a description without personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.text())]
pub struct OauthError {
    pub code: OauthCode,
    pub description: String,
}

impl OauthError {
    #[must_use]
    pub fn new(code: OauthCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(OauthCode::InvalidRequest, description)
    }

    /// One error for every failure of client authentication, so that it reveals no details (RFC 6749 section 5.2).
    pub(super) fn invalid_client() -> Self {
        Self::new(OauthCode::InvalidClient, "the client is not known, or has not proven who it is")
    }

    pub(super) fn invalid_grant() -> Self {
        Self::new(OauthCode::InvalidGrant, "the code or refresh token is not good, or not for this client")
    }

    pub(super) fn busy() -> Self {
        Self::new(OauthCode::TemporarilyUnavailable, "too many secrets are tried; try again later")
    }

    pub(super) fn failed() -> Self {
        Self::new(OauthCode::ServerError, "the server cannot answer at the moment")
    }
}

impl From<RegistryError> for OauthError {
    fn from(_: RegistryError) -> Self {
        Self::failed()
    }
}

/// Request parameters by name.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// From decoded pairs. A parameter without a value counts as omitted (RFC 6749 section 3.1).
    #[must_use]
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a parameter that must not be repeated (RFC 6749 section 3.1); `None` if it is absent.
    ///
    /// # Errors
    /// `invalid_request` if the parameter is repeated.
    pub fn one(&self, name: &str) -> Result<Option<&str>, OauthError> {
        let mut values = self.all(name);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(OauthError::invalid_request(format!("{name} is there twice"))),
        }
    }

    /// The value of a required parameter.
    ///
    /// # Errors
    /// `invalid_request` if the parameter is absent or repeated.
    pub fn needed(&self, name: &str) -> Result<&str, OauthError> {
        self.one(name)?.ok_or_else(|| OauthError::invalid_request(format!("{name} is needed")))
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_owned();
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

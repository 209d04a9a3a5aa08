//! A user's grant to a client, on which a family of tokens rests.
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::client::Client;
use super::user::User;

/// A grant, from the user's consent until it expires or is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::auth) struct Grant {
    pub(in crate::auth) client: String,
    /// The name of the user.
    pub(in crate::auth) user: String,
    /// The granted scopes, separated by spaces.
    pub(in crate::auth) scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) patient: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) encounter: Option<String>,
    /// Whether the app must show the patient's identity.
    pub(in crate::auth) need_patient_banner: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) nonce: Option<String>,
    /// When the user signed in.
    pub(in crate::auth) authenticated: Millis,
    pub(in crate::auth) expires: Millis,
    /// How many refresh tokens preceded the valid one.
    pub(in crate::auth) generation: u64,
    pub(in crate::auth) revoked: bool,
}

impl Grant {
    /// Whether the grant is still valid for its user and client: both are enabled, and since the user signed in neither was
    /// disabled or changed. A client without a registration is not checked.
    pub(in crate::auth) fn stands(&self, user: Option<&User>, client: Option<&Client>) -> bool {
        let after = |not_before: Millis| not_before <= self.authenticated;
        !self.revoked
            && user.is_some_and(|user| !user.disabled && after(user.not_before))
            && client.is_none_or(|client| !client.disabled && after(client.not_before))
    }

    /// Whether a scope was granted, word for word.
    pub(in crate::auth) fn has(&self, scope: &str) -> bool {
        self.scope.split_whitespace().any(|granted| granted == scope)
    }
}

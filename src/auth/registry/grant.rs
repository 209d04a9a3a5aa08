//! What a user has granted a client: the family of the tokens that come of it.
use serde::{Deserialize, Serialize};

use crate::model::Millis;

use super::client::Client;
use super::user::User;

/// A grant, from the user's consent on until it expires or is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::auth) struct Grant {
    pub(in crate::auth) client: String,
    /// The name of the user.
    pub(in crate::auth) user: String,
    /// What was granted, separated by spaces.
    pub(in crate::auth) scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) patient: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) encounter: Option<String>,
    /// Whether the app shall show whose data it shows.
    pub(in crate::auth) need_patient_banner: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::auth) nonce: Option<String>,
    /// When the user logged in.
    pub(in crate::auth) authenticated: Millis,
    pub(in crate::auth) expires: Millis,
    /// How many refresh tokens were given before the one that is good.
    pub(in crate::auth) generation: u64,
    pub(in crate::auth) revoked: bool,
}

impl Grant {
    /// Whether it still stands with its user and client as they are registered: neither is disabled, nor was either, nor
    /// the password changed, since the user logged in. A client that is not registered has no say.
    pub(in crate::auth) fn stands(&self, user: Option<&User>, client: Option<&Client>) -> bool {
        let after = |not_before: Millis| not_before <= self.authenticated;
        !self.revoked
            && user.is_some_and(|user| !user.disabled && after(user.not_before))
            && client.is_none_or(|client| !client.disabled && after(client.not_before))
    }

    /// Whether a scope is among those granted, word for word.
    pub(in crate::auth) fn has(&self, scope: &str) -> bool {
        self.scope.split_whitespace().any(|granted| granted == scope)
    }
}

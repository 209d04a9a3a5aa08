//! What registrations of clients and of users have in common: they are found by an id, are enabled or not, and are removed.
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::Millis;

use super::client::Client;
use super::user::User;

/// A registration of a client or of a user.
pub trait Registration: Serialize + DeserializeOwned {
    /// What it is called in keys of the store.
    const KIND: &'static str;
    /// Where administrators find all of the kind.
    const PATH: &'static str;
    /// The member that is its id.
    const ID: &'static str;
    /// The member that holds the hash of what it proves itself by.
    const HASH: &'static str;
    /// Whether the server makes what it proves itself by.
    const HAS_SECRET: bool;

    fn id(&self) -> &str;

    /// Whether it makes sense.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn check(&self) -> Result<(), String>;

    /// Without what is secret.
    fn shown(&self) -> serde_json::Value;

    /// The resource that stands for it, as `Type/id`.
    fn fhir_user(&self) -> Option<&str>;

    fn is_removed(&self) -> bool;

    /// Whether it is disabled, whether it is removed, and since when what was granted or issued is good.
    fn state(&mut self) -> (&mut bool, &mut bool, &mut Millis);

    /// Takes away what it proves itself by.
    fn forget(&mut self);

    /// Ends what was granted or issued up to now.
    fn end_what_was(&mut self, now: Millis) {
        let (_, _, not_before) = self.state();
        *not_before = now.saturating_add(1);
    }
}

impl Registration for Client {
    const KIND: &'static str = "client";
    const PATH: &'static str = "/admin/clients";
    const ID: &'static str = "client_id";
    const HASH: &'static str = "secret_hash";
    const HAS_SECRET: bool = true;

    fn id(&self) -> &str {
        &self.client_id
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }

    fn shown(&self) -> serde_json::Value {
        self.shown()
    }

    fn fhir_user(&self) -> Option<&str> {
        self.fhir_user.as_deref()
    }

    fn is_removed(&self) -> bool {
        self.removed
    }

    fn state(&mut self) -> (&mut bool, &mut bool, &mut Millis) {
        (&mut self.disabled, &mut self.removed, &mut self.not_before)
    }

    fn forget(&mut self) {
        (self.secret_hash, self.jwks, self.jwks_uri) = (None, None, None);
    }
}

impl Registration for User {
    const KIND: &'static str = "user";
    const PATH: &'static str = "/admin/users";
    const ID: &'static str = "name";
    const HASH: &'static str = "password_hash";
    const HAS_SECRET: bool = false;

    fn id(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }

    fn shown(&self) -> serde_json::Value {
        self.shown()
    }

    fn fhir_user(&self) -> Option<&str> {
        self.fhir_user.as_deref()
    }

    fn is_removed(&self) -> bool {
        self.removed
    }

    fn state(&mut self) -> (&mut bool, &mut bool, &mut Millis) {
        (&mut self.disabled, &mut self.removed, &mut self.not_before)
    }

    fn forget(&mut self) {
        self.password_hash.clear();
    }
}

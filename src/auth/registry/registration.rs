//! What client and user registrations share: an id, being enabled or disabled, and removal.
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::Millis;

use super::client::Client;
use super::invalid_registration::InvalidRegistration;
use super::user::User;

/// A registration of a client or a user.
pub trait Registration: Serialize + DeserializeOwned {
    /// The kind in keys of the store.
    const KIND: &'static str;
    /// The path of the administrative endpoints of the kind.
    const PATH: &'static str;
    /// The member with the id.
    const ID: &'static str;
    /// The member with the hash of the secret or password.
    const HASH: &'static str;
    /// Whether the server generates the secret.
    const HAS_SECRET: bool;

    fn id(&self) -> &str;

    /// Checks the registration.
    ///
    /// # Errors
    /// Why the registration is invalid.
    fn check(&self) -> Result<(), InvalidRegistration>;

    /// The registration without its secret or password.
    fn shown(&self) -> serde_json::Value;

    /// The resource that represents the client or user, as `Type/id`.
    fn fhir_user(&self) -> Option<&str>;

    fn is_removed(&self) -> bool;

    /// The members `disabled`, `removed` and `not_before`.
    fn state(&mut self) -> (&mut bool, &mut bool, &mut Millis);

    /// Removes the secret, password or keys.
    fn forget(&mut self);

    /// Ends all grants and tokens up to now.
    fn end_what_was(&mut self, now: Millis) {
        let (_, _, not_before) = self.state();
        *not_before = now.saturating_add(1);
    }
}

/// Implements the trait for both kinds, whose shared members have the same names.
macro_rules! registration {
    ($of:ty, $kind:literal, $path:literal, $id:ident, $hash:literal, $has_secret:literal, $forget:expr) => {
        impl Registration for $of {
            const KIND: &'static str = $kind;
            const PATH: &'static str = $path;
            const ID: &'static str = stringify!($id);
            const HASH: &'static str = $hash;
            const HAS_SECRET: bool = $has_secret;

            fn id(&self) -> &str {
                &self.$id
            }

            fn check(&self) -> Result<(), InvalidRegistration> {
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
                let forget: fn(&mut Self) = $forget;
                forget(self);
            }
        }
    };
}

registration!(Client, "client", "/admin/clients", client_id, "secret_hash", true, |client| {
    (client.secret_hash, client.jwks, client.jwks_uri) = (None, None, None);
});
registration!(User, "user", "/admin/users", name, "password_hash", false, |user| user.password_hash.clear());

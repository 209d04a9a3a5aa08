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

/// Both kinds keep what they have in common in members of the same names.
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

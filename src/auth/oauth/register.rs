//! Registers clients and users from an administrator's JSON. Secrets arrive in clear and are stored only as hashes.
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::definitions::r4;
use crate::model::{Millis, ResourceKey};
use crate::store::{At, Repository};

use super::super::password::hash_password;
use super::super::registry::{Client, Registration, Registry, RegistryError, User, is_unreserved};
use super::seal::secret_text;

/// The shortest client secret, in bytes.
const SECRET_LEN_MIN: usize = 32;

/// The registration as it is shown. A secret that the server has generated is included this one time only.
pub type Registered = Value;

fn taken(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, RegistryError> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RegistryError::Invalid(format!("{name} is a text"))),
    }
}

/// Members that only the server may set, in addition to the hashes.
const NOT_BEFORE: &str = "not_before";
const REMOVED: &str = "removed";

fn members(text: &str, hash: &str) -> Result<Map<String, Value>, RegistryError> {
    let invalid = |reason: &str| RegistryError::Invalid(reason.to_owned());
    let members: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| invalid("a registration is a JSON object"))?;
    // A given hash could belong to a secret that somebody else knows.
    match [hash, NOT_BEFORE, REMOVED].into_iter().find(|name| members.contains_key(*name)) {
        Some(name) => Err(invalid(&format!("{name} cannot be set"))),
        None => Ok(members),
    }
}

/// Merges given members into a registration: values replace, `null` removes.
fn merged(record: &impl Serialize, given: &Map<String, Value>) -> Result<Value, RegistryError> {
    let mut merged = serde_json::to_value(record).map_err(|error| RegistryError::Store(error.to_string()))?;
    if let Some(members) = merged.as_object_mut() {
        for (name, value) in given {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(merged)
}

/// The members that a change sets. The id, `disabled` and the password have operations of their own.
fn changes<T: Registration>(text: &str) -> Result<Map<String, Value>, RegistryError> {
    let members = members(text, T::HASH)?;
    match [T::ID, "disabled", "password"].into_iter().find(|name| members.contains_key(*name)) {
        Some(name) => Err(RegistryError::Invalid(format!("{name} cannot be changed so"))),
        None => Ok(members),
    }
}

/// Generates a new secret if the change asks for one, and puts its hash into the change.
fn new_secret<T: Registration>(given: &mut Map<String, Value>) -> Result<Option<String>, RegistryError> {
    let asked = if T::HAS_SECRET { given.remove("client_secret") } else { None };
    match asked {
        None => Ok(None),
        Some(Value::Bool(true)) => {
            let secret = secret_text().map_err(|error| RegistryError::Store(error.to_string()))?;
            let hash = hash_password(&secret).map_err(|error| RegistryError::Invalid(error.to_string()))?;
            given.insert(T::HASH.to_owned(), json!(hash));
            Ok(Some(secret))
        }
        Some(_) => {
            let reason = "client_secret is changed by `true`: the server makes the new one".to_owned();
            Err(RegistryError::Invalid(reason))
        }
    }
}

/// A registration that an administrator can create from JSON.
pub trait Register: Registration {
    /// Stores a registration and returns it as it is shown.
    ///
    /// # Errors
    /// [`RegistryError`] if the id is taken or the registration is invalid.
    fn register(registry: &Registry, text: &str) -> Result<Registered, RegistryError>;
}

impl Register for Client {
    fn register(registry: &Registry, text: &str) -> Result<Registered, RegistryError> {
        registry.register_client(text)
    }
}

impl Register for User {
    fn register(registry: &Registry, text: &str) -> Result<Registered, RegistryError> {
        registry.register_user(text)
    }
}

impl Registry {
    /// Registers a client. With `client_secret_basic`, `client_secret` may be given; otherwise the server generates one.
    ///
    /// # Errors
    /// [`RegistryError`] if the id is taken or the registration is invalid.
    pub fn register_client(&self, text: &str) -> Result<Registered, RegistryError> {
        let mut members = members(text, "secret_hash")?;
        let given = taken(&mut members, "client_secret")?;
        let method = members.get("token_endpoint_auth_method").and_then(Value::as_str);
        let is_symmetric = matches!(method, Some("client_secret_basic" | "client_secret_post"));
        let secret = match given {
            Some(secret) if secret.len() < SECRET_LEN_MIN || !is_unreserved(&secret) => {
                let reason =
                    format!("client_secret has {SECRET_LEN_MIN} or more letters, digits or any of -._~");
                return Err(RegistryError::Invalid(reason));
            }
            Some(secret) => Some((secret, None)),
            None if is_symmetric => {
                let made = secret_text().map_err(|error| RegistryError::Store(error.to_string()))?;
                Some((made.clone(), Some(made)))
            }
            None => None,
        };
        if let Some((secret, _)) = &secret {
            let hash = hash_password(secret).map_err(|error| RegistryError::Invalid(error.to_string()))?;
            members.insert("secret_hash".to_owned(), json!(hash));
        }
        let client: Client = serde_json::from_value(Value::Object(members))
            .map_err(|error| RegistryError::Invalid(error.to_string()))?;
        self.add(&client)?;
        let mut shown = client.shown();
        if let (Some(shown), Some((_, Some(made)))) = (shown.as_object_mut(), secret) {
            shown.insert("client_secret".to_owned(), json!(made));
        }
        self.remark(&mut shown, client.fhir_user.as_deref())?;
        Ok(shown)
    }

    /// Adds a warning if the resource of the client or user (`fhir_user`) is not stored. This is no error, because the
    /// resource may be created before the first request.
    fn remark(&self, shown: &mut Registered, fhir_user: Option<&str>) -> Result<(), RegistryError> {
        let Some(reference) = fhir_user else { return Ok(()) };
        let snapshot = self.kv().snapshot(At::Latest)?;
        let key = reference.split_once('/').and_then(|(type_name, id)| ResourceKey::new(type_name, id));
        let row = match key.and_then(|key| Some((r4().resource(key.type_name)?, key.id))) {
            Some((def, id)) => Repository::new(&*snapshot).row_of(def, &id)?,
            None => None,
        };
        if let (None, Some(members)) = (row, shown.as_object_mut()) {
            members.insert("warning".to_owned(), json!(format!("{reference} is not stored here yet")));
        }
        Ok(())
    }

    /// Changes members of a registration, except a user's password. `"client_secret": true` generates a new secret for a
    /// client. Existing grants and tokens are ended, because they carry the old rights.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no such registration, or the change would make it invalid.
    pub fn update<T: Registration>(
        &self,
        id: &str,
        text: &str,
        now: Millis,
    ) -> Result<Registered, RegistryError> {
        let mut given = changes::<T>(text)?;
        let made = new_secret::<T>(&mut given)?;
        self.change(id, &|record: &mut T| {
            *record = serde_json::from_value(merged(record, &given)?)
                .map_err(|error| RegistryError::Invalid(error.to_string()))?;
            record.check().map_err(|error| RegistryError::Invalid(error.to_string()))?;
            record.end_what_was(now);
            Ok(())
        })?;
        let record = self.find::<T>(id)?.ok_or(RegistryError::Absent)?;
        let mut shown = record.shown();
        if let (Some(shown), Some(made)) = (shown.as_object_mut(), made) {
            shown.insert("client_secret".to_owned(), json!(made));
        }
        if given.contains_key("fhir_user") {
            self.remark(&mut shown, record.fhir_user())?;
        }
        Ok(shown)
    }

    /// Sets a user's `password` and ends what was granted with the old one.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no such user or the password is too short.
    pub fn change_password(&self, name: &str, text: &str, now: Millis) -> Result<(), RegistryError> {
        let mut members = members(text, "password_hash")?;
        let password = taken(&mut members, "password")?;
        let password = password.ok_or_else(|| RegistryError::Invalid("a password is needed".to_owned()))?;
        let hash = hash_password(&password).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        // Whoever knew the old password may have granted access with it.
        self.change(name, &|user: &mut User| {
            hash.clone_into(&mut user.password_hash);
            user.end_what_was(now);
            Ok(())
        })
    }

    /// Registers a user with its `password`.
    ///
    /// # Errors
    /// [`RegistryError`] if the name is taken or the registration is invalid.
    pub fn register_user(&self, text: &str) -> Result<Registered, RegistryError> {
        let mut members = members(text, "password_hash")?;
        let password = taken(&mut members, "password")?;
        let password = password.ok_or_else(|| RegistryError::Invalid("a password is needed".to_owned()))?;
        members.insert("password_hash".to_owned(), json!(""));
        let mut user: User = serde_json::from_value(Value::Object(members))
            .map_err(|error| RegistryError::Invalid(error.to_string()))?;
        // Hashing is slow and needs much memory, so invalid registrations are refused first.
        user.check().map_err(|error| RegistryError::Invalid(error.to_string()))?;
        user.password_hash =
            hash_password(&password).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        self.add(&user)?;
        let mut shown = user.shown();
        self.remark(&mut shown, user.fhir_user.as_deref())?;
        Ok(shown)
    }
}

//! Registering clients and users: of the JSON that an administrator sends, with the secret in clear, which is kept as a
//! hash alone.
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::definitions::r4;
use crate::model::{Millis, ResourceKey};
use crate::store::{At, Repository};

use super::super::password::hash_password;
use super::super::registry::{Client, Registration, Registry, RegistryError, User, is_unreserved};
use super::seal::secret_text;

/// The shortest secret of a client.
const SECRET_LEN_MIN: usize = 32;

/// What was registered, as it is shown; with the secret, where one was made, this once.
pub type Registered = Value;

fn taken(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, RegistryError> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RegistryError::Invalid(format!("{name} is a text"))),
    }
}

/// What the server alone sets, beside the hashes.
const NOT_BEFORE: &str = "not_before";
const REMOVED: &str = "removed";

fn members(text: &str, hash: &str) -> Result<Map<String, Value>, RegistryError> {
    let invalid = |reason: &str| RegistryError::Invalid(reason.to_owned());
    let members: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| invalid("a registration is a JSON object"))?;
    // A hash of somebody's making could be of a secret that somebody else has.
    match [hash, NOT_BEFORE, REMOVED].into_iter().find(|name| members.contains_key(*name)) {
        Some(name) => Err(invalid(&format!("{name} cannot be set"))),
        None => Ok(members),
    }
}

/// Changes members of a registration: what is given replaces what was, `null` takes it away.
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

/// What a change names. It may not touch, beside what no registration may set, the id and what has ways of its own.
fn changes<T: Registration>(text: &str) -> Result<Map<String, Value>, RegistryError> {
    let members = members(text, T::HASH)?;
    match [T::ID, "disabled", "password"].into_iter().find(|name| members.contains_key(*name)) {
        Some(name) => Err(RegistryError::Invalid(format!("{name} cannot be changed so"))),
        None => Ok(members),
    }
}

/// Makes a new secret where a change asks for one, and puts its hash in that place.
fn new_secret<T: Registration>(given: &mut Map<String, Value>) -> Result<Option<String>, RegistryError> {
    let asked = if T::HAS_SECRET { given.remove("client_secret") } else { None };
    match asked {
        None => Ok(None),
        Some(Value::Bool(true)) => {
            let secret = secret_text().map_err(|error| RegistryError::Store(error.to_string()))?;
            let hash = hash_password(&secret).map_err(RegistryError::Invalid)?;
            given.insert(T::HASH.to_owned(), json!(hash));
            Ok(Some(secret))
        }
        Some(_) => {
            let reason = "client_secret is changed by `true`: the server makes the new one".to_owned();
            Err(RegistryError::Invalid(reason))
        }
    }
}

/// What can be registered of the JSON that an administrator sends.
pub trait Register: Registration {
    /// Registers one, and gives what is shown of it.
    ///
    /// # Errors
    /// [`RegistryError`], if the id is taken or the registration makes no sense.
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
    /// Registers a client; one with `client_secret_basic` may bring its `client_secret` or gets one.
    ///
    /// # Errors
    /// [`RegistryError`], if the id is taken or the registration makes no sense.
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
            let hash = hash_password(secret).map_err(RegistryError::Invalid)?;
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

    /// Adds a warning to what is shown where the resource that stands for a client or user is not stored: it may come later, before the
    /// first request, so it is no reason to refuse.
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

    /// Changes members of a registration, but for a user's password; `"client_secret": true` makes a client a new secret. What was granted
    /// or issued before ends, because it carries the rights of before.
    ///
    /// # Errors
    /// [`RegistryError`], if there is none or the registration would make no sense.
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
            record.check().map_err(RegistryError::Invalid)?;
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

    /// Gives a user another `password`, and ends what was granted with the old one.
    ///
    /// # Errors
    /// [`RegistryError`], if there is no such user or the password is too short.
    pub fn change_password(&self, name: &str, text: &str, now: Millis) -> Result<(), RegistryError> {
        let mut members = members(text, "password_hash")?;
        let password = taken(&mut members, "password")?;
        let password = password.ok_or_else(|| RegistryError::Invalid("a password is needed".to_owned()))?;
        let hash = hash_password(&password).map_err(RegistryError::Invalid)?;
        // Whoever knew the old password, and has granted something with it, has nothing of it any more.
        self.change(name, &|user: &mut User| {
            hash.clone_into(&mut user.password_hash);
            user.end_what_was(now);
            Ok(())
        })
    }

    /// Registers a user with its `password`.
    ///
    /// # Errors
    /// [`RegistryError`], if the name is taken or the registration makes no sense.
    pub fn register_user(&self, text: &str) -> Result<Registered, RegistryError> {
        let mut members = members(text, "password_hash")?;
        let password = taken(&mut members, "password")?;
        let password = password.ok_or_else(|| RegistryError::Invalid("a password is needed".to_owned()))?;
        members.insert("password_hash".to_owned(), json!(""));
        let mut user: User = serde_json::from_value(Value::Object(members))
            .map_err(|error| RegistryError::Invalid(error.to_string()))?;
        // Hashing takes a while and much memory: nothing is hashed for a registration that makes no sense.
        user.check().map_err(RegistryError::Invalid)?;
        user.password_hash = hash_password(&password).map_err(RegistryError::Invalid)?;
        self.add(&user)?;
        let mut shown = user.shown();
        self.remark(&mut shown, user.fhir_user.as_deref())?;
        Ok(shown)
    }
}

//! The stored registrations of clients and users. Each is read and written as a whole, by id.
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::Millis;
use crate::store::{
    At, Batch, CommitError, Direction, Expectation, Flow, Key, KeyRange, Kv, Sequence, Snapshot, Space,
    StoreError, Write, registrations_key,
};

use super::client::Client;
use super::registration::Registration;
use super::token_status_cache::TokenStatusCache;
use super::user::User;

/// How often a change is retried after a conflict with a concurrent commit.
const RETRIES_MAX: usize = 8;

/// Why a registry operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A registration with that id exists, or has existed and was removed.
    #[error("there is, or was, a registration of that id: choose another one")]
    Exists,
    /// There is no registration with that id.
    #[error("there is no registration of that id")]
    Absent,
    /// The registration is invalid, with the reason.
    #[error("{0}")]
    Invalid(String),
    /// The store could not be read or written. The text is for the log.
    #[error("the registry cannot be read or written at the moment")]
    Store(String),
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<CommitError> for RegistryError {
    fn from(error: CommitError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Whether a registration is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationStatus {
    Enabled,
    Disabled,
}

/// The registry in a store.
pub struct Registry {
    pub(super) kv: Arc<dyn Kv>,
    pub(super) standings: TokenStatusCache,
    /// Expired records from before this time have been removed.
    pub(super) swept: AtomicU64,
}

impl Registry {
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, standings: TokenStatusCache::default(), swept: AtomicU64::new(0) }
    }

    /// The store of the registry.
    pub(in crate::auth) fn kv(&self) -> &dyn Kv {
        &*self.kv
    }

    /// A client by its id.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub fn client(&self, id: &str) -> Result<Option<Client>, RegistryError> {
        self.find(id)
    }

    /// A user by its name.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub fn user(&self, name: &str) -> Result<Option<User>, RegistryError> {
        self.find(name)
    }

    /// A registration by its id, unless it was removed.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub fn find<T: Registration>(&self, id: &str) -> Result<Option<T>, RegistryError> {
        let found: Option<(T, Sequence)> = read(&*self.kv.snapshot(At::Latest)?, T::KIND, id)?;
        Ok(found.map(|(record, _)| record).filter(|record| !record.is_removed()))
    }

    /// All registrations of a kind, in the order of their ids, without removed ones.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub fn list<T: Registration>(&self) -> Result<Vec<T>, RegistryError> {
        let mut found: Vec<T> = self.all(T::KIND)?;
        found.retain(|record| !record.is_removed());
        Ok(found)
    }

    /// Stores a new registration.
    ///
    /// # Errors
    /// [`RegistryError`] if the id is taken or the registration is invalid.
    pub fn add<T: Registration>(&self, record: &T) -> Result<(), RegistryError> {
        record.check().map_err(|error| RegistryError::Invalid(error.to_string()))?;
        let key = key(T::KIND, record.id());
        let batch = Batch {
            expectations: vec![Expectation::Key { key: key.clone(), sequence: None }],
            writes: vec![put(key, record)?, epoch()],
            ..Batch::default()
        };
        match self.kv.commit(batch).wait() {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => Err(RegistryError::Exists),
            Err(error) => Err(error.into()),
        }
    }

    /// Disables or enables a registration from the next request on. Enabling does not revive older grants and tokens.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no such registration.
    pub fn enable<T: Registration>(
        &self,
        id: &str,
        enabling: RegistrationStatus,
        now: Millis,
    ) -> Result<(), RegistryError> {
        self.change::<T>(id, &|record| {
            let (disabled, ..) = record.state();
            *disabled = enabling == RegistrationStatus::Disabled;
            if *disabled {
                record.end_what_was(now);
            }
            Ok(())
        })
    }

    /// Removes a registration. Its rights end with the next request. Its id is never given again, because existing access
    /// records under it would be attributed to the new holder.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no such registration.
    pub fn remove<T: Registration>(&self, id: &str, now: Millis) -> Result<(), RegistryError> {
        self.change::<T>(id, &|record| {
            let (disabled, removed, _) = record.state();
            (*disabled, *removed) = (true, true);
            record.end_what_was(now);
            record.forget();
            Ok(())
        })
    }

    /// Changes a registration that is not removed, and retries after conflicts.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no such registration, or `change` fails.
    pub(in crate::auth) fn change<T: Registration>(
        &self,
        id: &str,
        change: &dyn Fn(&mut T) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        for _ in 0..RETRIES_MAX {
            let snapshot = self.kv.snapshot(At::Latest)?;
            let (mut record, sequence): (T, Sequence) =
                read(&*snapshot, T::KIND, id)?.ok_or(RegistryError::Absent)?;
            if record.is_removed() {
                return Err(RegistryError::Absent);
            }
            change(&mut record)?;
            let key = key(T::KIND, id);
            let batch = Batch {
                expectations: vec![Expectation::Key { key: key.clone(), sequence: Some(sequence) }],
                writes: vec![put(key, &record)?, epoch()],
                ..Batch::default()
            };
            match self.kv.commit(batch).wait() {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RegistryError::Store("others change the registration all the time".to_owned()))
    }

    fn all<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, RegistryError> {
        let snapshot = self.kv.snapshot(At::Latest)?;
        let range = KeyRange::prefix(Key::new(Space::Registry).text(kind.as_bytes()).into_bytes());
        let mut found = Vec::new();
        let mut damage = None;
        snapshot.scan(&range, Direction::Forward, &mut |_, value| match parse(kind, value) {
            Ok(record) => {
                found.push(record);
                Flow::Next
            }
            Err(error) => {
                damage = Some(error);
                Flow::Stop
            }
        })?;
        damage.map_or(Ok(found), |error| Err(error.into()))
    }
}

pub(super) fn key(kind: &str, id: &str) -> Vec<u8> {
    Key::new(Space::Registry).text(kind.as_bytes()).text(id.as_bytes()).into_bytes()
}

/// Raises the sequence of the registrations key, so that every cached token status is checked again.
pub(super) fn epoch() -> Write {
    Write { key: registrations_key(), value: Some(Vec::new()), ..Write::default() }
}

pub(super) fn put(key: Vec<u8>, record: &impl Serialize) -> Result<Write, RegistryError> {
    let value = serde_json::to_vec(record).map_err(|error| RegistryError::Store(error.to_string()))?;
    Ok(Write { key, value: Some(value), ..Write::default() })
}

fn parse<T: DeserializeOwned>(kind: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Corrupt(format!("a record of the kind {kind}")))
}

/// A record, and the sequence of the commit that wrote it.
pub(super) fn read<T: DeserializeOwned>(
    snapshot: &dyn Snapshot,
    kind: &str,
    id: &str,
) -> Result<Option<(T, Sequence)>, StoreError> {
    match snapshot.get(&key(kind, id))? {
        Some((value, sequence)) => Ok(Some((parse(kind, &value)?, sequence))),
        None => Ok(None),
    }
}

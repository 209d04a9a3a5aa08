//! What the handlers share.
use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use crate::operations::Engine;
use crate::store::{Sequence, StoreError};

use super::listen::Patience;
use super::observe::Observed;

/// What an administrator has a running server do: the path of what came of it, or why nothing did.
pub type Task = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What was committed after a commit, as another store takes it; `None` if there is nothing more yet.
///
/// # Errors
/// If the journal does not go back so far, or cannot be read.
pub type CommittedAfter = Arc<dyn Fn(Sequence) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;

/// The tasks of a server that has its data on disk.
#[derive(Clone, Default)]
pub struct Tasks {
    pub committed_after: Option<CommittedAfter>,
    pub backup: Option<Task>,
    pub rotate_keys: Option<Task>,
}

impl FromRef<App> for Arc<Engine> {
    fn from_ref(app: &App) -> Self {
        app.engine.clone()
    }
}

#[derive(Clone)]
pub(super) struct App {
    pub(super) engine: Arc<Engine>,
    pub(super) tasks: Tasks,
    pub(super) limits: Limits,
    pub(super) observed: Arc<Observed>,
    pub(super) heavy: Arc<Semaphore>,
}

/// The limits of the wire, each with its default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// How long a request may take.
    pub request_seconds_max: u64,
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: 256 * 1024 * 1024, request_seconds_max: 300, patience: Patience::default() }
    }
}

//! The state that all handlers share, and the limits of the HTTP server.
use std::sync::Arc;

use axum::extract::FromRef;

use crate::model::message_error;
use crate::operations::Engine;
use crate::store::{Sequence, StoreError};

use super::listen::Patience;
use super::observe::Observed;
use super::workers::Workers;

message_error! {
    /// Why a task of an administrator failed: a message for the log.
    pub TaskError
}

/// A task that an administrator starts. Returns a text for the answer, such as the backup's path, or why it failed.
pub type Task = Arc<dyn Fn() -> Result<String, TaskError> + Send + Sync>;

/// Returns the commits after a sequence as a journal file that another store can apply; `None` if there are none yet.
///
/// # Errors
/// If the journal no longer reaches back to that sequence, or cannot be read.
pub type CommittedAfter = Arc<dyn Fn(Sequence) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;

/// The tasks that need the data on disk; each is `None` where the store has no such task.
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
    pub(super) workers: Workers,
}

/// The limits of the HTTP server, each with its default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes, before and after decompression.
    pub body_bytes_max: usize,
    /// How long a request may take, in seconds.
    pub request_seconds_max: u64,
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: 256 * 1024 * 1024, request_seconds_max: 300, patience: Patience::default() }
    }
}

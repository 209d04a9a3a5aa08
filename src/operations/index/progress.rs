//! How far the indexing of a type is, as it is kept between commits.
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How far the indexing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether something is being indexed.
    pub running: bool,
    /// The type at hand, and the types that are still to come.
    pub types: Vec<String>,
    /// Resources looked at, of about so many.
    pub done: u64,
    pub of: u64,
    /// Index entries added and taken away.
    pub changed: u64,
    /// SearchParameters that are not served, with the reason.
    pub unserved: Vec<(String, String)>,
}

/// The work, at most one at a time.
#[derive(Default)]
pub(super) struct Job {
    pub(super) at_work: Mutex<()>,
    /// Whether somebody wants everything indexed anew.
    pub(super) all: AtomicBool,
    progress: Mutex<Progress>,
}

impl Job {
    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

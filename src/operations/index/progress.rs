//! How far the indexing is, and what was asked of it; kept in memory only.
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How far the indexing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether indexing is going on.
    pub running: bool,
    /// The type that is being indexed, and the types that follow.
    pub types: Vec<String>,
    /// How many resources were looked at, and about how many there are.
    pub done: u64,
    pub of: u64,
    /// How many writes the indexing has made, most of them index entries that were added or removed.
    pub changed: u64,
    /// SearchParameters that are not served, with the reason.
    pub unserved: Vec<(String, String)>,
}

/// The indexing job, of which at most one runs at a time.
#[derive(Default)]
pub(super) struct Job {
    pub(super) at_work: Mutex<()>,
    /// Whether everything is to be indexed anew.
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

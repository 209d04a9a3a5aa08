//! What snapshots and the writer share.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::batch::Sequence;

use super::pool::Pool;

/// What the store, its snapshots and its writer share.
pub(super) struct Shared {
    pub(super) pool: Pool,
    /// Snapshots in use by this process, by sequence.
    pub(super) used: Mutex<BTreeMap<Sequence, usize>>,
}

impl Shared {
    pub(super) fn used(&self) -> MutexGuard<'_, BTreeMap<Sequence, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest state that this process reads.
    pub(super) fn oldest_used(&self) -> Option<Sequence> {
        self.used().keys().next().copied()
    }
}

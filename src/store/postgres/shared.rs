//! State that the store, its snapshots and its writer share.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::batch::Sequence;

use super::kept::Kept;
use super::pool::Pool;

/// The connections, and the snapshots in use.
pub(super) struct Shared {
    pub(super) pool: Pool,
    /// What was read of the database before.
    pub(super) kept: Kept,
    /// How many snapshots this process has open, by sequence.
    pub(super) used: Mutex<BTreeMap<Sequence, usize>>,
}

impl Shared {
    pub(super) fn used(&self) -> MutexGuard<'_, BTreeMap<Sequence, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest state of which this process has an open snapshot.
    pub(super) fn oldest_used(&self) -> Option<Sequence> {
        self.used().keys().next().copied()
    }
}

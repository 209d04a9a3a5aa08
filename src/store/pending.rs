//! A commit that waits for a writer, as every backend that gathers commits has it.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::ticket::{CommitResult, Resolver};

/// How many bytes of commits one sync, or one transaction, takes together at most.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a commit that nobody waits for may wait for others to share a sync with.
const SOON: Duration = Duration::from_millis(20);
/// How long a commit may wait for a writer that cannot go on before it is told that the store is busy.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Pending {
    pub(super) batch: Batch,
    /// `None`: nobody waits for what becomes of it.
    pub(super) resolver: Option<Resolver>,
    pub(super) since: Instant,
}

impl Pending {
    pub(super) fn new(batch: Batch, resolver: Option<Resolver>) -> Self {
        Self { batch, resolver, since: Instant::now() }
    }

    pub(super) fn resolve(self, result: CommitResult) {
        if let Some(resolver) = self.resolver {
            resolver.resolve(result);
        }
    }
}

/// How long the first of them may still wait for others, if nobody waits for any.
pub(super) fn patience(pending: &VecDeque<Pending>) -> Option<Duration> {
    SOON.checked_sub(pending.front()?.since.elapsed())
}

/// The commits that are written together: the first ones, until they are large.
pub(super) fn group(mut next: impl FnMut() -> Option<Pending>) -> Vec<Pending> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while bytes < GROUP_BYTES_MAX {
        let Some(pending) = next() else { break };
        bytes += pending.batch.bytes();
        group.push(pending);
    }
    group
}

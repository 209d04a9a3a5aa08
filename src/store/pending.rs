//! Commits that wait for the writer thread; for all backends that write several commits as one group.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::ticket::{CommitResult, Resolver};

/// A group is closed once its commits have this many bytes. One sync, or one transaction, writes a group.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a commit that nobody waits for may be delayed so that it shares a sync with others.
const SOON: Duration = Duration::from_millis(20);
/// How long a commit waits for a writer that is blocked before it is refused as busy.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Pending {
    pub(super) batch: Batch,
    /// `None`: nobody waits for the result.
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

/// How much longer the oldest pending commit may wait for others; `None` if its time is over.
pub(super) fn patience(pending: &VecDeque<Pending>) -> Option<Duration> {
    SOON.checked_sub(pending.front()?.since.elapsed())
}

/// Takes the next group: commits in their order until the group is large enough or none is left.
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

//! The result of a commit, which arrives later: a future for asynchronous callers, a blocking wait for others.
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::batch::{CommitError, Committed};

/// How a commit ended: the assigned numbers, or why it was refused.
pub type CommitResult = Result<Committed, CommitError>;

#[derive(Default)]
struct State {
    result: Option<CommitResult>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    resolved: Condvar,
}

/// Receives the result of one commit.
pub struct Ticket {
    shared: Arc<Shared>,
}

/// Sends the result to the ticket. A resolver that is dropped unresolved sends [`CommitError::Stopped`].
pub struct Resolver {
    shared: Option<Arc<Shared>>,
}

impl Ticket {
    /// A new ticket and its resolver.
    #[must_use]
    pub fn new() -> (Self, Resolver) {
        let shared = Arc::<Shared>::default();
        (Self { shared: shared.clone() }, Resolver { shared: Some(shared) })
    }

    /// A ticket that is already resolved.
    #[must_use]
    pub fn resolved(result: CommitResult) -> Self {
        let (ticket, resolver) = Self::new();
        resolver.resolve(result);
        ticket
    }

    /// Blocks the thread until the commit is durable or refused.
    ///
    /// # Errors
    /// The [`CommitError`] with which the batch was refused.
    pub fn wait(self) -> CommitResult {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = self.shared.resolved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = CommitResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Resolver {
    /// Sends the result and wakes whoever waits.
    pub fn resolve(mut self, result: CommitResult) {
        self.settle(result);
    }

    fn settle(&mut self, result: CommitResult) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        shared.resolved.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.settle(Err(CommitError::Stopped));
    }
}

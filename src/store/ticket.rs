//! The answer to a commit, which comes later: a future for who is asynchronous, a wait for who is not.
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::batch::{CommitError, Committed};

/// What became of a batch.
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

/// A claim to the result of one commit.
pub struct Ticket {
    shared: Arc<Shared>,
}

/// The other end of a ticket. Dropped unresolved, it says that the store has stopped.
pub struct Resolver {
    shared: Option<Arc<Shared>>,
}

impl Ticket {
    /// A ticket and what resolves it.
    #[must_use]
    pub fn new() -> (Self, Resolver) {
        let shared = Arc::<Shared>::default();
        (Self { shared: shared.clone() }, Resolver { shared: Some(shared) })
    }

    /// A ticket that is resolved already.
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
    /// Says what became of the batch.
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

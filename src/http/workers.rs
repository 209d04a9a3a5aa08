//! The threads that work on requests. Their number is fixed, because every thread keeps memory of its own for as long as it
//! lives. Those that serve connections do only what takes microseconds, so that a short request is answered while long ones run.
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::model::IssueCode;
use crate::operations::{Refusal, RefusalKind};

use super::payload::refuse;

/// For each core, so many threads read, and so many write. Some searches and Bundles take seconds; the operating system divides
/// the time among those that run.
const READING_PER_CORE: usize = 4;
const WRITING_PER_CORE: usize = 2;
/// How many threads read, and write, where every look-up waits for a database.
const REMOTE: usize = 16;

/// The threads that work on requests, to be stopped by whoever started them.
pub struct Workers {
    reading: Runtime,
    writing: Runtime,
}

impl Workers {
    /// Starts the threads; `is_local` tells whether look-ups take microseconds.
    ///
    /// # Errors
    /// If the system grants no threads.
    pub fn start(is_local: bool) -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let (reading, writing) = match is_local {
            true => (cores * READING_PER_CORE, cores * WRITING_PER_CORE),
            false => (REMOTE, REMOTE),
        };
        let pool =
            |name, threads| Builder::new_multi_thread().worker_threads(threads).thread_name(name).build();
        Ok(Self { reading: pool("read", reading)?, writing: pool("write", writing)? })
    }

    /// Where requests hand their work in.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance { reading: self.reading.handle().clone(), writing: self.writing.handle().clone() }
    }

    /// Stops the threads; work that takes longer than `patience` is given up.
    pub fn stop(self, patience: Duration) {
        self.writing.shutdown_timeout(patience);
        self.reading.shutdown_timeout(patience);
    }
}

/// Hands work to the threads.
#[derive(Clone)]
pub struct Entrance {
    reading: Handle,
    writing: Handle,
}

impl Entrance {
    /// Work that only reads. It is given up when its client hangs up: then the returned future is dropped.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let mut task = GivenUp(self.reading.spawn(work));
        (&mut task.0).await.unwrap_or_else(|_| Err(failed()))
    }

    /// Work that may write. It is carried through even if its client hangs up.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.writing.spawn(work).await.unwrap_or_else(|_| Err(failed()))
    }
}

/// A task that ends when this value is dropped.
struct GivenUp<T>(JoinHandle<T>);

impl<T> Drop for GivenUp<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed() -> Refusal {
    refuse(RefusalKind::Internal, IssueCode::Exception, "the request failed")
}

//! The threads that work on requests. Their number is fixed, because every thread keeps memory of its own for as long as it
//! lives. Those that serve connections do only what takes microseconds, so that a short request is answered while long ones run.
use std::io;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::thread::available_parallelism;

use futures_executor::ThreadPool;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::model::IssueCode;
use crate::operations::{Refusal, RefusalKind};

use super::payload::refuse;

/// How many threads read for each core, and how many write. Some searches and Bundles take seconds; the operating system divides
/// the time among those that run.
const READING_PER_CORE: usize = 4;
const WRITING_PER_CORE: usize = 2;
/// How many threads read, and write, where every look-up waits for a database.
const REMOTE: usize = 12;

/// The threads that work on requests. They end when the last copy of this value is dropped and their work is done.
#[derive(Clone)]
pub struct Workers {
    reading: ThreadPool,
    writing: ThreadPool,
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
        // No runtime of tokio: the client of PostgreSQL blocks on one of its own, which tokio forbids on its threads.
        let pool = |name: &str, threads| {
            let mut builder = ThreadPool::builder();
            builder.pool_size(threads).name_prefix(name).after_start(|_| give_way()).create()
        };
        Ok(Self { reading: pool("read-", reading)?, writing: pool("write-", writing)? })
    }

    /// Does work that only reads. It is given up when its client hangs up: then the returned future is dropped.
    ///
    /// # Errors
    /// Those of the work; 500 if it panics.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (task, handle) = AssertUnwindSafe(work).catch_unwind().remote_handle();
        self.reading.spawn_ok(task);
        handle.await.unwrap_or_else(|_| Err(failed()))
    }

    /// Does work that may write. It is carried through even if its client hangs up.
    ///
    /// # Errors
    /// Those of the work; 500 if it panics.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (done, result) = oneshot::channel();
        self.writing.spawn_ok(async move {
            let worked = AssertUnwindSafe(work).catch_unwind().await;
            // Nobody receives it if the client has hung up.
            let _ = done.send(worked.unwrap_or_else(|_| Err(failed())));
        });
        result.await.unwrap_or_else(|_| Err(failed()))
    }
}

/// Lets this thread give way to those that serve connections: what they do takes microseconds, and somebody waits for it. Where the
/// system does not know priorities of threads, all are equal.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    {
        /// By how much the priority is lower, as in nice(2).
        const LOWER_BY: i32 = 10;
        // A thread may always lower its own priority, so there is nothing to do if it cannot.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWER_BY);
    }
}

fn failed() -> Refusal {
    refuse(RefusalKind::Internal, IssueCode::Exception, "the request failed")
}

//! A thread of the server that repeats some work until the server ends.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::give_way;

/// How long a thread waits after a failure before it asks the store again.
pub(super) const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// A running background thread.
pub(super) struct Background {
    stop: Sender<()>,
    is_wanted: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts a thread that repeats the work and pauses between for as long as the work returned, first for `pause`. The work
    /// runs once more when the server ends. It receives a function that tells whether the server goes on; long work calls it
    /// repeatedly.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(
        name: &str,
        pause: Duration,
        mut work: impl FnMut(&dyn Fn() -> bool) -> Duration + Send + 'static,
    ) -> Result<Self, String> {
        let (stop, stopped) = channel::<()>();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let flag = is_wanted.clone();
        let all = move || {
            give_way();
            let goes_on = || flag.load(Ordering::Relaxed);
            let mut pause = pause;
            // A dropped sender means the same as a message.
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = work(&goes_on);
            }
            work(&goes_on);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(all);
        Ok(Self { stop, is_wanted, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Asks the thread to stop; waits until the current work and the last one are done.
    pub(super) fn stop(self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        drop(self.stop);
        // A panic of the thread has already been reported.
        let _ = self.thread.join();
    }
}

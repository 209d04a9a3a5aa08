//! A thread of a server that does some work again and again until the server ends.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long to wait after a failure: a store that does not answer is not asked again at once.
pub(super) const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// The thread.
pub(super) struct Background {
    stop: Sender<()>,
    is_wanted: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts a thread that does the work after a pause, gives it the next pause that the work asks for, and does it once more when the
    /// server ends. The work is told whether the server goes on: long work asks again and again.
    ///
    /// # Errors
    /// If the system lets no thread be started.
    pub(super) fn start(
        name: &str,
        pause: Duration,
        mut work: impl FnMut(&dyn Fn() -> bool) -> Duration + Send + 'static,
    ) -> Result<Self, String> {
        let (stop, stopped) = channel::<()>();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let flag = is_wanted.clone();
        let all = move || {
            let goes_on = || flag.load(Ordering::Relaxed);
            let mut pause = pause;
            // A sender that is gone means the same as a word from it.
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = work(&goes_on);
            }
            work(&goes_on);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(all);
        Ok(Self { stop, is_wanted, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Waits until the work at hand is given up or done, and the last work is done.
    pub(super) fn stop(self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        drop(self.stop);
        // The thread ends by itself; that it failed it has said.
        let _ = self.thread.join();
    }
}

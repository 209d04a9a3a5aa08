//! The thread of a server that adds to the record of accesses whom requests concerned beyond what they showed.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::operations::Engine;
use crate::store::Sequence;

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long to wait after a failure.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// The thread, which also looks up what is due when it ends.
pub(super) struct LookingUp {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl LookingUp {
    pub(super) fn start(engine: Arc<Engine>) -> Result<Self, String> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
            let mut pause = LOOK_EVERY;
            // A sender that is gone means the same as a word from it.
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = if look_up(&engine) { LOOK_EVERY } else { AFTER_A_FAILURE };
            }
            // The records of reads may be on their way yet.
            engine.kv().settle();
            look_up(&engine);
        };
        let thread = std::thread::Builder::new().name("concern".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Looks up what is due and ends.
    pub(super) fn stop(self) {
        drop(self.stop);
        // The thread ends by itself; that it failed it has said.
        let _ = self.thread.join();
    }
}

/// Whether the store let it. What it did not let is due as before.
fn look_up(engine: &Engine) -> bool {
    let look_up = AssertUnwindSafe(|| engine.look_up_unshown(Sequence(u64::MAX), None));
    // A fault of one look-up must not end all that come after it.
    match catch_unwind(look_up) {
        Ok(Ok(_)) => true,
        Ok(Err(refusal)) => {
            let cause = refusal.outcome.internal.as_deref().unwrap_or("the store takes no writes");
            tracing::error!(cause, "whom requests concerned could not be looked up; it is tried again");
            false
        }
        Err(_) => false,
    }
}

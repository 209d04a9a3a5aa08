//! The thread of a server that makes the index by which accesses are found.
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::operations::Engine;

/// How often it looks whether there are records that are not indexed. A search reads those beside the index.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long to wait after a failure.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// The thread.
pub(super) struct AccessIndexing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl AccessIndexing {
    pub(super) fn start(engine: Arc<Engine>) -> Result<Self, String> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
            let mut pause = LOOK_EVERY;
            // A sender that is gone means the same as a word from it.
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = LOOK_EVERY;
                loop {
                    match engine.index_accesses() {
                        Ok(true) if stopped.try_recv() == Err(TryRecvError::Empty) => {}
                        Ok(true) => return,
                        Ok(false) => break,
                        Err(error) => {
                            tracing::error!(%error, "accesses could not be indexed; it is tried again");
                            pause = AFTER_A_FAILURE;
                            break;
                        }
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("accesses".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Ends after the records at hand; the others are indexed when the directory is served again.
    pub(super) fn stop(self) {
        drop(self.stop);
        // The thread ends by itself; that it failed it has said.
        let _ = self.thread.join();
    }
}

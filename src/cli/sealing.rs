//! The thread of a server that seals the record of accesses: it hashes what was added and signs the root of all.
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::{Signer, seal};
use crate::store::Kv;

use super::house::{House, now};

/// The thread, which also seals when it ends.
pub(super) struct Sealing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sealing {
    pub(super) fn start(house: &House, every: Duration) -> Result<Self, String> {
        let (kv, signer) = (house.kv().clone(), house.audit_signer().clone());
        let (stop, stopped) = channel::<()>();
        let work = move || {
            // A sender that is gone means the same as a word from it.
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                seal_now(&kv, &signer);
            }
            seal_now(&kv, &signer);
        };
        let thread = std::thread::Builder::new().name("seal".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Seals once more and ends.
    pub(super) fn stop(self) {
        drop(self.stop);
        // The thread ends by itself; that it failed it has said.
        let _ = self.thread.join();
    }
}

fn seal_now(kv: &Arc<dyn Kv>, signer: &Signer) {
    if let Err(error) = seal(&**kv, signer, now()) {
        tracing::error!(%error, "the record of accesses could not be sealed");
    }
}

//! The thread of a server that seals the record of accesses: it hashes what was added and signs the root of all.
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::{SignedRoot, Signer, seal};
use crate::store::Kv;

use super::anchor::{Anchor, Noted};
use super::house::{House, now};

/// The thread, which also seals when it ends.
pub(super) struct Sealing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sealing {
    pub(super) fn start(house: &House, every: Duration, anchor: Anchor) -> Result<Self, String> {
        let (kv, signer) = (house.kv().clone(), house.audit_signer().clone());
        let (stop, stopped) = channel::<()>();
        let work = move || {
            // A sender that is gone means the same as a word from it.
            let mut noted = None;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                seal_now(&kv, &signer, &anchor, &mut noted);
            }
            seal_now(&kv, &signer, &anchor, &mut noted);
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

fn seal_now(kv: &Arc<dyn Kv>, signer: &Signer, anchor: &Anchor, noted: &mut Option<SignedRoot>) {
    // What was answered is sealed with it: the records of reads may be on their way yet.
    kv.settle();
    match seal(&**kv, signer, now()) {
        Ok(root) => {
            if let Some(root) = root.filter(|root| noted.as_ref() != Some(root)) {
                anchor.note(&Noted::Root(root.clone()));
                *noted = Some(root);
            }
        }
        Err(error) => tracing::error!(%error, "the record of accesses could not be sealed"),
    }
}

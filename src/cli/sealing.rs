//! The server's thread that seals the record of accesses: it hashes new access records and signs the root of all records.
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{SignedRoot, Signer, seal};
use crate::store::Kv;

use super::anchor::{Anchor, AnchorLine};
use super::background::Background;
use super::clock::now;
use super::house::House;

/// Starts the thread. It seals once more when the server ends.
///
/// # Errors
/// If the system cannot start a thread.
pub(super) fn seal_accesses(house: &House, every: Duration, anchor: Anchor) -> Result<Background, String> {
    let (kv, signer) = (house.kv().clone(), house.audit_signer().clone());
    let mut noted = None;
    Background::start("seal", every, move |_| {
        seal_now(&kv, &signer, &anchor, &mut noted);
        every
    })
}

fn seal_now(kv: &Arc<dyn Kv>, signer: &Signer, anchor: &Anchor, noted: &mut Option<SignedRoot>) {
    // Access records of reads are committed asynchronously; wait, so that everything answered so far is sealed.
    kv.settle();
    match seal(&**kv, signer, now()) {
        Ok(root) => {
            if let Some(root) = root.filter(|root| noted.as_ref() != Some(root)) {
                anchor.note(&AnchorLine::Root(root.clone()));
                *noted = Some(root);
            }
        }
        Err(error) => tracing::error!(%error, "the record of accesses could not be sealed"),
    }
}

//! The server's thread that maintains the index of access records.
use std::sync::Arc;
use std::time::Duration;

use crate::operations::Engine;

use super::background::{AFTER_A_FAILURE, Background};

/// How often the thread looks for access records without index entries. A search reads such records directly.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts the thread. Records without index entries when the server ends are indexed when the directory is served again.
///
/// # Errors
/// If the system cannot start a thread.
pub(super) fn index_accesses(engine: Arc<Engine>) -> Result<Background, String> {
    Background::start("accesses", LOOK_EVERY, move |goes_on| {
        while goes_on() {
            match engine.index_accesses() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "accesses could not be indexed; it is tried again");
                    return AFTER_A_FAILURE;
                }
            }
        }
        LOOK_EVERY
    })
}

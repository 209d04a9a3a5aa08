//! The thread of a server that makes the index by which accesses are found.
use std::sync::Arc;
use std::time::Duration;

use crate::operations::Engine;

use super::background::{AFTER_A_FAILURE, Background};

/// How often it looks whether there are records that are not indexed. A search reads those beside the index.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts it. What is not indexed when the server ends is indexed when the directory is served again.
///
/// # Errors
/// If the system lets no thread be started.
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

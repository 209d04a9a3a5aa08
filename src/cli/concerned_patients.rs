//! The thread of a server that adds to the record of accesses whom requests concerned beyond what they showed.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::operations::Engine;
use crate::store::Sequence;

use super::background::{AFTER_A_FAILURE, Background};

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Starts it; when the server ends it looks up what is due yet.
///
/// # Errors
/// If the system lets no thread be started.
pub(super) fn look_up_concerned(engine: Arc<Engine>) -> Result<Background, String> {
    Background::start("concern", LOOK_EVERY, move |goes_on| {
        if !goes_on() {
            // The records of reads may be on their way yet.
            engine.kv().settle();
        }
        if look_up(&engine) { LOOK_EVERY } else { AFTER_A_FAILURE }
    })
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

//! The server's thread that adds to the record of accesses the patients whom a request concerned without showing them.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::operations::Engine;
use crate::store::Sequence;

use super::background::{AFTER_A_FAILURE, Background};

/// How often the thread looks for due requests.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Starts the thread; when the server ends it looks up what is still due.
///
/// # Errors
/// If the system cannot start a thread.
pub(super) fn look_up_concerned(engine: Arc<Engine>) -> Result<Background, String> {
    Background::start("concern", LOOK_EVERY, move |goes_on| {
        if !goes_on() {
            // Access records of reads are committed asynchronously; wait until they can be read.
            engine.kv().settle();
        }
        if look_up(&engine) { LOOK_EVERY } else { AFTER_A_FAILURE }
    })
}

/// Whether the look-up succeeded. What failed remains due.
fn look_up(engine: &Engine) -> bool {
    let look_up = AssertUnwindSafe(|| engine.look_up_unshown(Sequence(u64::MAX), None));
    // A panic in one look-up must not end the thread.
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

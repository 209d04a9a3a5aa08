//! The `chartward` command: passes its arguments to the library and exits with the code that the library returns.
use std::process::ExitCode;

use mimalloc::MiMalloc;

// Server threads allocate and free many small strings; the system's allocator takes a fifth of the time of a request for that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    chartward::cli::run()
}

//! The `chartward` command: hands its arguments to the library and exits with what came of it.
use std::process::ExitCode;

use mimalloc::MiMalloc;

// A server's threads make and drop many small texts; the system's allocator takes a fifth of a request for that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    chartward::cli::run()
}

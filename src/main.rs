//! The `chartward` command: hands its arguments to the library and exits with what came of it.
use std::process::ExitCode;

fn main() -> ExitCode {
    chartward::cli::run()
}

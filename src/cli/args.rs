//! The command line: its grammar, and which file answers each subcommand.
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{fhirpath, profiles};

#[derive(Parser)]
#[command(name = "chartward", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Evaluate a FHIRPath expression on a resource and print what it selects, one value a line
    Fhirpath(fhirpath::Arguments),
    /// Make the tables of `profiles/` from unpacked official packages (for developers)
    Profiles(profiles::Arguments),
}

/// Runs the command that the process was started with. Exit code 0: done; 1: it failed, and said why on stderr.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Fhirpath(arguments) => fhirpath::run(&arguments),
        Command::Profiles(arguments) => profiles::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            report(&message);
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the one place that tells a person at a terminal why a command failed"
)]
fn report(message: &str) {
    eprintln!("chartward: {message}");
}

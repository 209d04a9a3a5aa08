//! The grammar of the command line, and the function that runs each subcommand.
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::examples::with_examples;
use super::huge_pages;
use super::stderr::report;
use super::{
    audit, backup, config, conform, consent, demo, fhirpath, generate, import, load, patch, profiles,
    registrations, reindex, selftest, serve, standby, token, verify,
};

/// An HL7 FHIR R4 server that discloses patients' health records only as their consent allows.
#[derive(Parser)]
#[command(name = "chartward", version, about, propagate_version = true, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a data directory over HTTP
    Serve(serve::Arguments),
    /// Serve a synthetic hospital from memory, and print commands to try consent on it
    Demo(demo::Arguments),
    /// Verify the record of accesses
    Audit(audit::Arguments),
    /// Write the whole content of a data directory to one file
    Backup(backup::BackupArguments),
    /// Restore a backup into a new data directory
    Restore(backup::RestoreArguments),
    /// Manage clients: apps and systems that request access tokens
    Client(registrations::ClientArguments),
    /// Manage users: people who log in at the server's own page
    User(registrations::UserArguments),
    /// Rotate the keys that sign tokens
    Keys(super::rotate_keys::Arguments),
    /// Issue an access token for the server of a data directory
    Token(token::Arguments),
    /// Load Bundles and resources from files into a data directory or a server
    Import(import::Arguments),
    /// Generate a synthetic hospital; everybody in it is fictional
    Generate(generate::Arguments),
    /// Follow a running server, to replace it if it is lost
    Standby(standby::Arguments),
    /// Check that a data directory is intact: every resource has exactly its index entries, and every version is in place
    Verify(verify::Arguments),
    /// Check that this program gives known answers
    Selftest(selftest::Arguments),
    /// Rebuild the index entries of every resource
    Reindex(reindex::Arguments),
    /// Run the conformance scenarios against a FHIR server and print which hold
    Conform(conform::Arguments),
    /// Measure the throughput and latency of a FHIR server
    Load(load::Arguments),
    /// Decide consent cases given as JSON
    Consent(consent::Arguments),
    /// Print the effective configuration
    Config(config::Arguments),
    /// Evaluate a FHIRPath expression on a resource and print the selected values, one per line
    Fhirpath(fhirpath::Arguments),
    /// Apply a JSON Patch or a FHIRPath Patch to a document and print the result
    Patch(patch::Arguments),
    /// Generate the tables of `profiles/` from unpacked official packages (for developers)
    Profiles(profiles::Arguments),
}

/// Runs the requested subcommand. Exit code 0: success; 1: failure, explained on stderr; 2: wrong usage, or `conform` could not
/// run.
#[must_use]
pub fn run() -> ExitCode {
    // Before anything else takes memory: what is in huge pages already stays there.
    if std::env::args_os().nth(1).is_none_or(|command| command != "import") {
        huge_pages::avoid();
    }
    let matches = with_examples(Arguments::command()).get_matches();
    // `get_matches` has already reported wrong usage and ended the process.
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Backup(arguments) => backup::backup(&arguments),
        Command::Restore(arguments) => backup::restore(&arguments),
        Command::Client(arguments) => registrations::client(&arguments),
        Command::User(arguments) => registrations::user(&arguments),
        Command::Keys(arguments) => super::rotate_keys::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Standby(arguments) => standby::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Selftest(arguments) => selftest::run(&arguments),
        Command::Reindex(arguments) => reindex::run(&arguments),
        Command::Conform(arguments) => return conform::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Consent(arguments) => consent::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Fhirpath(arguments) => fhirpath::run(&arguments),
        Command::Patch(arguments) => patch::run(&arguments),
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

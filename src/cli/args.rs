//! The command line: its grammar, and which file answers each subcommand.
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::examples::with_examples;
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
    /// Serve a data directory
    Serve(serve::Arguments),
    /// Serve a synthetic hospital that leaves nothing behind, and print how to try consent on it
    Demo(demo::Arguments),
    /// Check the record of accesses
    Audit(audit::Arguments),
    /// Write everything that a data directory holds to one file
    Backup(backup::BackupArguments),
    /// Read a backup into a new data directory
    Restore(backup::RestoreArguments),
    /// Register clients: apps and systems that ask for access tokens
    Client(registrations::ClientArguments),
    /// Register users: who logs in at the server's own page
    User(registrations::UserArguments),
    /// Change the keys with which tokens are signed
    Keys(super::rotate_keys::Arguments),
    /// Mint an access token of the server of a data directory
    Token(token::Arguments),
    /// Load Bundles and resources from files into a data directory or a server
    Import(import::Arguments),
    /// Make a synthetic hospital; nobody in it exists
    Generate(generate::Arguments),
    /// Follow a running server, to take its place one day
    Standby(standby::Arguments),
    /// Prove that a data directory is whole: every resource has exactly its index entries, every version its place
    Verify(verify::Arguments),
    /// Ask this program questions whose answers are known
    Selftest(selftest::Arguments),
    /// Index every resource anew
    Reindex(reindex::Arguments),
    /// Run the conformance scenarios against a FHIR server and print which hold
    Conform(conform::Arguments),
    /// Measure how fast a FHIR server is
    Load(load::Arguments),
    /// Decide consent cases given as data
    Consent(consent::Arguments),
    /// Print the configuration that is in force
    Config(config::Arguments),
    /// Evaluate a FHIRPath expression on a resource and print what it selects, one value a line
    Fhirpath(fhirpath::Arguments),
    /// Apply a JSON Patch or a FHIRPath Patch to a document and print what comes of it
    Patch(patch::Arguments),
    /// Make the tables of `profiles/` from unpacked official packages (for developers)
    Profiles(profiles::Arguments),
}

/// Runs the command that the process was started with. Exit code 0: done; 1: it failed, and said why on stderr; 2: it was
/// called wrongly, or `conform` could not run.
#[must_use]
pub fn run() -> ExitCode {
    let matches = with_examples(Arguments::command()).get_matches();
    // What does not fit the grammar ends the process above, with what is wrong.
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

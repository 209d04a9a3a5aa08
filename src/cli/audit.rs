//! `chartward audit verify`: checks the sealed chain in which every access is recorded.
use std::io::Write as _;
use std::path::PathBuf;

use crate::store::verify_chain;

/// Offline work on the record of accesses.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read the journal of a data directory, or of a copy of one, and check that nothing was removed, changed or reordered
    Verify {
        /// The data directory
        #[arg(default_value = "./chartward-data")]
        data: PathBuf,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Verify { data } = &arguments.command;
    let (commits, accesses) = verify_chain(data).map_err(|error| error.to_string())?;
    let summary = format!("the chain is whole: {commits} commits, {accesses} access records");
    writeln!(std::io::stdout(), "{summary}").map_err(|error| error.to_string())
}

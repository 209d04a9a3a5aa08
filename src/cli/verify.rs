//! `chartward verify`: checks that a data directory is intact.
use std::io::Write as _;

use super::config::DirectoryFlags;
use super::house::{House, must_exist};

/// Check that the data directory is intact and print what was checked; exit code 1 if anything is wrong. Stop the server first
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: DirectoryFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = arguments.place.load()?;
    must_exist(&config)?;
    let findings = House::open(&config)?.verify()?;
    let mut out = std::io::stdout().lock();
    let summary = format!(
        "{} resources, {} deleted ones, {} versions, {} index entries, {} faults",
        findings.resources,
        findings.deleted,
        findings.versions,
        findings.postings,
        findings.faults.len()
    );
    writeln!(out, "{summary}").map_err(|error| error.to_string())?;
    for fault in &findings.faults {
        writeln!(out, "fault: {fault}").map_err(|error| error.to_string())?;
    }
    if findings.faults.is_empty() { Ok(()) } else { Err("the data directory is damaged".to_owned()) }
}

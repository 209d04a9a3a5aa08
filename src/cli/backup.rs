//! `chartward backup` and `chartward restore`.
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::{At, Kv as _, Sled, SledOptions, SystemClock, read_dump, write_dump};

use super::config::{Common, Config};

/// Writes everything that the data directory holds, every version and every access record, to one compressed file with a
/// checksum. The server must not be running. The issuer's key is not in it: keep `keys/` apart.
#[derive(clap::Args)]
pub struct BackupArguments {
    #[command(flatten)]
    common: Common,
    /// The file to write
    file: PathBuf,
}

/// Reads a backup into a data directory that is not there yet.
#[derive(clap::Args)]
pub struct RestoreArguments {
    #[command(flatten)]
    common: Common,
    /// The file to read
    file: PathBuf,
}

fn open(config: &Config) -> Result<Sled, String> {
    Sled::open(&SledOptions::new(&config.data), Arc::new(SystemClock)).map_err(|error| error.to_string())
}

pub fn backup(arguments: &BackupArguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    if !config.data.exists() {
        return Err(format!("{} is not there", config.data.display()));
    }
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.file.display());
    let store = open(&config)?;
    let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
    // Whole or not at all: a file that was begun has another name.
    let part = arguments.file.with_extension("part");
    let mut out = BufWriter::new(File::create(&part).map_err(|error| failed(&error))?);
    let dumped = write_dump(&*snapshot, &mut out).map_err(|error| failed(&error))?;
    let file = out.into_inner().map_err(|error| failed(&error))?;
    file.sync_all().and_then(|()| std::fs::rename(&part, &arguments.file)).map_err(|error| failed(&error))?;
    say(&format!(
        "{} keys as of commit {} are in {}",
        dumped.keys,
        dumped.sequence.0,
        arguments.file.display()
    ))
}

pub fn restore(arguments: &RestoreArguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    if config.data.join("journal").exists() {
        return Err(format!(
            "{} is there already; a backup is restored beside it, not over it",
            config.data.display()
        ));
    }
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.file.display());
    let file = File::open(&arguments.file).map_err(|error| failed(&error))?;
    // Under another name until it is whole: half a restore must not be taken for a store.
    let part = Config { data: config.data.with_extension("restoring"), ..config.clone() };
    if part.data.exists() {
        return Err(format!("{} is left from a restore that failed; remove it first", part.data.display()));
    }
    let store = open(&part)?;
    let dumped = read_dump(&mut BufReader::new(file), &store).map_err(|error| failed(&error))?;
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    // An empty folder may be there already.
    let _ = std::fs::remove_dir(&config.data);
    std::fs::rename(&part.data, &config.data)
        .map_err(|error| format!("{}: {error}", config.data.display()))?;
    say(&format!("{} keys as of commit {} are in {}", dumped.keys, dumped.sequence.0, config.data.display()))
}

fn say(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

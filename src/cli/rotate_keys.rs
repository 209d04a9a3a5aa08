//! `chartward keys`: gives a data directory new signing keys, while tokens signed with the old keys stay valid.
use std::io::Write as _;

use super::backup::ask_server;
use super::config::{Common, Config};
use super::house::{House, must_exist};
use super::keys::{folder, rotate};

/// Manage the keys that sign the server's tokens, in `keys/` of the data directory
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make new keys and sign with them from now on. Tokens signed with the old keys stay valid until they expire, at most 30
    /// days.
    /// A running server signs the record of accesses with its new key only after a restart
    Rotate(Common),
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Rotate(common) = &arguments.command;
    let config = Config::load(common)?;
    must_exist(&config)?;
    if config.store.is_some() {
        // Several servers may share the database and its keys, and this command cannot notify them.
        rotate(&folder(&config))?;
        let said = "new keys are there; servers sign with them, and know them, when they are started again";
        return writeln!(std::io::stdout(), "{said}").map_err(|error| error.to_string());
    }
    match House::open(&config) {
        // The open store locks the data directory, so no server can start with the old keys meanwhile.
        Ok(house) => {
            rotate(&folder(&config))?;
            drop(house);
        }
        Err(reason) => {
            ask_server(&config, "POST", "/admin/keys/rotate")
                .map_err(|error| format!("{reason}; {error}"))?;
        }
    }
    writeln!(std::io::stdout(), "new keys sign from here on").map_err(|error| error.to_string())
}

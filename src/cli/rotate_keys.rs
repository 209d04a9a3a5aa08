//! `chartward keys`: gives a data directory new keys, while the tokens that the old ones have signed stay good.
use std::io::Write as _;

use super::backup::ask_server;
use super::config::{Common, Config};
use super::house::{House, must_exist};
use super::keys::{folder, rotate};

/// The keys with which the server signs tokens. They are in `keys/` of the data directory.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Sign with new keys from here on; tokens signed with the old ones stay good for as long as they are, at most 30 days.
    /// A running server signs the record of accesses with the new key when it is started again
    Rotate(Common),
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Rotate(common) = &arguments.command;
    let config = Config::load(common)?;
    must_exist(&config)?;
    if config.store.is_some() {
        // Several servers may use them; none of them is told.
        rotate(&folder(&config))?;
        let said = "new keys are there; servers sign with them, and know them, when they are started again";
        return writeln!(std::io::stdout(), "{said}").map_err(|error| error.to_string());
    }
    match House::open(&config) {
        // As long as it is open, no server begins to use the old keys.
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

//! `chartward reindex`, and the server's thread that indexes resources when SearchParameters are added.
use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::operations::Progress;

use super::background::{AFTER_A_FAILURE, Background};
use super::backup::ask_server;
use super::config::{Common, Config};
use super::house::{House, must_exist};
use super::stderr::report;

/// How often the server's thread looks for resources to index.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the server's thread that keeps the index and the compression dictionary up to date. When the server stops, the thread
/// ends after its current commit and continues when the directory is served again.
///
/// # Errors
/// If the system cannot start a thread.
pub(super) fn index_changes(house: &House) -> Result<Background, String> {
    let (index, packing, kv) = (house.index().clone(), house.packing().clone(), house.kv().clone());
    Background::start("index", LOOK_EVERY, move |goes_on| {
        if !goes_on() {
            return LOOK_EVERY;
        }
        let all = index.is_asked_for_all();
        let indexed = index.catch_up(&*kv, all, goes_on);
        match packing.tend(&kv) {
            Ok(false) => {}
            Ok(true) => tracing::info!("a dictionary was made, by which new versions take less room"),
            Err(error) => tracing::warn!(%error, "no dictionary could be made to pack new versions with"),
        }
        match indexed {
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(%error, "what was changed could not be indexed; it is tried again");
                AFTER_A_FAILURE
            }
        }
    })
}

/// Rebuild the index entries of every resource and print the progress. A running server does it itself and keeps serving
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    must_exist(&config)?;
    match House::open(&config) {
        Ok(house) => alone(&house),
        Err(reason) => by_server(&config).map_err(|error| format!("{reason}; {error}")),
    }
}

fn alone(house: &House) -> Result<(), String> {
    let (finished, finish) = channel::<()>();
    let index = house.index().clone();
    let watching = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
        while finish.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            tell(&index.progress());
        }
    });
    let done = house.index().catch_up(&**house.kv(), true, &|| true).map_err(|error| error.to_string())?;
    drop(finished);
    if let Ok(watching) = watching {
        // The thread only prints, so its failure does not matter.
        let _ = watching.join();
    }
    say(&format!("{done} resources are indexed, {} index entries changed", house.index().progress().changed))
}

fn by_server(config: &Config) -> Result<(), String> {
    ask_server(config, "POST", "/admin/reindex")?;
    let (_never, wait) = channel::<()>();
    loop {
        let text = ask_server(config, "GET", "/admin/reindex")?;
        let progress: Progress = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if !progress.running {
            return say(&format!(
                "the running server has indexed {} resources, {} index entries changed",
                progress.done, progress.changed
            ));
        }
        tell(&progress);
        // The sender never sends; this only waits for the timeout.
        let _ = wait.recv_timeout(Duration::from_millis(500));
    }
}

fn tell(progress: &Progress) {
    let at = progress.types.first().map_or("", String::as_str);
    report(&format!("{} of about {} resources are indexed; {at}", progress.done, progress.of));
}

fn say(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

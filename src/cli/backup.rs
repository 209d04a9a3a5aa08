//! `chartward backup` and `chartward restore`, and the client of a running server's administration API.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::TlsConfig;

use crate::auth::{Issuer, Role};
use crate::http::Task;
use crate::model::{Millis, Temporal};
use crate::store::{
    At, Dumped, Kv, PointInTime, Postgres, Sequence, Sled, SledOptions, StoreError, SystemClock,
    make_private_file, make_private_folder, read_chain, read_dump_without, write_dump,
};

use super::anchor::{Anchor, AnchorLine};
use super::config::{Common, Config, DirectoryFlags};
use super::house::{claims, must_exist, open_store, secret_key};
use super::token::base_url;

/// Write everything in the data directory, every version and every access record, to one compressed file with a checksum. A
/// running server keeps serving: the command finds it and the server writes the backup. The signing keys are not in the backup:
/// copy `keys/` separately. An existing file is not overwritten
#[derive(clap::Args)]
pub struct BackupArguments {
    #[command(flatten)]
    common: Common,
    /// The file to write
    file: PathBuf,
}

/// Restore a backup into a data directory that does not exist yet
#[derive(clap::Args)]
pub struct RestoreArguments {
    #[command(flatten)]
    place: DirectoryFlags,
    /// The backup file to read
    file: PathBuf,
    /// A later copy of the same data directory, or of its `journal`: do not restore what has been erased there since the backup
    #[arg(long, value_name = "DIR")]
    erased_in: Option<PathBuf>,
    /// The data directory that the backup was made of, or a copy of its `journal`: also restore what was committed there after
    /// the backup, except what was erased
    #[arg(long, value_name = "DIR", conflicts_with = "erased_in")]
    journal: Option<PathBuf>,
    /// Restore the state as of this moment, such as 2026-11-26T09:30:00Z
    #[arg(long, value_name = "INSTANT", requires = "journal", value_parser = instant)]
    until: Option<Millis>,
}

impl RestoreArguments {
    /// The erasures of the later state that `--erased-in` or `--journal` names.
    fn later(&self) -> Result<ErasuresSince, String> {
        let data = self.erased_in.as_ref().or(self.journal.as_ref());
        Ok(data.map(|data| erased_since(data)).transpose()?.unwrap_or_default())
    }

    /// Reads the backup into an empty store and commits again what the journal holds after it; returns a summary for the user.
    fn read_into(&self, store: &dyn Kv, later: &ErasuresSince) -> Result<String, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file.display());
        let file = File::open(&self.file).map_err(|error| failed(&error))?;
        let dumped = read_dump_without(&mut BufReader::new(file), store, &later.rows)
            .map_err(|error| failed(&error))?;
        if later.secret.is_some() && later.secret != secret_of(store)? {
            return Err("the directory of what came later is of another store".to_owned());
        }
        let mut said = format!("restored {}", counted(&dumped));
        let mut time = dumped.time;
        if let Some(data) = &self.journal {
            let again = PointInTime { data, after: dumped.sequence, until: self.until, erased: &later.rows };
            let made = again.commit_into(store).map_err(|error| match error {
                StoreError::Expired => "the backup is of a later moment; restore an older one".to_owned(),
                error => format!("{}: {error}", data.display()),
            })?;
            said.push_str(&format!(" and {} later commits", made.commits));
            time = made.time;
        }
        if time > 0 {
            said.push_str(&format!(", state of {}", Temporal::from_millis(time).to_text()));
        }
        Ok(said)
    }
}

fn instant(text: &str) -> Result<Millis, String> {
    let read = Temporal::parse(text).filter(|read| read.offset.is_some());
    let read = read.ok_or("an instant has a date, a time and a zone, such as 2026-11-26T09:30:00Z")?;
    Ok(read.interval().start)
}

pub fn backup(arguments: &BackupArguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    must_exist(&config)?;
    if arguments.file.exists() {
        let file = arguments.file.display();
        return Err(format!("{file} is there already, and a backup overwrites nothing: name another file"));
    }
    let store = match open_store(&config) {
        Ok((store, _)) => store,
        // A server has the directory open, so the server writes the backup itself.
        Err(reason) => {
            return by_server(&config, &arguments.file).map_err(|error| format!("{reason}; {error}"));
        }
    };
    let dumped = write(&*store, &arguments.file)?;
    say(&format!("wrote {} to {}", counted(&dumped), arguments.file.display()))
}

/// Writes a backup completely or not at all: until it is complete the file has the extension `part`.
fn write(store: &dyn Kv, file: &Path) -> Result<Dumped, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let _kept = store.keep().map_err(|error| error.to_string())?;
    let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
    let part = file.with_extension("part");
    let mut out = BufWriter::new(make_private_file(&part).map_err(|error| failed(&error))?);
    let dumped = write_dump(&*snapshot, &mut out).map_err(|error| failed(&error))?;
    let written = out.into_inner().map_err(|error| failed(&error))?;
    written.sync_all().and_then(|()| std::fs::rename(&part, file)).map_err(|error| failed(&error))?;
    Ok(dumped)
}

/// The server's side of `backup`: writes a backup into the folder, named by its commit, and returns its path.
pub(super) fn task(store: Arc<dyn Kv>, folder: PathBuf) -> Task {
    Arc::new(move || {
        make_private_folder(&folder).map_err(|error| error.to_string())?;
        let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
        let path = folder.join(format!("{:020}.cwdump", snapshot.sequence().0));
        drop(snapshot);
        write(&*store, &path)?;
        Ok(path.display().to_string())
    })
}

/// Sends a request to the server of the data directory, with an administrator's token signed with the directory's key; returns
/// the answer's text.
pub(super) fn ask_server(config: &Config, method: &str, path: &str) -> Result<String, String> {
    ask_server_with(config, method, path, None).map_err(|error| match error {
        RemoteFailure::Refused(reason) | RemoteFailure::Unasked(reason) => reason,
    })
}

/// Why a request to a server failed.
pub(super) enum RemoteFailure {
    /// The server's reason.
    Refused(String),
    /// Why the server could not be reached.
    Unasked(String),
}

/// As [`ask_server`], with a body of JSON.
pub(super) fn ask_server_with(
    config: &Config,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Result<String, RemoteFailure> {
    let url = base_url(config).map_err(RemoteFailure::Unasked)?;
    let token = token_for(config, &url).map_err(RemoteFailure::Unasked)?;
    let origin = url.strip_suffix("/fhir").unwrap_or(&url);
    // On a loopback address the server is the one that the data directory names; its certificate may be self-signed.
    let is_here = origin.strip_prefix("https://").is_some_and(|rest| {
        rest.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
    });
    let tls = TlsConfig::builder().disable_verification(is_here).build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into();
    let (url, bearer) = (format!("{origin}{path}"), format!("Bearer {token}"));
    let answer = match method {
        "GET" => agent.get(url).header("Authorization", bearer).call(),
        "DELETE" => agent.delete(url).header("Authorization", bearer).call(),
        _ => {
            let request = if method == "PATCH" { agent.patch(url) } else { agent.post(url) };
            let request = request.header("Authorization", bearer);
            match body {
                Some(body) => request.header("Content-Type", "application/json").send(body),
                None => request.send_empty(),
            }
        }
    };
    let unasked = |error: ureq::Error| RemoteFailure::Unasked(format!("the server at {origin}: {error}"));
    let mut answer = answer.map_err(unasked)?;
    let text = answer.body_mut().read_to_string().map_err(unasked)?;
    if answer.status().is_success() {
        return Ok(text);
    }
    let said: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let reason = said.as_ref().and_then(|said| said.get("error")).and_then(serde_json::Value::as_str);
    let reason = reason.map_or_else(|| format!("{} {text}", answer.status()), str::to_owned);
    Err(RemoteFailure::Refused(format!("the server at {origin}: {reason}")))
}

/// A token of an administrator for the server at the URL, valid for 60 seconds.
fn token_for(config: &Config, url: &str) -> Result<String, String> {
    let key = std::fs::read(config.data.join("keys/issuer.p8")).map_err(|error| error.to_string())?;
    let mut token = claims(url, 60)?;
    "command line".clone_into(&mut token.sub);
    Role::Administrator.code().clone_into(&mut token.role);
    token.organization = Some(config.organization.clone());
    Ok(Issuer::new(url, &key)?.sign(&token)?)
}

fn by_server(config: &Config, file: &Path) -> Result<(), String> {
    let text = ask_server(config, "POST", "/admin/backup")?;
    let made = Path::new(&text);
    // Files cannot be renamed to another file system, but copied.
    if std::fs::rename(made, file).is_err() {
        std::fs::copy(made, file)
            .and_then(|_| std::fs::remove_file(made))
            .map_err(|error| error.to_string())?;
    }
    say(&format!("the running server wrote {}", file.display()))
}

pub fn restore(arguments: &RestoreArguments) -> Result<(), String> {
    let config = arguments.place.load()?;
    if config.store.is_none() && config.data.join("journal").exists() {
        return Err(format!(
            "{} is there already; a backup is restored beside it, not over it",
            config.data.display()
        ));
    }
    if !arguments.file.exists() {
        return Err(format!("{} is not there", arguments.file.display()));
    }
    if config.store.is_some() {
        return into_database(arguments, &config);
    }
    // Restores under another name until the restore is complete, so that half a restore is not taken for a data directory.
    let part = Config { data: config.data.with_extension("restoring"), ..config.clone() };
    if part.data.exists() {
        return Err(format!("{} is left from a restore that failed; remove it first", part.data.display()));
    }
    let later = arguments.later()?;
    let store = Sled::open(&SledOptions::new(&part.data), Arc::new(SystemClock));
    let store = store.map_err(|error| error.to_string())?;
    let anchor = Anchor { data: Some(config.data.clone()), file: config.audit.anchor.clone() };
    let read = arguments
        .read_into(&store, &later)
        .and_then(|said| Ok((said, anchor.note_restore(&store, anchor.count())?)));
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    let (said, restored) = match read {
        Ok(read) => read,
        Err(reason) => {
            std::fs::remove_dir_all(&part.data).map_err(|error| error.to_string())?;
            return Err(reason);
        }
    };
    // Removes an empty folder that may be in the way; a full one stays, and the rename fails.
    let _ = std::fs::remove_dir(&config.data);
    std::fs::rename(&part.data, &config.data)
        .map_err(|error| format!("{}: {error}", config.data.display()))?;
    anchor.note(&AnchorLine::Restored(restored));
    say(&restored_into(&said, &config.data.display().to_string(), &config.data))
}

/// Restores a backup into the configured database. After a failure the schema is dropped.
fn into_database(arguments: &RestoreArguments, config: &Config) -> Result<(), String> {
    let Some(options) = config.database()? else { return Err("there is no database".to_owned()) };
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let later = arguments.later()?;
    let store = Postgres::open(&options, Arc::new(SystemClock)).map_err(|error| words(&error))?;
    let is_empty = store.snapshot(At::Latest).map_err(|error| words(&error))?.sequence() == Sequence(0);
    if !is_empty {
        return Err(format!(
            "the schema {} holds something; a backup is restored into an empty one",
            options.schema
        ));
    }
    let anchor = Anchor { data: None, file: config.audit.anchor.clone() };
    let read = arguments
        .read_into(&store, &later)
        .and_then(|said| Ok((said, anchor.note_restore(&store, anchor.count())?)));
    drop(store);
    match read {
        Ok((said, restored)) => {
            anchor.note(&AnchorLine::Restored(restored));
            say(&restored_into(&said, &format!("the schema {}", options.schema), &config.data))
        }
        Err(reason) => {
            Postgres::destroy(&options).map_err(|error| words(&error))?;
            Err(reason)
        }
    }
}

/// The contents of a backup, such as `12,855 resources (12,961 versions)`.
fn counted(dumped: &Dumped) -> String {
    format!("{} resources ({} versions)", with_commas(dumped.resources), with_commas(dumped.versions))
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// The summary of a restore, and what remains to be done.
fn restored_into(said: &str, place: &str, data: &Path) -> String {
    let keys = data.join("keys");
    let keys = keys.display();
    format!(
        "{said}, into {place}, with the record of accesses and the registrations of clients and users\n\
         Now copy the `keys` directory that belongs to the backup to {keys}. Do so before the server is started: with new keys it \
         refuses all issued tokens, and cannot check the signatures over the record of accesses"
    )
}

/// The erasures in a later state of a store, and the secret that identifies the store.
#[derive(Default)]
struct ErasuresSince {
    rows: BTreeSet<u64>,
    secret: Option<Vec<u8>>,
}

fn erased_since(data: &Path) -> Result<ErasuresSince, String> {
    let mut secret = None;
    let chain = read_chain(data, &mut |_, key, value| {
        if key == secret_key() {
            secret = value.map(<[u8]>::to_vec);
        }
    });
    let rows = chain.map_err(|error| format!("{}: {error}", data.display()))?.erased;
    match secret {
        Some(secret) => Ok(ErasuresSince { rows, secret: Some(secret) }),
        None => Err(format!("{} holds no store", data.display())),
    }
}

fn secret_of(store: &dyn Kv) -> Result<Option<Vec<u8>>, String> {
    let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
    let found = snapshot.get(&secret_key()).map_err(|error| error.to_string())?;
    Ok(found.map(|(value, _)| value.to_vec()))
}

fn say(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

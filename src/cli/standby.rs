//! `chartward standby`: replicates the journal of a running server into its own data directory, which can be served when that
//! server is lost.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::auth::Issuer;
use crate::http::FOLLOW_SCOPE;
use crate::store::{At, Kv as _, Sequence, Sled, SledOptions, SystemClock, make_private_file};

use super::config::{Config, DirectoryFlags};
use super::house::claims;
use super::keys;
use super::stderr::report;

/// Pauses when the server has nothing new, and when it does not answer.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_WITHOUT_ANSWER: Duration = Duration::from_secs(2);
/// The longest time for an answer, and its largest size.
const ANSWER_MAX: Duration = Duration::from_secs(120);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The lifetime of the standby's tokens, in seconds.
const TOKEN_SECONDS: i64 = 300;
/// The file that marks a data directory as a standby.
const MARK: &str = "standby.json";

/// Follow a running server from its first commit, or from the end of a copy of its journal. Copy the server's `keys/` into the
/// data directory first. If the server is lost, commits that it acknowledged and the standby has not yet received are lost too:
/// about 200 milliseconds of work in quiet times. `--promote` prints the last commit in the directory
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: DirectoryFlags,
    /// Base URL of the server to follow; https, or http on a loopback address
    #[arg(long, required_unless_present = "promote")]
    from: Option<String>,
    /// Certificate authorities in PEM that sign the server's certificate, if it is not signed by a public one
    #[arg(long)]
    from_ca: Option<PathBuf>,
    /// Stop following and allow the directory to be served. The followed server must not run again
    #[arg(long, conflicts_with = "from")]
    promote: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = arguments.place.load()?;
    if config.store.is_some() {
        return Err("a database has standbys of its own".to_owned());
    }
    match &arguments.from {
        Some(url) => follow(&config, url.trim_end_matches('/'), arguments.from_ca.as_deref()),
        None => promote(&config),
    }
}

/// Refuses to serve a standby's directory: it and the followed server would add different commits after the same one.
///
/// # Errors
/// If the directory is a standby.
pub(super) fn refuse(config: &Config) -> Result<(), String> {
    if config.data.join(MARK).exists() {
        let data = config.data.display();
        return Err(format!("{data} is a standby; `chartward standby --promote` makes it a server's"));
    }
    Ok(())
}

fn open(config: &Config) -> Result<Sled, String> {
    Sled::open(&SledOptions::new(&config.data), Arc::new(SystemClock)).map_err(|error| error.to_string())
}

fn last(store: &Sled) -> Result<Sequence, String> {
    store.snapshot(At::Latest).map(|snapshot| snapshot.sequence()).map_err(|error| error.to_string())
}

fn promote(config: &Config) -> Result<(), String> {
    let mark = config.data.join(MARK);
    if !mark.exists() {
        return Err(format!("{} is no standby", config.data.display()));
    }
    // The open store locks the directory, so no standby follows into it meanwhile.
    let store = open(config)?;
    let last = last(&store)?;
    store.close().map_err(|error| error.to_string())?;
    std::fs::remove_file(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
    report(&format!(
        "{} is as of commit {}; what the other server acknowledged after that is not in it",
        config.data.display(),
        last.0
    ));
    Ok(())
}

fn follow(config: &Config, url: &str, authorities: Option<&Path>) -> Result<(), String> {
    let is_here = url.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        authority.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
    });
    if !url.starts_with("https://") && !is_here {
        return Err(
            "what a standby is sent is everything; it follows by https, or on this machine".to_owned()
        );
    }
    let key = std::fs::read(keys::folder(config).join("issuer.p8")).map_err(|error| {
        format!("the server's keys are to be in {}: {error}", keys::folder(config).display())
    })?;
    let issuer = Issuer::new(url, &key)?;
    let mark = config.data.join(MARK);
    let has_data = config.data.join("journal").exists();
    if has_data && !mark.exists() {
        report(&format!("{} becomes a standby of {url} from where it is", config.data.display()));
    }
    if !mark.exists() {
        use std::io::Write as _;
        make_private_file(&mark)
            .and_then(|mut file| file.write_all(json!({"from": url}).to_string().as_bytes()))
            .map_err(|error| format!("{}: {error}", mark.display()))?;
    }
    let store = open(config)?;
    let agent = agent(authorities)?;
    let ends = told_to_stop()?;
    let origin = url.strip_suffix("/fhir").unwrap_or(url);
    report(&format!("following {origin} after commit {}", last(&store)?.0));
    let mut was_lost = false;
    while !ends.load(Ordering::Relaxed) {
        match more(&agent, origin, &issuer, last(&store)?) {
            Ok(Some(bytes)) => {
                store.follow(&bytes).map_err(|error| error.to_string())?;
                was_lost = false;
            }
            Ok(None) => {
                if std::mem::take(&mut was_lost) {
                    report(&format!("{origin} answers again"));
                }
                std::thread::sleep(PAUSE);
            }
            Err(FetchFailure::ForGood(reason)) => return Err(reason),
            Err(FetchFailure::ForNow(reason)) => {
                if !std::mem::replace(&mut was_lost, true) {
                    report(&format!("{reason}; as of commit {}", last(&store)?.0));
                }
                std::thread::sleep(PAUSE_WITHOUT_ANSWER);
            }
        }
    }
    report(&format!("as of commit {}", last(&store)?.0));
    store.close().map_err(|error| error.to_string())
}

/// Why there is no answer.
enum FetchFailure {
    /// The server may answer later.
    ForNow(String),
    ForGood(String),
}

/// The server's commits after a commit, as bytes of the journal; `None` if there are none.
fn more(
    agent: &ureq::Agent,
    origin: &str,
    issuer: &Issuer,
    after: Sequence,
) -> Result<Option<Vec<u8>>, FetchFailure> {
    let mut token = claims(issuer.url(), TOKEN_SECONDS).map_err(FetchFailure::ForGood)?;
    "standby".clone_into(&mut token.sub);
    crate::auth::Role::System.code().clone_into(&mut token.role);
    FOLLOW_SCOPE.clone_into(&mut token.scope);
    let token = issuer.sign(&token).map_err(|error| FetchFailure::ForGood(error.to_string()))?;
    let lost = |error: ureq::Error| FetchFailure::ForNow(format!("{origin}: {error}"));
    let answer = agent
        .get(format!("{origin}/admin/journal/{}", after.0))
        .header("Authorization", format!("Bearer {token}"))
        .call();
    let mut answer = answer.map_err(lost)?;
    let status = answer.status().as_u16();
    let bytes = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(lost)?;
    let said = || format!("{origin}: {status} {}", String::from_utf8_lossy(&bytes));
    match status {
        200 => Ok(Some(bytes)),
        204 => Ok(None),
        403 | 404 | 410 => Err(FetchFailure::ForGood(said())),
        _ => Err(FetchFailure::ForNow(said())),
    }
}

fn agent(authorities: Option<&Path>) -> Result<ureq::Agent, String> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = authorities {
        let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            })
            .collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(ANSWER_MAX))
        .tls_config(tls.build());
    Ok(config.build().into())
}

/// A flag that becomes true when the process is told to stop.
fn told_to_stop() -> Result<Arc<AtomicBool>, String> {
    let ends = Arc::new(AtomicBool::new(false));
    let told = ends.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let wait = move || {
        runtime.block_on(super::stopping::told_to_stop());
        told.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(|error| error.to_string())?;
    Ok(ends)
}

//! `chartward serve`: opens the data directory and serves it until the process is told to stop.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::http::{
    CommittedAfter, Limits, Listener, Observed, PageRoutes, Patience, Tasks, Workers, router, serve,
    tls_from_files, tls_self_signed, watching,
};
use crate::operations::Engine;
use crate::store::{Figure, make_private_file};
use crate::ui::{Demonstration, Work, Working, pages};

use super::accesses::index_accesses;
use super::anchor::Anchor;
use super::background::Background;
use super::concerned_patients::look_up_concerned;
use super::config::{Common, Config};
use super::house::House;
use super::reindex::index_changes;
use super::sealing::seal_accesses;
use super::selftest;
use super::stopping::told_to_stop;
use super::telemetry::{Telemetry, process_figures};

/// Serve the R4 REST API below /fhir. Requests need access tokens unless --open is given
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Accept requests without a token as the hospital's own system, which may read and write everything; on loopback addresses
    /// only
    #[arg(long)]
    open: bool,
    /// Write JSON with base_url and pid to this file when the server is ready
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// The server's certificate chain in PEM; needs --tls-key
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept client certificates that are signed by these certificate authorities, in PEM
    #[arg(long, requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Serve with a self-signed certificate, for trials
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    let _telemetry = Telemetry::start(&config.log)?;
    super::standby::refuse(&config)?;
    selftest::assure()?;
    // Each connection needs an open file. The usual soft limit is about a thousand; the hard limit may be higher.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let house = House::open(&config)?;
    if let Some(sled) = &house.sled {
        let opened = sled.opened();
        if let Some(reason) = &opened.rebuilt {
            tracing::warn!(reason, "the records were rebuilt from the journal");
        }
        if let Some(reason) = &opened.not_renewed {
            tracing::warn!(reason, "what was erased may still be in unused pages of sled's files");
        }
        if opened.torn_bytes > 0 {
            let bytes = opened.torn_bytes;
            tracing::warn!(bytes, "a write that was never acknowledged was cut off");
        }
        if opened.replayed > 0 {
            let commits = opened.replayed;
            tracing::info!(commits, "commits were replayed from the journal");
        }
    }
    house.bring_up_to_date()?;
    let running = start(&config, &house, arguments.open, tls(arguments)?)?;
    let base_url = running.base_url.clone();
    let server_file = config.data.join("server.json");
    ready(&server_file, &base_url, &[])?;
    if let Some(path) = &arguments.ready_file {
        ready(path, &base_url, &[])?;
    }
    tracing::info!(base_url, "serving");
    if arguments.open {
        tracing::warn!("open: every request without a token is treated as the hospital's own system");
    }
    running.until_told()?;
    tracing::info!("what was accepted is finished; closing the store");
    house.sled.as_ref().map_or(Ok(()), |sled| sled.close().map_err(|error| error.to_string()))
}

fn tls(arguments: &Arguments) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    if arguments.tls_self_signed {
        return Ok(Some(tls_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?));
    }
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else { return Ok(None) };
    let authority = arguments.tls_client_ca.as_ref().map(read).transpose()?;
    Ok(Some(tls_from_files(&read(certificate)?, &read(key)?, authority.as_deref())?))
}

/// Writes the ready file, completely or not at all: the base URL, the process id, and tokens below the given member names.
pub(super) fn ready(
    path: &Path,
    base_url: &str,
    tokens: &[(&str, &BTreeMap<String, String>)],
) -> Result<(), String> {
    let mut members = serde_json::json!({"base_url": base_url, "pid": std::process::id(), "tokens": {}});
    for (name, tokens) in tokens {
        if let Some(members) = members.as_object_mut() {
            members.insert((*name).to_owned(), serde_json::json!(tokens));
        }
    }
    let text = members.to_string();
    let temporary = path.with_extension("part");
    let written = make_private_file(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// A server that runs in its own threads.
pub struct Running {
    pub base_url: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    indexing: Option<Background>,
    /// Threads that run until the last answer is sent, in the order in which they are stopped; sealing is last and covers all
    /// records.
    recording: Vec<Background>,
    runtime: Option<Arc<Runtime>>,
}

/// The working threads, as pages use them.
struct PageWork(Workers);

impl Work for PageWork {
    fn read(&self, work: Working) -> Working {
        let workers = self.0.clone();
        Box::pin(async move { workers.read(work).await })
    }

    fn write(&self, work: Working) -> Working {
        let workers = self.0.clone();
        Box::pin(async move { workers.write(work).await })
    }
}

/// The longest time, at the end of the server, for work whose client waits no longer.
const ABANDONED_MAX: Duration = Duration::from_secs(2);

impl Running {
    /// Serves until the process is told to stop (SIGINT or SIGTERM), then finishes the accepted requests.
    pub(super) fn until_told(mut self) -> Result<(), String> {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(told_to_stop());
        }
        self.stop()
    }

    /// Finishes the accepted requests and ends the server.
    ///
    /// # Errors
    /// If the server's thread has panicked.
    pub fn stop(&mut self) -> Result<(), String> {
        if let Some(end) = self.end.take() {
            // A send without a receiver means that the server has ended already.
            let _ = end.send(());
        }
        if let Some(indexing) = self.indexing.take() {
            indexing.stop();
        }
        let ended = match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| "the server failed".to_owned()),
            None => Ok(()),
        };
        self.recording.drain(..).for_each(Background::stop);
        // Dropping the runtime would wait without limit for work whose clients have gone.
        if let Some(runtime) = self.runtime.take().and_then(Arc::into_inner) {
            runtime.shutdown_timeout(ABANDONED_MAX);
        }
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A caller that needs the result calls `stop`.
        let _ = self.stop();
    }
}

/// How many threads may wait at once for what is rare: sign-ins, other servers, tasks of administrators.
const WAITING_MAX: usize = 32;

/// Starts a server.
///
/// # Errors
/// If the server cannot listen on the address, if it is not a loopback address while `open` is set, or if the configuration is
/// wrong.
pub fn start(
    config: &Config,
    house: &House,
    open: bool,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Running, String> {
    start_with(config, house, (open, tls), Demonstration::default())
}

/// Starts a server that may offer a demonstration's people.
pub(super) fn start_with(
    config: &Config,
    house: &House,
    (open, tls): (bool, Option<Arc<rustls::ServerConfig>>),
    demonstration: Demonstration,
) -> Result<Running, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("wire")
        .max_blocking_threads(WAITING_MAX)
        .build()
        .map_err(|error| error.to_string())?;
    let runtime = Arc::new(runtime);
    let workers = Workers::start(house.kv().is_local()).map_err(|error| error.to_string())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listening = runtime
        .block_on(Listener::bind(&config.listen, tls))
        .map_err(|error| format!("{}: {error}", config.listen))?;
    let address: SocketAddr = listening.address().map_err(|error| error.to_string())?;
    if open && !is_loopback(address.ip()) {
        return Err(format!("--open is for loopback addresses, not for {address}"));
    }
    let origin = config.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    let base_url = format!("{origin}/fhir");
    let engine = Arc::new(house.engine(config, &base_url, open)?);
    let patience = Patience {
        head: Duration::from_secs(config.head_seconds_max),
        body: Duration::from_secs(config.body_pause_seconds_max),
        unread: Duration::from_secs(config.unread_seconds_max),
    };
    let limits = Limits {
        body_bytes_max: config.body_bytes_max,
        request_seconds_max: config.request_seconds_max,
        patience,
    };
    let (end, ended) = oneshot::channel::<()>();
    // A store in memory uses no data directory, so nothing may be written there.
    let is_kept = house.is_kept();
    let sled = house.sled.clone();
    let tasks = Tasks {
        committed_after: sled
            .map(|sled| -> CommittedAfter { Arc::new(move |after| sled.committed_after(after)) }),
        rotate_keys: is_kept.then(|| super::keys::task(engine.clone(), super::keys::folder(config))),
        backup: is_kept.then(|| super::backup::task(house.kv().clone(), config.data.join("backups"))),
    };
    let figures = {
        let engine = engine.clone();
        Arc::new(move || figures_of(&engine))
    };
    let observed = Arc::new(Observed::new(figures, Duration::from_millis(config.log.slow_millis)));
    if let Some(address) = &config.log.metrics_listen {
        let listening = runtime.block_on(Listener::bind(address, None));
        let listening = listening.map_err(|error| format!("log.metrics_listen {address}: {error}"))?;
        // This server ends with the runtime.
        let router = watching(engine.clone(), workers.clone(), observed.clone());
        runtime.spawn(serve(listening, router, patience, std::future::pending()));
    }
    let mut recording = vec![index_accesses(engine.clone())?, look_up_concerned(engine.clone())?];
    let (on, ending) = (runtime.clone(), engine.clone());
    let pages = pages(engine.clone(), Arc::new(PageWork(workers.clone())), demonstration);
    let pages = PageRoutes { own: pages.own, of_api: pages.of_api };
    let given = (tasks, workers);
    let thread = std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let until = async {
            // A dropped sender means the same as a message.
            let _ = ended.await;
        };
        on.block_on(serve(listening, router(engine, limits, given, observed, pages), patience, until));
        ending.record_refusals();
    });
    let thread = thread.map_err(|error| error.to_string())?;
    let indexing = Some(index_changes(house)?);
    let anchor = Anchor { data: is_kept.then(|| config.data.clone()), file: config.audit.anchor.clone() };
    recording.push(seal_accesses(house, Duration::from_secs(config.audit.seal_seconds.max(1)), anchor)?);
    let (end, thread, runtime) = (Some(end), Some(thread), Some(runtime));
    Ok(Running { base_url, end, thread, indexing, recording, runtime })
}

/// The metrics of the store, the indexing job and the process.
fn figures_of(engine: &Engine) -> Vec<Figure> {
    let mut figures = engine.kv().figures();
    let progress = engine.index.progress();
    let count = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    let figure = |name, help, value| Figure { name, help, value };
    figures.push(figure(
        "index_running",
        "1 while resources are indexed anew",
        f64::from(u8::from(progress.running)),
    ));
    figures.push(figure("index_done", "Resources that the running job has indexed", count(progress.done)));
    figures.push(figure("index_of", "Resources that the running job is about", count(progress.of)));
    figures.extend(process_figures());
    figures
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

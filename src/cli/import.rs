//! `chartward import`: loads Bundles and resources from files into a data directory, or into a server at a URL.
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::auth::Party;
use crate::model::{Node, Tree, parse};
use crate::operations::{Engine, Payload, Request, Verb};
use crate::store::{Sled, SledOptions};

use super::config::{Common, Config};
use super::house::House;
use super::sources::{documents, files};
use super::stderr::report;

/// Load Bundles (each transaction as one commit, others resource by resource), single resources, and NDJSON of either; .gz, .xz
/// and .zst are decompressed. Folders are read in the order of their file names. Exit code 1 if anything was rejected
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Files and folders to load
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Load into the server at this base URL instead of a data directory
    #[arg(long)]
    url: Option<String>,
    /// Access token for --url
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// Write the result to this file, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// Number of documents to load at once [default: the number of cores; 8 with --url]
    #[arg(long)]
    parallel: Option<usize>,
}

/// The result of an import.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// Resources that were stored.
    pub accepted: u64,
    pub rejected: u64,
    pub seconds: f64,
    /// Bytes of JSON that were read.
    pub bytes: u64,
}

/// A rejected transaction as a whole, or a rejected resource.
pub(super) struct Rejected {
    pub(super) reason: String,
    text: String,
}

/// Where documents are loaded.
pub(super) enum Sink {
    Engine(Box<Engine>, Arc<Party>),
    Server { url: String, token: Option<String>, agent: ureq::Agent },
}

impl Sink {
    /// Loads into an opened store, as the hospital's own system, which may choose ids.
    pub(super) fn house(house: &House, config: &Config) -> Result<Self, String> {
        let origin = config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen));
        let base = format!("{origin}/fhir");
        Ok(Self::Engine(
            Box::new(house.engine(config, &base, false)?),
            Arc::new(Party::open(&config.organization)),
        ))
    }

    /// Sends one request; an empty `path` means the base URL.
    fn send(&self, verb: Verb, path: &[&str], tree: Tree) -> Result<(), String> {
        match self {
            Self::Engine(engine, party) => {
                let request = Request {
                    headers: crate::operations::Headers {
                        preference: crate::operations::Preference::Minimal,
                        ..crate::operations::Headers::default()
                    },
                    payload: Payload::Resource(tree),
                    ..Request::new(
                        verb,
                        path.iter().map(|segment| (*segment).to_owned()).collect(),
                        Vec::new(),
                    )
                };
                engine.handle(party, request).map(drop).map_err(|refusal| {
                    let issues = refusal.outcome.issues.iter().take(3);
                    let texts: Vec<String> = issues
                        .map(|issue| {
                            format!("{} {}", issue.expression.as_deref().unwrap_or(""), issue.diagnostics)
                        })
                        .collect();
                    texts.join("; ").trim().to_owned()
                })
            }
            Self::Server { url, token, agent } => {
                let mut target = url.clone();
                path.iter().for_each(|segment| target.extend(["/", segment]));
                let mut request = ureq::http::Request::builder()
                    .method(verb.name())
                    .uri(target)
                    .header("Content-Type", "application/fhir+json")
                    .header("Prefer", "return=minimal");
                if let Some(token) = token {
                    request = request.header("Authorization", format!("Bearer {token}"));
                }
                let request = request.body(tree.text().to_owned()).map_err(|error| error.to_string())?;
                let mut response = agent.run(request).map_err(|error| error.to_string())?;
                if response.status().is_success() {
                    return Ok(());
                }
                let body = response.body_mut().read_to_string().unwrap_or_default();
                Err(format!("{} {}", response.status(), body.chars().take(500).collect::<String>()))
            }
        }
    }

    /// Loads a document; returns the number of accepted resources, and what was rejected.
    pub(super) fn load(&self, text: &str) -> (u64, Vec<Rejected>) {
        let rejected = |reason: String| Rejected { reason, text: text.to_owned() };
        let tree = match parse(text.as_bytes().to_vec()) {
            Ok(tree) => tree,
            Err(error) => return (0, vec![rejected(error.to_string())]),
        };
        let root = tree.root();
        let entries = root.items_at("entry").count();
        let count = u64::try_from(entries).unwrap_or(u64::MAX);
        let is_bundle = root.str_at("resourceType") == Some("Bundle");
        match root.str_at("type") {
            Some("transaction") if is_bundle => match self.send(Verb::Post, &[], tree) {
                Ok(()) => (count, Vec::new()),
                Err(reason) => (0, vec![rejected(reason)]),
            },
            _ if is_bundle => {
                let mut accepted = 0;
                let mut reasons = Vec::new();
                for entry in root.items_at("entry") {
                    let Some(resource) = entry.get("resource") else { continue };
                    match self.load_resource(resource) {
                        Ok(()) => accepted += 1,
                        Err(reason) => {
                            let mut text = String::new();
                            crate::model::minify(resource, &mut text);
                            reasons.push(Rejected { reason, text });
                        }
                    }
                }
                (accepted, reasons)
            }
            _ => match self.load_resource(root) {
                Ok(()) => (1, Vec::new()),
                Err(reason) => (0, vec![rejected(reason)]),
            },
        }
    }

    /// Makes a compression dictionary if one is due, so that later resources take less space.
    fn tend(&self) {
        if let Self::Engine(engine, _) = self
            && let Err(error) = engine.packing.tend(engine.kv())
        {
            report(&format!("no dictionary could be made: {error}"));
        }
    }

    fn load_resource(&self, resource: Node<'_>) -> Result<(), String> {
        let mut text = String::new();
        crate::model::minify(resource, &mut text);
        let type_name = resource.str_at("resourceType").unwrap_or_default();
        let id = resource.str_at("id");
        let tree = parse(text.into_bytes()).map_err(|error| error.to_string())?;
        let sent = match id {
            Some(id) => self.send(Verb::Put, &[type_name, id], tree),
            None => self.send(Verb::Post, &[type_name], tree),
        };
        sent.map_err(|reason| format!("{type_name}/{}: {reason}", id.unwrap_or("(no id)")))
    }
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    let (house, sink) = match &arguments.url {
        Some(url) => {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let url = url.trim_end_matches('/').to_owned();
            (None, Sink::Server { url, token: arguments.token.clone(), agent })
        }
        None => {
            let house = House::open(&config)?;
            let sink = Sink::house(&house, &config)?;
            (Some(house), sink)
        }
    };
    // Loading into a server mostly waits for answers; loading here needs a core and memory for each document.
    let cores = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let parallel = arguments.parallel.unwrap_or_else(|| if house.is_some() { cores() } else { 8 });
    let bytes_on_disk = |house: &Option<House>| {
        house.as_ref().and_then(|house| house.sled.as_ref()).map_or(0, |sled| sled.figures().sled_bytes)
    };
    let before = bytes_on_disk(&house);
    let tally = load_all(&sink, &arguments.paths, parallel, config.body_bytes_max)?;
    drop(sink);
    let per_second = if tally.seconds > 0.0 { rate(tally.accepted, tally.seconds) } else { 0 };
    let summary = format!(
        "{} accepted, {} rejected, {:.1} s, {per_second} resources/s",
        tally.accepted, tally.rejected, tally.seconds
    );
    writeln!(std::io::stdout(), "{summary}").map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.report {
        let json = serde_json::to_vec_pretty(&tally).map_err(|error| error.to_string())?;
        std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let after = bytes_on_disk(&house);
    if let Some(sled) = house.and_then(|house| house.sled) {
        sled.close().map_err(|error| error.to_string())?;
        drop(sled);
        // Merging during the import left unused space in sled's files. Later writes would fill it, but a directory that was
        // mostly written by this import is rewritten without it.
        if after.saturating_sub(before) > after / 2
            && let Err(error) = Sled::compact(&SledOptions::new(&config.data))
        {
            report(&format!("sled's directory was not written anew: {error}"));
        }
    }
    if tally.rejected == 0 {
        Ok(())
    } else {
        Err(format!("{} documents or resources were rejected", tally.rejected))
    }
}

/// Resources per second; both types hold far larger numbers.
#[allow(clippy::as_conversions, reason = "a figure for people")]
fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds) as u64
}

/// The most bytes of documents that are loaded at once, because loading needs memory of many times a document's length.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// The bytes of the documents that are being loaded.
#[derive(Default)]
struct MemoryLimit {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl MemoryLimit {
    /// Waits until a document of this length may be loaded: beside others if it fits, otherwise alone.
    fn take(&self, len: usize) -> MemoryShare<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken > 0 && *taken + len > BYTES_AT_ONCE;
        *self.freed.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner) += len;
        MemoryShare { room: self, len }
    }
}

/// The share of a document, which is returned when this value is dropped.
struct MemoryShare<'r> {
    room: &'r MemoryLimit,
    len: usize,
}

impl Drop for MemoryShare<'_> {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.len;
        self.room.freed.notify_all();
    }
}

/// Loads files one after the other, with several documents of a file at once. Rejected documents are tried again at the end of
/// their file, when the resources that they refer to may exist.
pub(super) fn load_all(
    sink: &Sink,
    paths: &[PathBuf],
    parallel: usize,
    bytes_max: usize,
) -> Result<Tally, String> {
    let started = Instant::now();
    let (accepted, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut rejected = 0;
    let mut last_word = Instant::now();
    for file in files(paths)? {
        let again: Mutex<Vec<String>> = Mutex::default();
        let (sender, receiver) = mpsc::sync_channel::<String>(parallel * 2);
        let receiver = Mutex::new(receiver);
        let room = MemoryLimit::default();
        std::thread::scope(|scope| -> Result<(), String> {
            for _ in 0..parallel.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(text) = next else { return };
                        bytes.fetch_add(u64::try_from(text.len()).unwrap_or(0), Ordering::Relaxed);
                        let taken = room.take(text.len());
                        let (count, rejected) = sink.load(&text);
                        drop(taken);
                        sink.tend();
                        accepted.fetch_add(count, Ordering::Relaxed);
                        let texts = rejected.into_iter().map(|rejected| rejected.text);
                        again.lock().unwrap_or_else(PoisonError::into_inner).extend(texts);
                    }
                });
            }
            let result = documents(&file, bytes_max, &mut |text| {
                if last_word.elapsed() > Duration::from_secs(5) {
                    last_word = Instant::now();
                    report(&format!("{} resources so far", accepted.load(Ordering::Relaxed)));
                }
                // The workers outlive this sender, so the send cannot fail.
                let _ = sender.send(text);
            });
            drop(sender);
            result
        })?;
        for text in again.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let (count, refused) = sink.load(&text);
            accepted.fetch_add(count, Ordering::Relaxed);
            for refused in refused {
                rejected += 1;
                report(&format!("{}: rejected: {}", file.display(), refused.reason));
            }
        }
    }
    Ok(Tally {
        accepted: accepted.into_inner(),
        rejected,
        seconds: started.elapsed().as_secs_f64(),
        bytes: bytes.into_inner(),
    })
}

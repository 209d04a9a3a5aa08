//! `chartward load`: measures how fast a FHIR server is. Request values are sampled from the server's own data, so the same
//! command measures any server; a handler that only answers shows the limit of the machine.

mod call;
mod client;
mod drive;
mod report;
mod sample;
mod shapes;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::{Bare, bare};

use call::Call;
use client::{Address, Connection};
use drive::Pace;
use report::{Line, Report};
use sample::Samples;
use shapes::{Group, Shape};

/// Send shapes of requests to a FHIR server over a number of persistent connections, each for some seconds. Request values are
/// sampled from the server, which should hold Patients, Observations, Conditions and Encounters. Shapes that write leave their
/// resources on the server. Normally each connection sends its next request when the previous one is answered. With --rate
/// requests are sent at fixed times, and latency counts from the time at which the request was due
#[derive(clap::Args)]
pub struct Arguments {
    /// Base URL of the server
    url: String,
    /// Access token to send
    #[arg(long)]
    token: Option<String>,
    /// Access token of an insurer: run the `consent` shapes with it too, to compare with --token
    #[arg(long)]
    insurer_token: Option<String>,
    /// Shapes or kinds of shapes to run: read, create, transaction, crud, import, search, consent
    #[arg(long, value_delimiter = ',', default_value = "read,create,transaction,crud,search")]
    shapes: Vec<String>,
    /// Numbers of connections; each gets its own measurement
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_parser = clap::value_parser!(u16).range(1..=300))]
    connections: Vec<u16>,
    /// Length of each measurement, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Warm-up before each measurement, in seconds, not counted
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Send this many requests per second, whether the server keeps up or not
    #[arg(long)]
    rate: Option<u32>,
    /// Files of transaction Bundles for the shape import [default: a synthetic hospital]
    #[arg(long)]
    bundles: Vec<PathBuf>,
    /// Also measure a handler on this machine that answers every read with the same bytes and does nothing else
    #[arg(long)]
    bare: bool,
    /// Write the results to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let report = runtime.block_on(measured(arguments))?;
    std::io::stdout().write_all(report.table().as_bytes()).map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.json()).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if report.lines.iter().any(|line| line.done == 0) {
        return Err("a shape got no answer that it expects".to_owned());
    }
    Ok(())
}

async fn measured(arguments: &Arguments) -> Result<Report, String> {
    let address = Address::parse(&arguments.url)?;
    let token = arguments.token.as_deref();
    let samples = Samples::of(&address, token).await?;
    let mut report = Report::new(&arguments.url);
    for shape in wanted(arguments, &samples)? {
        for connections in &arguments.connections {
            let askers = match (shape.group, &arguments.insurer_token) {
                (Group::Consent, Some(insurer)) => vec![("", token), (", insurer", Some(insurer.as_str()))],
                _ => vec![("", token)],
            };
            for (suffix, token) in askers {
                let name = format!("{}{suffix}", shape.name);
                let line =
                    one(arguments, Target { address: &address, token }, &shape, name, *connections).await?;
                crate::cli::stderr::report(&line.row());
                report.lines.push(line);
            }
        }
    }
    if arguments.bare {
        beside(arguments, Target { address: &address, token }, &samples, &mut report).await?;
    }
    report.compare();
    Ok(report)
}

/// The requested shapes. A name for which the server has no data is an error.
fn wanted(arguments: &Arguments, samples: &Samples) -> Result<Vec<Shape>, String> {
    let mut found = Vec::new();
    for name in &arguments.shapes {
        let shapes = shapes::named(name, samples, &arguments.bundles)?;
        if shapes.is_empty() {
            return Err(format!("there is no shape {name}, or the server has no data for it"));
        }
        found.extend(shapes);
    }
    Ok(found)
}

/// The server that is measured, and the token that requests carry.
#[derive(Clone, Copy)]
struct Target<'t> {
    address: &'t Address,
    token: Option<&'t str>,
}

/// Measures a shape with so many connections; the line of the report has that name.
async fn one(
    arguments: &Arguments,
    Target { address, token }: Target<'_>,
    shape: &Shape,
    name: String,
    connections: u16,
) -> Result<Line, String> {
    let pace = Pace {
        warm_up: Duration::from_secs(arguments.warm_up),
        measured: Duration::from_secs(arguments.seconds),
        rate: arguments.rate,
    };
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address, token).await?);
    }
    let outcome = drive::drive(open, &shape.calls, &pace).await;
    Ok(Line::of(name, shape, connections, &outcome, &pace))
}

/// Measures the same read on a local handler that returns one stored answer.
async fn beside(
    arguments: &Arguments,
    Target { address, token }: Target<'_>,
    samples: &Samples,
    report: &mut Report,
) -> Result<(), String> {
    let path = samples.reads.first().ok_or("there is nothing to read")?;
    let mut connection = Connection::open(address, token).await?;
    let answer = connection.get(path).await?;
    let running: Bare = bare(answer).map_err(|error| error.to_string())?;
    let address = Address::parse(&format!("http://{}", running.address))?;
    let calls: Vec<Call> = vec![Call::get(path.clone())];
    let shape = Shape::new("bare handler", Group::Read, Arc::new(shapes::Cycle::of(calls)));
    for connections in &arguments.connections {
        let name = shape.name.to_owned();
        let line = one(arguments, Target { address: &address, token }, &shape, name, *connections).await?;
        super::stderr::report(&line.row());
        report.lines.push(line);
    }
    Ok(())
}

//! The log's destination and format, and the export of spans by the OpenTelemetry protocol.
use std::fmt;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt as lines};

use crate::http::SPANS;
use crate::store::Figure;

use super::allowed::none_of;

/// The longest time for a collector to accept spans.
const EXPORT_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Settings of the log and of monitoring. No log line, metric or span names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `human` or `json`; one line per event on standard error.
    pub format: String,
    /// `error`, `warn`, `info`, or `debug`, which logs a line for every request.
    pub level: String,
    /// Requests and searches that take longer, in milliseconds, are logged; searches with their plan.
    pub slow_millis: u64,
    /// An address at which `/metrics` and `/health` are open to everybody who reaches it; without it `/metrics` needs an
    /// administrator's token.
    pub metrics_listen: Option<String>,
    /// The URL of a collector that accepts spans by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`.
    pub otlp_traces: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: "human".to_owned(),
            level: "info".to_owned(),
            slow_millis: 1_000,
            metrics_listen: None,
            otlp_traces: None,
        }
    }
}

impl LogConfig {
    fn level(&self) -> Result<Level, (&'static str, String)> {
        let wrong = || none_of(&self.level, &["error", "warn", "info", "debug", "trace"]);
        self.level.parse().map_err(|_| ("log.level", wrong()))
    }

    /// # Errors
    /// If a setting is unknown.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match self.format.as_str() {
            "human" | "json" => self.level().map(drop),
            other => Err(("log.format", none_of(other, &["human", "json"]))),
        }
    }
}

/// The log of a running server. Remaining spans are sent when it is dropped.
pub(super) struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(spans) = self.spans.take() {
            // The server ends even if the collector does not answer.
            let _ = spans.shutdown();
        }
    }
}

impl Telemetry {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    /// If a setting is wrong.
    pub(super) fn start(config: &LogConfig) -> Result<Self, String> {
        let words = |(key, said)| format!("{key}: {said}");
        config.check().map_err(words)?;
        let level = LevelFilter::from_level(config.level().map_err(words)?);
        let own = Targets::new().with_target("chartward", level);
        let line = lines::layer().with_writer(std::io::stderr).with_target(false);
        let line = match config.format.as_str() {
            "json" => line.json().flatten_event(true).with_span_list(false).with_current_span(false).boxed(),
            _ => line.with_ansi(false).boxed(),
        };
        let line = line.with_filter(own);
        let spans = config.otlp_traces.as_deref().map(provider).transpose()?;
        let exported = spans.as_ref().map(|provider| {
            let tracer = provider.tracer("chartward");
            let spans_alone = Targets::new().with_target(SPANS, LevelFilter::INFO);
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(spans_alone)
        });
        // A log that the process already has stays in use, for example in a test with several servers.
        let _ = tracing_subscriber::registry().with(line).with(exported).try_init();
        Ok(Self { spans })
    }
}

fn provider(url: &str) -> Result<SdkTracerProvider, String> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new())
        .with_endpoint(url)
        .with_timeout(EXPORT_MAX)
        .build()
        .map_err(|error| format!("log.otlp_traces: {error}"))?;
    let resource = Resource::builder().with_service_name("chartward").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The collector, reached with the HTTP client that the server has anyway. A separate thread sends the spans.
struct Collector(ureq::Agent);

impl Collector {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT_MAX))
            .http_status_as_error(false)
            .build();
        Self(config.into())
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Collector")
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut answer = self.0.run(ureq::http::Request::from_parts(parts, body.to_vec()))?;
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = answer.status();
        Ok(response)
    }
}

/// Metrics of the process from `/proc`; none on systems without `/proc`.
pub(super) fn process_figures() -> Vec<Figure> {
    /// The usual size of a memory page.
    const PAGE_BYTES: f64 = 4096.0;
    let figure = |name, help, value| Figure { name, help, value };
    let memory = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = memory.and_then(|text| text.split_whitespace().nth(1)?.parse::<u32>().ok());
    let resident = pages.map(|pages| {
        figure("process_resident_memory_bytes", "Resident memory", f64::from(pages) * PAGE_BYTES)
    });
    let files = std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    let files = files.and_then(|files| u32::try_from(files).ok());
    let open = files.map(|files| figure("process_open_fds", "Open files and connections", f64::from(files)));
    resident.into_iter().chain(open).collect()
}

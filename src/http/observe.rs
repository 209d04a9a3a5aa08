//! Observability without personal data: metrics for Prometheus, log lines, and tracing spans. They name interactions and
//! resource types, never ids, queries or parties.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Request as WireRequest, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing::Instrument as _;

use crate::store::Figure;

/// Reads metrics that are computed only when somebody asks for them.
pub type Figures = Arc<dyn Fn() -> Vec<Figure> + Send + Sync>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken from a client; ids that are longer or have other characters are replaced.
const REQUEST_ID_LEN_MAX: usize = 128;
/// The histogram's first upper bound in seconds, the factor, and the count: from half a millisecond to 16 seconds.
const BUCKETS: (f64, f64, u16) = (0.0005, 2.0, 16);

/// The tracing target of spans. Log lines have another one, so that spans cost nothing without a collector.
pub const SPANS: &str = "spans";

/// The interaction or operation of a request, and its resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) interaction: &'static str,
    pub(super) kind: &'static str,
}

impl Default for Label {
    fn default() -> Self {
        Self { interaction: "none", kind: "" }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    interaction: &'static str,
    resource: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    interaction: &'static str,
}

/// The metrics of this process.
pub struct Observed {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
    /// Generated request ids consist of the start time of the process, in milliseconds, and the number in `next`.
    begun: u64,
    next: AtomicU64,
    /// Requests that take longer are logged as slow.
    slow: Duration,
}

fn durations() -> Histogram {
    let (first, factor, count) = BUCKETS;
    Histogram::new(exponential_buckets(first, factor, count))
}

impl Observed {
    /// Metrics with nothing counted yet, and with `figures`. Requests that take longer than `slow` are logged as slow.
    #[must_use]
    pub fn new(figures: Figures, slow: Duration) -> Self {
        let mut registry = Registry::with_prefix("chartward");
        let requests = Family::default();
        let constructor: fn() -> Histogram = durations;
        let seconds = Family::new_with_constructor(constructor);
        let in_flight = Gauge::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "From the request's head to the answer's head",
            seconds.clone(),
        );
        registry.register("http_requests_in_flight", "Requests that are being answered", in_flight.clone());
        registry.register_collector(Box::new(MomentFigures(figures)));
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begun = u64::try_from(since.as_millis()).unwrap_or(0);
        Self { registry, requests, seconds, in_flight, begun, next: AtomicU64::new(0), slow }
    }

    /// The request id: the client's `X-Request-Id` if it is acceptable, or else a generated one.
    fn request_id(&self, request: &WireRequest) -> HeaderValue {
        let fits = |value: &&HeaderValue| {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
            (1..=REQUEST_ID_LEN_MAX).contains(&value.len()) && value.as_bytes().iter().all(is_plain)
        };
        request.headers().get(REQUEST_ID).filter(fits).cloned().unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let text = format!("{:x}-{number:x}", self.begun);
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
        })
    }

    fn answered(&self, label: Label, status: StatusCode, took: Duration, request_id: &HeaderValue) {
        let Label { interaction, kind } = label;
        let labels = RequestLabels { interaction, resource: kind, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&DurationLabels { interaction }).observe(took.as_secs_f64());
        let (id, status) = (request_id.to_str().unwrap_or_default(), status.as_u16());
        let millis = took.as_secs_f64() * 1e3;
        if status >= 500 {
            tracing::error!(request_id = id, interaction, resource = kind, status, millis, "request failed");
        } else if took >= self.slow {
            tracing::warn!(request_id = id, interaction, resource = kind, status, millis, "request was slow");
        } else {
            tracing::debug!(request_id = id, interaction, resource = kind, status, millis, "request");
        }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// All metrics in the OpenMetrics 1.0 format, which Prometheus reads.
    pub(super) fn page(&self) -> Response {
        const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        match self.text() {
            Ok(text) => ([(CONTENT_TYPE, FORMAT)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Collects the metrics that are computed at the moment of the scrape.
struct MomentFigures(Figures);

impl fmt::Debug for MomentFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MomentFigures")
    }
}

impl Collector for MomentFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Figure { name, help, value } in (self.0)() {
            let gauge = ConstGauge::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge.encode(descriptor)?;
        }
        Ok(())
    }
}

/// Counts a request in progress until it is dropped, which also happens when its client hangs up.
struct InFlight(Gauge<i64, AtomicI64>);

impl InFlight {
    fn begin(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The label of a path outside the API.
fn label_of_path(path: &str) -> Label {
    let first = path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    let interaction = match first {
        "auth" | ".well-known" => "authorization",
        "admin" => "administration",
        "health" => "health",
        "metrics" => "metrics",
        _ => return Label::default(),
    };
    Label { interaction, kind: "" }
}

/// Counts, times and logs every request, and gives it a request id.
pub(super) async fn observe(
    State(observed): State<Arc<Observed>>,
    mut request: WireRequest,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let request_id = observed.request_id(&request);
    request.headers_mut().insert(REQUEST_ID, request_id.clone());
    let of_path = label_of_path(request.uri().path());
    let in_flight = InFlight::begin(&observed.in_flight);
    let span = tracing::info_span!(
        target: SPANS,
        "request",
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        fhir.interaction = tracing::field::Empty,
        fhir.resource = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
        request_id = request_id.to_str().unwrap_or_default(),
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let label = response.extensions().get::<Label>().copied().unwrap_or(of_path);
    span.record("fhir.interaction", label.interaction);
    span.record("fhir.resource", label.kind);
    span.record("http.response.status_code", response.status().as_u16());
    observed.answered(label, response.status(), begun.elapsed(), &request_id);
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

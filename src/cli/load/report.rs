//! The results: one line per measurement, as a table and as JSON.
use serde_json::{Value, json};

use super::drive::{Outcome, Pace};
use super::shapes::{Group, Shape};

/// The result of one measurement.
pub(super) struct Line {
    name: String,
    group: Group,
    connections: u16,
    /// Number of requests that were answered as expected.
    pub(super) done: u64,
    errors: u64,
    error: Option<String>,
    /// Requests per second.
    rate: f64,
    /// Resources per second, for shapes whose requests carry several.
    resources: Option<f64>,
    /// Latencies in microseconds.
    p50: u64,
    p99: u64,
    max: u64,
}

impl Line {
    pub(super) fn of(name: String, shape: &Shape, connections: u16, outcome: &Outcome, pace: &Pace) -> Self {
        let seconds = outcome.elapsed.max(pace.measured.min(outcome.elapsed)).as_secs_f64().max(1e-6);
        let done = outcome.latencies.len();
        let each = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
        let is_many = matches!(shape.group, Group::Import | Group::Transaction);
        Self {
            name,
            group: shape.group,
            connections,
            done,
            errors: outcome.errors,
            error: outcome.error.clone(),
            rate: each(done),
            resources: is_many.then(|| each(outcome.resources)),
            p50: outcome.latencies.value_at_quantile(0.5),
            p99: outcome.latencies.value_at_quantile(0.99),
            max: outcome.latencies.max(),
        }
    }

    /// A row of the table.
    pub(super) fn row(&self) -> String {
        let resources = self.resources.map_or_else(String::new, |rate| format!("{rate:.0}"));
        let error = self.error.as_deref().map_or_else(String::new, |error| format!(" {error}"));
        format!(
            "| {} | {} | {:.0} | {resources} | {:.2} | {:.2} | {:.2} | {}{error} |",
            self.name,
            self.connections,
            self.rate,
            milliseconds(self.p50),
            milliseconds(self.p99),
            milliseconds(self.max),
            self.errors
        )
    }

    fn json(&self) -> Value {
        json!({
            "shape": self.name, "connections": self.connections, "requests": self.done, "errors": self.errors,
            "error": self.error, "requestsPerSecond": self.rate, "resourcesPerSecond": self.resources,
            "p50Microseconds": self.p50, "p99Microseconds": self.p99, "maxMicroseconds": self.max
        })
    }
}

fn milliseconds(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

/// All results of a run.
pub(super) struct Report {
    url: String,
    pub(super) lines: Vec<Line>,
    /// Ratios of the rates of two measurements: their names, the number of connections, the ratio.
    ratios: Vec<(String, u16, f64)>,
}

impl Report {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), lines: Vec::new(), ratios: Vec::new() }
    }

    /// Compares reads with the bare handler, and searches by the insurer with the same searches by `--token`.
    pub(super) fn compare(&mut self) {
        for line in &self.lines {
            let other = |name: &str| {
                self.lines.iter().find(|other| other.name == name && other.connections == line.connections)
            };
            let of_bare = (line.name == "read").then(|| other("bare handler")).flatten();
            let of_own = line.name.strip_suffix(", insurer").and_then(other);
            if let Some(bare) = of_bare {
                self.ratios.push(("read / bare handler".to_owned(), line.connections, line.rate / bare.rate));
            }
            if let Some(own) = of_own.filter(|_| line.group == Group::Consent) {
                let what = format!("{} / {}", line.name, own.name);
                self.ratios.push((what, line.connections, line.rate / own.rate));
            }
        }
    }

    pub(super) fn table(&self) -> String {
        let mut out =
            "| shape | connections | requests/s | resources/s | p50 ms | p99 ms | max ms | errors |\n"
                .to_owned();
        out.push_str("|---|---|---|---|---|---|---|---|\n");
        for line in &self.lines {
            out.push_str(&line.row());
            out.push('\n');
        }
        for (what, connections, ratio) in &self.ratios {
            out.push_str(&format!("{what} at {connections} connections: {ratio:.2}\n"));
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        let ratios: Vec<Value> = self
            .ratios
            .iter()
            .map(|(what, connections, ratio)| json!({"what": what, "connections": connections, "ratio": ratio}))
            .collect();
        json!({
            "url": self.url,
            "lines": self.lines.iter().map(Line::json).collect::<Vec<Value>>(),
            "ratios": ratios
        })
    }
}

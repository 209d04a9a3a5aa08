//! Sends the requests of a measurement: in a closed loop, where each connection waits for its answer before it sends again, or in
//! an open loop, where requests are due at fixed times.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until};

use super::client::Connection;
use super::shapes::Calls;

/// The largest latency that a histogram holds: two minutes, in microseconds. Latencies have three significant digits.
const MICROS_MAX: u64 = 120_000_000;

/// The durations of a measurement, and its rate in requests per second; without a rate the loop is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
    pub(super) rate: Option<u32>,
}

/// The result of a measurement.
pub(super) struct Outcome {
    /// Latencies in microseconds of the requests that were answered as expected.
    pub(super) latencies: Histogram<u64>,
    /// Requests answered with an unexpected status, or not at all.
    pub(super) errors: u64,
    /// The last error.
    pub(super) error: Option<String>,
    /// The time from the end of the warm-up to the last answer.
    pub(super) elapsed: Duration,
    /// Resources that the successful requests carried.
    pub(super) resources: u64,
}

impl Outcome {
    fn new() -> Self {
        Self { latencies: histogram(), errors: 0, error: None, elapsed: Duration::ZERO, resources: 0 }
    }
}

/// An empty histogram. Its constant bounds are valid, so it can always be made.
#[allow(clippy::expect_used)]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("bounds in order, three digits")
}

/// Drives all connections until the measurement ends, and adds up their results.
pub(super) async fn drive(connections: Vec<Connection>, calls: &Arc<dyn Calls>, pace: &Pace) -> Outcome {
    let begun = Instant::now();
    let due = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, connection)| {
            let one = One { connection, calls: calls.clone(), pace: *pace, begun, due: due.clone() };
            tokio::spawn(one.run(number))
        })
        .collect();
    let mut all = Outcome::new();
    for task in tasks {
        match task.await {
            Ok(one) => {
                all.errors += one.errors;
                all.error = one.error.or(all.error);
                all.elapsed = all.elapsed.max(one.elapsed);
                all.resources += one.resources;
                // Histograms with equal bounds can always be added.
                let _ = all.latencies.add(&one.latencies);
            }
            Err(error) => all.error = Some(error.to_string()),
        }
    }
    all
}

struct One {
    connection: Connection,
    calls: Arc<dyn Calls>,
    pace: Pace,
    begun: Instant,
    /// How many requests are scheduled so far, over all connections.
    due: Arc<AtomicU64>,
}

impl One {
    async fn run(mut self, number: usize) -> Outcome {
        let mut outcome = Outcome::new();
        let counts_from = self.begun + self.pace.warm_up;
        let end = counts_from + self.pace.measured;
        let mut iteration = self.calls.begin(number);
        loop {
            let since = match self.pace.rate {
                None => Instant::now(),
                Some(rate) => {
                    let place = self.due.fetch_add(1, Ordering::Relaxed);
                    let at = self.begun + Duration::from_secs_f64(seconds(place) / f64::from(rate.max(1)));
                    if at >= end {
                        break;
                    }
                    sleep_until(at).await;
                    at
                }
            };
            if Instant::now() >= end {
                break;
            }
            let Some(call) = iteration.next() else { break };
            let answer = self.connection.call(&call).await;
            let now = Instant::now();
            let counts = since >= counts_from;
            match answer {
                Ok((status, location)) => {
                    iteration.answered(status, location.as_deref());
                    if !counts {
                    } else if (call.expected)(status) {
                        let micros = u64::try_from((now - since).as_micros()).unwrap_or(MICROS_MAX);
                        outcome.latencies.saturating_record(micros.clamp(1, MICROS_MAX));
                        outcome.resources += call.resources;
                    } else {
                        outcome.errors += 1;
                        outcome.error = Some(format!("{} {}: {status}", call.method, call.path));
                    }
                }
                Err(error) => {
                    outcome.errors += 1;
                    outcome.error = Some(error);
                    match self.connection.again().await {
                        Ok(connection) => self.connection = connection,
                        Err(_) => break,
                    }
                }
            }
            outcome.elapsed = now.saturating_duration_since(counts_from);
        }
        outcome
    }
}

/// A count as a floating-point number; exact below 2^53.
fn seconds(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

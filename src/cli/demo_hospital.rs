//! The synthetic hospital of the demo, and the lifetime of its tokens.
use std::sync::{Mutex, PoisonError, mpsc};

use super::clock::now;
use super::config::Config;
use super::generate::{Format, Hospital, child, documents_of, showcase};
use super::house::House;
use super::import::Sink;
use super::stderr::report;

/// Generates the hospital and loads it, with as many workers as there are processors.
pub(super) fn load(house: &House, config: &Config, patients: u64, seed: u64) -> Result<(), String> {
    let sink = Sink::house(house, config)?;
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let (sender, receiver) = mpsc::sync_channel::<String>(workers * 2);
    let receiver = Mutex::new(receiver);
    let failed: Mutex<Option<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(document) = next else { return };
                    let (_, rejected) = sink.load(&document);
                    if let Some(rejected) = rejected.into_iter().next() {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejected.reason);
                    }
                }
            });
        }
        let mut count = 0_u64;
        let hospital = Hospital { patients, seed, of_adults: true };
        documents_of(hospital, Format::Bundles, &mut |document| {
            count += 1;
            if count.is_multiple_of(1_000) {
                report(&format!("{count} of {patients} patients"));
            }
            sender.send(document).is_ok()
        });
        // The receiver outlives the workers, so this send cannot fail.
        let _ = sender.send(child(now()));
        drop(sender);
    });
    if let Some(reason) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(format!("the hospital could not be loaded: {reason}"));
    }
    // This patient's doctors and organizations are there by now.
    let (_, rejected) = sink.load(&showcase(now()));
    match rejected.into_iter().next() {
        Some(rejected) => Err(format!("the hospital could not be loaded: {}", rejected.reason)),
        None => Ok(()),
    }
}

/// The lifetime of a demo's tokens, in seconds.
pub(super) const LIFETIME_SECONDS: i64 = 12 * 3_600;

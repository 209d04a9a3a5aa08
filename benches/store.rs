//! The write throughput of the sled store, and its memory and disk use: `cargo bench --bench store`, with the number of
//! resources as an argument (`-- 1000000`). Bodies of 600 bytes that do not compress well, 20 index entries each, 500 resources
//! per commit, every commit synced.
#![allow(clippy::unwrap_used, clippy::as_conversions, clippy::print_stdout, clippy::cast_precision_loss)]
use std::sync::Arc;
use std::time::Instant;

use chartward::store::{
    At, Batch, Key, Kv as _, Sled, SledOptions, Space, Stamp, StampPlace, Stamped, SystemClock, Write,
};

const RESOURCES_PER_COMMIT: u64 = 500;
const ENTRIES: u32 = 20;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn resource(number: u64, state: &mut u64, batch: &mut Batch) {
    let row = Stamped::Row(batch.rows);
    batch.rows += 1;
    let body: Vec<u8> = (0..75).flat_map(|_| random(state).to_be_bytes()).collect();
    let (key, row_at) = Key::new(Space::Record).stamped();
    let (key, sequence_at) = key.stamped();
    let stamp = |offset, what| Stamp { place: StampPlace::Key, offset, what };
    let stamps = vec![stamp(row_at, row), stamp(sequence_at, Stamped::Sequence)];
    batch.writes.push(Write { key: key.into_bytes(), value: Some(body), stamps: stamps.into() });
    for param in 0..ENTRIES {
        // Some values occur in few resources, some in many.
        let value = if param < 10 { number.to_string() } else { (random(state) % 1_000).to_string() };
        let (key, row_at) = Key::new(Space::Posting).short(7).word(param).text(value.as_bytes()).stamped();
        batch.writes.push(Write {
            key: key.into_bytes(),
            value: Some(Vec::new()),
            stamps: [stamp(row_at, row)].into(),
        });
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).unwrap_or(0)
}

fn main() {
    let count: u64 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let store = Sled::open(&SledOptions::new(folder.path()), Arc::new(SystemClock)).unwrap();
    let mut state = 88_172_645_463_325_252;
    let started = Instant::now();
    let mut number = 0;
    while number < count {
        let mut batch = Batch::default();
        for _ in 0..RESOURCES_PER_COMMIT.min(count - number) {
            resource(number, &mut state, &mut batch);
            number += 1;
        }
        store.commit(batch).wait().unwrap();
    }
    let written = started.elapsed().as_secs_f64();
    let loaded = resident_kib();
    let probes = 2_000;
    let probing = Instant::now();
    let snapshot = store.snapshot(At::Latest).unwrap();
    for _ in 0..probes {
        let value = (random(&mut state) % count).to_string();
        let prefix = Key::new(Space::Posting).short(7).word(3).text(value.as_bytes()).into_bytes();
        let mut found = 0;
        let range = chartward::store::KeyRange::prefix(prefix);
        snapshot
            .scan(&range, chartward::store::Direction::Forward, &mut |_, _| {
                found += 1;
                chartward::store::Flow::Next
            })
            .unwrap();
        assert_eq!(found, 1);
    }
    let probe = probing.elapsed().as_secs_f64() * 1e6 / f64::from(probes);
    drop(snapshot);
    store.close().unwrap();
    let figures = store.figures();
    println!(
        "| resources | resources/s | resident while loading | sled, bytes each | journal, bytes each | look-up of one value |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {count} | {:.0} | {} MB | {} | {} | {probe:.0} us |",
        count as f64 / written,
        loaded / 1024,
        figures.sled_bytes / count,
        figures.journal_bytes / count
    );
}

//! The contract of a backend, as named tests that run against each backend. Random walks end with a check that the store
//! reads back exactly what a plain map of the same commits holds.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::model::Millis;

use super::batch::{Batch, CommitError, Expectation, KeyRange, Sequence, Stamp, StampPlace, Stamped, Write};
use super::clock::{Clock, SystemClock};
use super::key::{Key, Space, erased_key};
use super::kv::{At, Direction, Flow, Kv, Snapshot, StoreError};
use super::{Memory, Postgres, PostgresOptions, Sled, SledOptions};

/// A clock that tests can move forward and backward.
#[derive(Default)]
struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Millis {
        SystemClock.now() + self.0.load(Ordering::Relaxed)
    }
}

/// A backend under test. If it is persistent, it can be closed and opened again.
trait Subject {
    fn kv(&self) -> &dyn Kv;
    fn reopen(&mut self);
    fn clock(&self) -> &Shifted;
}

struct InMemory(Memory, Arc<Shifted>);

impl InMemory {
    fn new() -> Self {
        let clock = Arc::<Shifted>::default();
        Self(Memory::new(clock.clone()), clock)
    }
}

impl Subject for InMemory {
    fn kv(&self) -> &dyn Kv {
        &self.0
    }

    fn reopen(&mut self) {}

    fn clock(&self) -> &Shifted {
        &self.1
    }
}

struct InSled {
    options: SledOptions,
    store: Option<Sled>,
    clock: Arc<Shifted>,
    _folder: tempfile::TempDir,
}

impl InSled {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A small table, so that tests reach checkpoints and merges; no quiet time is needed before further merges.
        let options = SledOptions {
            table_bytes_max: 20_000,
            settle_after: Duration::ZERO,
            sync: false,
            ..SledOptions::new(folder.path().to_owned())
        };
        let mut subject = Self { options, store: None, clock: Arc::default(), _folder: folder };
        subject.reopen();
        subject
    }
}

impl Subject for InSled {
    fn kv(&self) -> &dyn Kv {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Sled::open(&self.options, self.clock.clone()).unwrap());
    }

    fn clock(&self) -> &Shifted {
        &self.clock
    }
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write { key: key.to_vec(), value: Some(value.to_vec()), ..Write::default() }
}

fn remove(key: &[u8]) -> Write {
    Write { key: key.to_vec(), value: None, ..Write::default() }
}

fn commit(kv: &dyn Kv, writes: Vec<Write>) -> Sequence {
    kv.commit(Batch { writes, ..Batch::default() }).wait().unwrap().sequence
}

fn keys(kv: &dyn Kv, range: &KeyRange, direction: Direction) -> Vec<String> {
    let mut found = Vec::new();
    let snapshot = kv.snapshot(At::Latest).unwrap();
    snapshot
        .scan(range, direction, &mut |key, _| {
            found.push(String::from_utf8_lossy(key).into_owned());
            Flow::Next
        })
        .unwrap();
    found
}

fn what_is_put_is_read_and_what_is_removed_is_not(subject: &mut dyn Subject) {
    let first = commit(subject.kv(), vec![put(b"\x02a", b"1"), put(b"\x02b", b"2")]);
    let second = commit(subject.kv(), vec![remove(b"\x02a"), put(b"\x02b", b"3")]);
    assert!(second > first);
    let snapshot = subject.kv().snapshot(At::Latest).unwrap();
    assert_eq!(snapshot.get(b"\x02a").unwrap(), None);
    assert_eq!(snapshot.get(b"\x02b").unwrap(), Some((b"3"[..].into(), second)));
    assert_eq!(snapshot.get(b"\x02c").unwrap(), None);
    let before = subject.kv().snapshot(At::Sequence(first)).unwrap();
    assert_eq!(before.get(b"\x02a").unwrap(), Some((b"1"[..].into(), first)));
    drop((snapshot, before));
    subject.reopen();
    let snapshot = subject.kv().snapshot(At::Latest).unwrap();
    assert_eq!(snapshot.get(b"\x02b").unwrap().unwrap().0, b"3"[..]);
}

fn scans_go_both_ways_and_seek_and_stop(subject: &mut dyn Subject) {
    commit(subject.kv(), (0..50).map(|n| put(format!("\x04k{n:02}").as_bytes(), b"v")).collect());
    commit(subject.kv(), vec![remove(b"\x04k01"), remove(b"\x04k48")]);
    let range = KeyRange { start: b"\x04k00".to_vec(), end: b"\x04k49".to_vec() };
    let forward = keys(subject.kv(), &range, Direction::Forward);
    let mut reverse = keys(subject.kv(), &range, Direction::Reverse);
    reverse.reverse();
    assert_eq!(forward, reverse);
    assert_eq!(forward.len(), 47);
    let snapshot = subject.kv().snapshot(At::Latest).unwrap();
    for (direction, expected) in [
        (Direction::Forward, ["\x04k00", "\x04k10", "\x04k20"]),
        (Direction::Reverse, ["\x04k47", "\x04k30", "\x04k20"]),
    ] {
        let mut found = Vec::new();
        snapshot
            .scan(&range, direction, &mut |key, _| {
                found.push(String::from_utf8_lossy(key).into_owned());
                match (found.len(), direction) {
                    (1, Direction::Forward) => Flow::Seek(b"\x04k10".to_vec()),
                    (1, Direction::Reverse) => Flow::Seek(b"\x04k30".to_vec()),
                    (2, _) => Flow::Seek(b"\x04k20".to_vec()),
                    _ => Flow::Stop,
                }
            })
            .unwrap();
        assert_eq!(found, expected);
    }
    let mut count = 0;
    snapshot
        .scan(&range, Direction::Forward, &mut |_, _| {
            count += 1;
            // A seek backward acts as `Next`.
            Flow::Seek(b"\x04k00".to_vec())
        })
        .unwrap();
    assert_eq!(count, 47);
    assert!(
        keys(subject.kv(), &KeyRange { start: b"\x05".to_vec(), end: b"\x04".to_vec() }, Direction::Forward)
            .is_empty()
    );
}

fn expectations_are_checked_against_everything_before(subject: &mut dyn Subject) {
    let kv = subject.kv();
    let first = commit(kv, vec![put(b"\x02x", b"1")]);
    let expect = |expectation: Expectation| {
        kv.commit(Batch {
            expectations: vec![expectation],
            writes: vec![put(b"\x02y", b"1")],
            rows: 0,
            start: None,
        })
        .wait()
    };
    let on = |key: &[u8], sequence| Expectation::Key { key: key.to_vec(), sequence };
    let range = KeyRange::prefix(b"\x02r".to_vec());
    assert!(expect(on(b"\x02x", Some(first))).is_ok());
    assert!(matches!(expect(on(b"\x02x", None)), Err(CommitError::Conflict { .. })));
    assert!(matches!(expect(on(b"\x02x", Some(Sequence(first.0 + 7)))), Err(CommitError::Conflict { .. })));
    assert!(expect(on(b"\x02nothing", None)).is_ok());
    let since = commit(kv, vec![put(b"\x02r1", b"1")]);
    assert!(expect(Expectation::Unchanged { range: range.clone(), since }).is_ok());
    commit(kv, vec![remove(b"\x02r1")]);
    assert!(matches!(expect(Expectation::Unchanged { range, since }), Err(CommitError::Conflict { .. })));
    // Of many commits at once that all expect the same key to be absent, one succeeds.
    let tickets: Vec<_> = (0..100)
        .map(|_| {
            kv.commit(Batch {
                expectations: vec![on(b"\x02once", None)],
                writes: vec![put(b"\x02once", b"1")],
                ..Batch::default()
            })
        })
        .collect();
    let won = tickets.into_iter().filter(|_| true).map(super::Ticket::wait).filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

fn stamps_are_filled_in_and_rows_rise(subject: &mut dyn Subject) {
    let stamped = |what| Write {
        key: [b"\x04s".as_slice(), &[0; 8]].concat(),
        value: Some(vec![0; 9]),
        stamps: vec![
            Stamp { place: StampPlace::Key, offset: 2, what },
            Stamp { place: StampPlace::Value, offset: 1, what: Stamped::Sequence },
        ]
        .into(),
    };
    let mut next = None;
    for _ in 0..3 {
        let batch = Batch {
            writes: vec![stamped(Stamped::Row(0)), stamped(Stamped::Row(1))],
            rows: 2,
            ..Batch::default()
        };
        let committed = subject.kv().commit(batch).wait().unwrap();
        assert!(next.is_none_or(|next| next == committed.first_row));
        next = Some(committed.first_row + 2);
        let snapshot = subject.kv().snapshot(At::Latest).unwrap();
        let key = [b"\x04s".as_slice(), &(committed.first_row + 1).to_be_bytes()].concat();
        let (value, sequence) = snapshot.get(&key).unwrap().unwrap();
        assert_eq!(sequence, committed.sequence);
        assert_eq!(value[1..], committed.sequence.0.to_be_bytes());
        drop(snapshot);
        subject.reopen();
    }
}

/// A small random number generator, so that a seed reproduces a walk.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn a_random_walk_reads_as_a_plain_map_does(subject: &mut dyn Subject) {
    for seed in 1..=3 {
        let mut numbers = Numbers(seed);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        if seed > 1 {
            let all = keys(subject.kv(), &KeyRange::prefix(Vec::new()), Direction::Forward);
            commit(subject.kv(), all.iter().map(|key| remove(key.as_bytes())).collect());
        }
        for round in 0..400 {
            let mut writes = Vec::new();
            for _ in 0..numbers.below(20) {
                let key = [
                    vec![2 + u8::try_from(numbers.below(5)).unwrap()],
                    format!("{:03}", numbers.below(400)).into_bytes(),
                ]
                .concat();
                if writes.iter().any(|write: &Write| write.key == key) {
                    continue;
                }
                if numbers.below(4) == 0 {
                    model.remove(&key);
                    writes.push(remove(&key));
                } else {
                    let value = vec![b'v'; usize::try_from(numbers.below(200)).unwrap()];
                    model.insert(key.clone(), value.clone());
                    writes.push(put(&key, &value));
                }
            }
            commit(subject.kv(), writes);
            if round % 150 == 149 {
                subject.reopen();
            }
        }
        let snapshot = subject.kv().snapshot(At::Latest).unwrap();
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut found = BTreeMap::new();
            let everything = KeyRange::prefix(Vec::new());
            snapshot
                .scan(&everything, direction, &mut |key, value| {
                    found.insert(key.to_vec(), value.to_vec());
                    Flow::Next
                })
                .unwrap();
            assert_eq!(found, model, "seed {seed} {direction:?}");
        }
        for (key, value) in &model {
            assert_eq!(snapshot.get(key).unwrap().unwrap().0, value, "seed {seed}");
        }
        reads_of_several_are_single_reads(&*snapshot, &model, &mut numbers);
    }
}

/// Several keys or ranges read at once give what they give one by one, also if they were announced or read before.
fn reads_of_several_are_single_reads(
    snapshot: &dyn Snapshot,
    model: &BTreeMap<Vec<u8>, Vec<u8>>,
    numbers: &mut Numbers,
) {
    let any = |numbers: &mut Numbers| {
        let space = 2 + u8::try_from(numbers.below(5)).unwrap();
        [vec![space], format!("{:03}", numbers.below(400)).into_bytes()].concat()
    };
    let keys: Vec<Vec<u8>> = (0..60).map(|_| any(numbers)).collect();
    snapshot.announce(&mut keys.iter().take(30).cloned()).unwrap();
    for _ in 0..2 {
        for (key, found) in keys.iter().zip(snapshot.get_each(&keys).unwrap()) {
            assert_eq!(found.map(|(value, _)| value.to_vec()), model.get(key).cloned());
        }
        let ranges: Vec<KeyRange> = (0..20)
            .map(|_| {
                let (a, b) = (any(numbers), any(numbers));
                KeyRange { start: a.clone().min(b.clone()), end: a.max(b) }
            })
            .collect();
        for (direction, most) in [(Direction::Forward, 3), (Direction::Forward, 40), (Direction::Reverse, 3)]
        {
            let mut found: Vec<Vec<Vec<u8>>> = vec![Vec::new(); ranges.len()];
            snapshot
                .first_of_each(&ranges, direction, most, &mut |place, key| found[place].push(key.to_vec()))
                .unwrap();
            for (range, found) in ranges.iter().zip(found) {
                let mut all: Vec<Vec<u8>> =
                    model.range(range.start.clone()..range.end.clone()).map(|(key, _)| key.clone()).collect();
                if direction == Direction::Reverse {
                    all.reverse();
                }
                all.truncate(most);
                assert_eq!(found, all, "{range:?} {direction:?} {most}");
            }
        }
    }
}

fn an_old_snapshot_keeps_what_it_shows(subject: &mut dyn Subject) {
    commit(subject.kv(), (0..100).map(|n| put(format!("\x04o{n}").as_bytes(), b"old")).collect());
    let old = subject.kv().snapshot(At::Latest).unwrap();
    for round in 0..60 {
        let value = format!("{round}-{}", "x".repeat(50));
        commit(
            subject.kv(),
            (0..100).map(|n| put(format!("\x04o{n}").as_bytes(), value.as_bytes())).collect(),
        );
    }
    let mut count = 0;
    old.scan(&KeyRange::prefix(b"\x04o".to_vec()), Direction::Forward, &mut |_, value| {
        assert_eq!(value, b"old");
        count += 1;
        Flow::Next
    })
    .unwrap();
    assert_eq!(count, 100);
    let before = old.sequence();
    drop(old);
    let again = subject.kv().snapshot(At::Sequence(before)).unwrap();
    assert_eq!(again.get(b"\x04o7").unwrap().unwrap().0, b"old"[..]);
}

fn large_values_and_records_come_back(subject: &mut dyn Subject) {
    let large: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let record =
        |row: u64, sequence: u64| [&[1_u8][..], &row.to_be_bytes(), &sequence.to_be_bytes()].concat();
    commit(
        subject.kv(),
        vec![put(&record(7, 1), &large), put(&record(8, 1), b"small"), put(&record(9, 1), b"")],
    );
    for _ in 0..2 {
        let snapshot = subject.kv().snapshot(At::Latest).unwrap();
        assert_eq!(snapshot.get(&record(7, 1)).unwrap().unwrap().0, large);
        let range = KeyRange::prefix(vec![1]);
        let mut sizes = Vec::new();
        snapshot
            .scan(&range, Direction::Reverse, &mut |_, value| {
                sizes.push(value.len());
                Flow::Next
            })
            .unwrap();
        assert_eq!(sizes, [0, 5, 100_000]);
        drop(snapshot);
        subject.reopen();
    }
}

/// One key of a row in each space that holds data of rows.
fn keys_of_row(row: u64) -> Vec<Vec<u8>> {
    let key = |space: Space| Key::new(space);
    vec![
        key(Space::Record).number(row).number(1).into_bytes(),
        key(Space::Current).number(row).into_bytes(),
        key(Space::History).short(3).number(1).number(row).into_bytes(),
        key(Space::Posting).short(3).word(4).text(b"name").number(row).into_bytes(),
        key(Space::Entries).number(row).into_bytes(),
    ]
}

fn what_is_erased_is_gone_for_all_but_who_reads_already(subject: &mut dyn Subject) {
    for row in [7, 8] {
        commit(subject.kv(), keys_of_row(row).iter().map(|key| put(key, b"something")).collect());
    }
    let old = subject.kv().snapshot(At::Latest).unwrap();
    let mut writes: Vec<Write> = keys_of_row(7).iter().map(|key| remove(key)).collect();
    writes.push(put(&erased_key(7), b""));
    let erased = commit(subject.kv(), writes);
    let is_gone = |kv: &dyn Kv| {
        let snapshot = kv.snapshot(At::Latest).unwrap();
        for (key, other) in keys_of_row(7).iter().zip(keys_of_row(8)) {
            assert_eq!(snapshot.get(key).unwrap(), None);
            assert_eq!(snapshot.get(&other).unwrap().unwrap().0, b"something"[..]);
        }
        let mut found = 0;
        snapshot
            .scan(&KeyRange::prefix(Vec::new()), Direction::Forward, &mut |_, value| {
                found += usize::from(value == b"something");
                Flow::Next
            })
            .unwrap();
        assert_eq!(found, 5);
    };
    for round in 0..300_u32 {
        // Enough bytes that tables are written to runs and runs are merged.
        commit(subject.kv(), vec![put(b"\x02x", &round.to_be_bytes().repeat(100))]);
        is_gone(subject.kv());
    }
    for key in keys_of_row(7) {
        assert_eq!(old.get(&key).unwrap().unwrap().0, b"something"[..], "{key:?}");
    }
    let before = old.sequence();
    drop(old);
    assert!(matches!(subject.kv().snapshot(At::Sequence(before)).err(), Some(StoreError::Expired)));
    assert!(subject.kv().snapshot(At::Sequence(erased)).is_ok());
    for _ in 0..2 {
        is_gone(subject.kv());
        subject.reopen();
    }
}

fn what_nobody_waits_for_is_there_soon_and_before_what_comes_later(subject: &mut dyn Subject) {
    let soon = |key: &[u8]| {
        let writes = vec![put(key, b"v")];
        subject.kv().commit_soon(Batch { writes, ..Batch::default() });
    };
    for number in 0..20_u8 {
        soon(&[2, number]);
    }
    // Whoever waits for a later commit also sees the earlier ones, in their order.
    let last = commit(subject.kv(), vec![put(b"\x02z", b"v")]);
    let snapshot = subject.kv().snapshot(At::Sequence(last)).unwrap();
    let found: Vec<u64> = (0..20_u8).map(|number| snapshot.get(&[2, number]).unwrap().unwrap().1.0).collect();
    assert_eq!(found, (last.0 - 20..last.0).collect::<Vec<u64>>());
    drop(snapshot);
    soon(&[2, 98]);
    subject.kv().settle();
    assert!(subject.kv().snapshot(At::Latest).unwrap().get(&[2, 98]).unwrap().is_some());
    // They become readable by themselves too, without a later commit.
    soon(&[2, 99]);
    let is_there = || subject.kv().snapshot(At::Latest).unwrap().get(&[2, 99]).unwrap().is_some();
    let since = std::time::Instant::now();
    while !is_there() {
        assert!(since.elapsed() < Duration::from_secs(10), "nothing was written");
        std::thread::yield_now();
    }
    // Closing the store writes what is still pending.
    soon(&[2, 100]);
    subject.reopen();
    assert!(subject.kv().snapshot(At::Latest).unwrap().get(&[2, 100]).unwrap().is_some());
}

fn times_never_go_back_though_the_clock_does(subject: &mut dyn Subject) {
    const HOUR: i64 = 3_600_000;
    let write = |subject: &dyn Subject| {
        let batch = Batch { writes: vec![put(b"\x02t", b"v")], ..Batch::default() };
        subject.kv().commit(batch).wait().unwrap().time
    };
    let mut last = write(subject);
    for shift in [HOUR, -HOUR, 0, -24 * HOUR] {
        subject.clock().0.store(shift, Ordering::Relaxed);
        for _ in 0..3 {
            let time = write(subject);
            assert!(time >= last, "{last} is followed by {time}");
            last = time;
        }
        subject.reopen();
        let time = write(subject);
        assert!(time >= last, "after a restart {last} is followed by {time}");
        last = time;
    }
}

/// The URL of the test database; `None`, with a line on stderr, if there is none.
pub(super) fn database(test: &str) -> Option<String> {
    let url = std::env::var("TEST_POSTGRES").ok();
    if url.is_none() {
        let line = format!("{test} in PostgreSQL: skipped, because TEST_POSTGRES is not set\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }
    url
}

/// A test store in a schema of its own in that database, dropped at the end.
struct InPostgres {
    options: PostgresOptions,
    store: Option<Postgres>,
    clock: Arc<Shifted>,
}

impl InPostgres {
    /// `None` if there is no test database.
    fn new(case: &str) -> Option<Self> {
        let url = database(case)?;
        let schema = format!("suite_{}_{case}", std::process::id());
        let options = PostgresOptions {
            schema: schema.get(..63).unwrap_or(&schema).to_owned(),
            reading: Duration::ZERO,
            ..PostgresOptions::new(url)
        };
        let mut subject = Self { options, store: None, clock: Arc::default() };
        subject.reopen();
        Some(subject)
    }
}

impl Subject for InPostgres {
    fn kv(&self) -> &dyn Kv {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Postgres::open(&self.options, self.clock.clone()).unwrap());
    }

    fn clock(&self) -> &Shifted {
        &self.clock
    }
}

impl Drop for InPostgres {
    fn drop(&mut self) {
        self.store = None;
        Postgres::destroy(&self.options).unwrap();
    }
}

macro_rules! contract {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            use super::*;
            $(#[test] fn $case() { super::$case(&mut InMemory::new()); })+
        }
        mod sled {
            use super::*;
            $(#[test] fn $case() { super::$case(&mut InSled::new()); })+
        }
        mod postgres {
            use super::*;
            $(#[test] fn $case() {
                if let Some(mut subject) = InPostgres::new(stringify!($case)) {
                    super::$case(&mut subject);
                }
            })+
        }
    };
}

contract!(
    what_is_put_is_read_and_what_is_removed_is_not,
    scans_go_both_ways_and_seek_and_stop,
    expectations_are_checked_against_everything_before,
    stamps_are_filled_in_and_rows_rise,
    a_random_walk_reads_as_a_plain_map_does,
    an_old_snapshot_keeps_what_it_shows,
    large_values_and_records_come_back,
    what_is_erased_is_gone_for_all_but_who_reads_already,
    what_nobody_waits_for_is_there_soon_and_before_what_comes_later,
    times_never_go_back_though_the_clock_does,
);

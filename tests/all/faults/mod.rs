//! Faults of the operating system: every system call of a store's scenario fails once, in turn; then a disk that cannot be
//! written, a failing sync, and a server under either. A library that the dynamic linker loads before libc (`shim.rs`) makes the
//! calls fail, so the unmodified code is tested, sled's included.
mod server;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use std::sync::Arc;

use chartward::store::{
    At, Batch, Committed, Key, Kv as _, Memory, Sled, SledOptions, Space, SystemClock, Write, read_dump,
    verify_chain, write_dump,
};

use crate::shared::skipped;

const EIO: &str = "5";
const ENOSPC: &str = "28";
const EROFS: &str = "30";

/// The library, built once; `None` if it cannot be compiled or linked.
fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/faults/shim.rs");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(compiler)
            .args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"])
            .args([&out, &source])
            .output();
        (cfg!(target_os = "linux") && built.is_ok_and(|output| output.status.success())).then_some(out)
    };
    SHIM.get_or_init(build).as_deref()
}

/// A folder in memory, where a sync costs nothing, if there is one.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(path: &Path) -> Result<Sled, String> {
    let options = SledOptions {
        table_bytes_max: 4_000,
        journal_bytes_max: 6_000,
        settle_after: Duration::from_millis(1),
        failures_max: 1,
        answer_max: Duration::from_secs(5),
        ..SledOptions::new(path.to_owned())
    };
    Sled::open(&options, Arc::new(SystemClock)).map_err(|error| error.to_string())
}

fn keys(number: u64) -> [Vec<u8>; 2] {
    [
        Key::new(Space::Record).number(number).number(1).into_bytes(),
        Key::new(Space::Posting).short(1).word(2).text(b"x").number(number).into_bytes(),
    ]
}

fn put(key: Vec<u8>, value: Option<Vec<u8>>) -> Write {
    Write { key, value, ..Write::default() }
}

fn value(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(25)
}

fn commit(store: &Sled, writes: Vec<Write>) -> Result<Committed, String> {
    store.commit(Batch { writes, ..Batch::default() }).wait().map_err(|error| error.to_string())
}

/// Prints a line for the parent process, at the start of a line whatever the harness has printed before.
fn say(line: &str) {
    println!("\nsaid: {line}");
}

/// The scenario of a store: it is created, written to until its tables and files have been replaced, closed, opened again, one
/// value is erased, and it is dumped, closed and read.
fn life(path: &Path) -> Result<(), String> {
    let write = |store: &Sled, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let [first, second] = keys(number);
            match commit(store, vec![put(first, Some(value(number))), put(second, Some(Vec::new()))]) {
                Ok(_) => say(&format!("wrote {number}")),
                Err(_) => say("refused"),
            }
        }
    };
    let store = open(path)?;
    write(&store, 1..120);
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    let store = open(path)?;
    write(&store, 120..140);
    say("erases");
    let erased = Key::new(Space::Meta).text(b"erased").number(7).into_bytes();
    let mut writes: Vec<Write> = keys(7).map(|key| put(key, None)).into();
    writes.push(put(erased, Some(Vec::new())));
    if commit(&store, writes).is_ok() {
        say("erased");
        let since = Instant::now();
        while store.is_erasing() && since.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let file = std::fs::File::create(path.join("dump")).map_err(|error| error.to_string())?;
    let snapshot = store.snapshot(At::Latest).map_err(|error| error.to_string())?;
    let mut file = std::io::BufWriter::new(file);
    write_dump(&*snapshot, &mut file).map_err(|error| error.to_string())?;
    file.into_inner().map_err(|error| error.to_string())?.sync_all().map_err(|error| error.to_string())?;
    say("dumped");
    drop(snapshot);
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    let store = open(path)?;
    write(&store, 140..143);
    store.close().map_err(|error| error.to_string())
}

/// The scenario in a process of its own: in a normal run this test does nothing; the tests below run it with the shim.
#[test]
fn a_life() {
    let Some(path) = std::env::var_os("STORE_SCENARIO") else { return };
    let came_to = life(Path::new(&path));
    say(&format!("ended: {came_to:?}"));
}

fn live(path: &Path, faults: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::a_life", "--nocapture", "--test-threads", "1"])
        .env("STORE_SCENARIO", path)
        .env("LD_PRELOAD", shim().unwrap())
        .env("FAULT_BELOW", path)
        .envs(faults.iter().copied())
        .output()
        .unwrap()
}

/// Checks what must hold after a scenario, whatever happened in it. The disk works again.
fn holds(path: &Path, output: &Output, faults: &[(&str, &str)]) {
    let said = String::from_utf8_lossy(&output.stdout);
    let mut told = String::new();
    writeln!(told, "{faults:?}\n{}", String::from_utf8_lossy(&output.stderr)).unwrap();
    assert!(output.status.success(), "{told}\n{said}");
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("said: ")).collect();
    let wrote: BTreeSet<u64> =
        lines.iter().filter_map(|line| line.strip_prefix("wrote ")?.parse().ok()).collect();
    let since = Instant::now();
    let store = loop {
        match open(path) {
            Ok(store) => break store,
            // A process that another test thread is just starting holds the lock until it has begun.
            Err(error) if error.contains("lock") && since.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("it does not open: {error}\n{told}\n{said}"),
        }
    };
    let snapshot = store.snapshot(At::Latest).unwrap();
    for number in 1..143 {
        let found = keys(number).map(|key| snapshot.get(&key).unwrap().map(|(value, _)| value.to_vec()));
        let whole = [Some(value(number)), Some(Vec::new())];
        let is_there = found == whole;
        assert!(is_there || found == [None, None], "half of {number}: {found:?}\n{told}");
        if number == 7 && lines.contains(&"erases") {
            assert!(!is_there || !lines.contains(&"erased"), "what was erased is back\n{told}");
        } else {
            assert!(
                is_there || !wrote.contains(&number),
                "{number} was acknowledged and is gone\n{told}\n{said}"
            );
        }
    }
    drop(snapshot);
    // The store accepts writes again, and its data is consistent.
    commit(&store, vec![put(keys(200)[0].clone(), Some(value(200)))]).unwrap();
    store.close().unwrap();
    drop(store);
    verify_chain(path).unwrap_or_else(|error| panic!("{error}\n{told}"));
    if lines.contains(&"dumped") {
        let memory = Memory::new(Arc::new(SystemClock));
        read_dump(&mut std::fs::File::open(path.join("dump")).unwrap(), &memory).unwrap();
    }
}

/// Every how many calls one is made to fail; with `LONG_TESTS` each one.
fn every() -> u64 {
    if std::env::var_os("LONG_TESTS").is_some() { 1 } else { 11 }
}

/// Runs the scenario with the first call failing, then with a later one, and so on, until a run ends before its failing call.
fn each_call_fails_in_turn(test: &str, kinds: &str, errno: &str, lasts: bool) {
    if !is_possible(test) {
        return;
    }
    let lives = AtomicUsize::new(0);
    let next = AtomicU64::new(0);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A run with a fault mostly waits, so several run at once.
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let nth = (1 + next.fetch_add(1, Ordering::Relaxed) * every()).to_string();
                    let mut faults =
                        vec![("FAULT_CALLS", kinds), ("FAULT_ERRNO", errno), ("FAULT_NTH", &*nth)];
                    if lasts {
                        faults.push(("FAULT_LASTS", "yes"));
                    }
                    let folder = folder();
                    let output = live(folder.path(), &faults);
                    holds(folder.path(), &output, &faults);
                    lives.fetch_add(1, Ordering::Relaxed);
                    if !String::from_utf8_lossy(&output.stderr).contains("a fault was made") {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(lives.load(Ordering::Relaxed) > 3, "the scenario has hardly a call that could fail");
}

fn is_possible(name: &str) -> bool {
    let is_possible = shim().is_some();
    if !is_possible {
        skipped(name, "a library that lets calls fail cannot be built");
    }
    is_possible
}

#[test]
fn a_write_that_fails_loses_nothing() {
    each_call_fails_in_turn("a_write_that_fails_loses_nothing", "write,name", EIO, false);
}

#[test]
fn a_disk_without_room_loses_nothing() {
    each_call_fails_in_turn("a_disk_without_room_loses_nothing", "write,name", ENOSPC, false);
}

#[test]
fn a_sync_that_fails_loses_nothing() {
    each_call_fails_in_turn("a_sync_that_fails_loses_nothing", "sync", EIO, false);
}

#[test]
fn a_read_that_fails_loses_nothing() {
    each_call_fails_in_turn("a_read_that_fails_loses_nothing", "read", EIO, false);
}

#[test]
fn a_disk_that_becomes_read_only_loses_nothing() {
    each_call_fails_in_turn("a_disk_that_becomes_read_only_loses_nothing", "write,name", EROFS, true);
}

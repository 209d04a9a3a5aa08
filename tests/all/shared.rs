//! Finds the test suites and data sets kept beside the repository. They are not part of a clone: without them a test reports
//! that it is skipped.
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use chartward::cli::{Config, House};

/// Reports a skipped test on stderr directly, because the test harness captures the output of passing tests.
#[allow(clippy::explicit_write, reason = "eprintln! would be kept by the harness as well")]
pub fn skipped(needed_by: &str, why: &str) {
    writeln!(std::io::stderr(), "{needed_by}: skipped, because {why}").unwrap();
}

/// The path of a shared file or folder, or `None` with a line that says which test is skipped and why.
pub fn find(what: &str, needed_by: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(what);
    if path.exists() {
        return Some(path);
    }
    skipped(needed_by, &format!("{} is not here", path.display()));
    None
}

/// Compares a text with a golden file, line by line. With `BLESS=1` the golden file is written first.
pub fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (expected, got)) in golden.lines().zip(text.lines()).enumerate() {
        assert_eq!(expected, got, "{name}, line {}", number + 1);
    }
    assert_eq!(golden.lines().count(), text.lines().count(), "{name}");
}

/// The lines of an `.xz` file, decompressed by the `xz` command.
pub fn xz_lines(path: &Path, needed_by: &str) -> Vec<String> {
    let unpacked = Command::new("xz").arg("-dc").arg(path).stdout(Stdio::piped()).spawn();
    let Ok(mut unpacked) = unpacked else {
        skipped(needed_by, "the command xz is not here");
        return Vec::new();
    };
    let lines = BufReader::new(unpacked.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(unpacked.wait().unwrap().success());
    lines
}

/// A `House` for a test: in memory, or with `TEST_HOUSES=postgres` in a schema of its own in the database of `TEST_POSTGRES`, so
/// that every API test also tests that backend.
pub fn house() -> House {
    static SCHEMAS: AtomicUsize = AtomicUsize::new(0);
    if std::env::var("TEST_HOUSES").as_deref() != Ok("postgres") {
        return House::in_memory().unwrap();
    }
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    House::open(&Config {
        store: Some(std::env::var("TEST_POSTGRES").unwrap()),
        store_schema: format!("house_{}_{number}", std::process::id()),
        // The data directory holds only the keys.
        data: tempfile::tempdir().unwrap().keep(),
        ..Config::default()
    })
    .unwrap()
}

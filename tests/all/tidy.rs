//! Holds the house in order: no import against the order of the floors, a first line that says what a file is, and
//! files of readable length.
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the lowest to the highest; each may use itself and those before it.
const FLOORS: [&str; 12] = [
    "definitions",
    "model",
    "fhirpath",
    "validate",
    "search",
    "store",
    "auth",
    "consent",
    "audit",
    "operations",
    "http",
    "cli",
];
/// A face of `operations` beside `http`: it may use every floor up to `operations`, and no floor may use it but `cli`.
const SECOND_FACE: &str = "ui";
const FILE_LINES_MAX: usize = 600;
/// What only some folders may name: crates that touch the outside.
const KEPT_APART: [(&str, &[&str]); 5] = [
    ("axum::", &["src/http", "src/ui"]),
    ("tokio::", &["src/http", "src/ui", "src/cli"]),
    ("use sled", &["src/store/sled"]),
    ("postgres::", &["src/store/postgres", "src/store/mod.rs"]),
    ("std::fs", &["src/store", "src/cli"]),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        rust_files(&root.join(folder), &mut found);
    }
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text)
        })
        .collect()
}

fn floor_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(floor, _)| floor)
}

/// The part of a file that is built into the product: its tests at the end may reach anywhere.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn no_floor_uses_one_above_it() {
    let rank = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    for (path, text) in sources() {
        let Some(own) = floor_of(&path) else { continue };
        assert!(rank(own).is_some() || own == SECOND_FACE, "{path}: `{own}` is not a floor");
        for part in product(&text).split("crate::").skip(1) {
            let used: String =
                part.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let allowed = match (rank(own), rank(&used)) {
                (Some(own), Some(used)) => used <= own,
                (None, Some(used)) => used <= rank("operations").unwrap(),
                (Some(_) | None, None) => own == used || (own == "cli" && used == SECOND_FACE),
            };
            assert!(allowed, "{path} uses `{used}`, which stands above `{own}`");
        }
    }
}

#[test]
fn crates_of_the_outside_stay_where_they_belong() {
    for (path, text) in sources() {
        for (name, homes) in KEPT_APART {
            let at_home = !path.starts_with("src/") || homes.iter().any(|home| path.starts_with(home));
            assert!(at_home || !product(&text).contains(name), "{path} names `{name}`");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path}: the first line says what the file is");
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{path}: {lines} lines are two ideas");
    }
}

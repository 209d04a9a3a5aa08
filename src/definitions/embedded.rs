//! The definitions of R4 that are embedded in the binary: inflated and parsed once, on first use.
use std::io::Read as _;
use std::sync::LazyLock;

use serde::de::DeserializeOwned;

use super::extract::Tables;
use super::registry::Registry;

macro_rules! embedded {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".ndjson.deflate"))
    };
}

/// The registry of R4 4.0.1.
pub fn r4() -> &'static Registry {
    static R4: LazyLock<Registry> = LazyLock::new(|| {
        Registry::new(Tables {
            types: rows(embedded!("types")),
            search_params: [
                rows(embedded!("search-parameters")),
                // Our own parameters, which R4 lacks and people who work with records need.
                rows(embedded!("own-search-parameters")),
            ]
            .concat(),
            compartments: rows(embedded!("compartments")),
            value_sets: rows(embedded!("value-sets")),
            code_hierarchy: rows(embedded!("code-hierarchy")),
        })
        .with_subjects(rows(embedded!("data-subjects")))
    });
    &R4
}

/// INVARIANT: this crate's own extractor wrote the embedded tables, and a test parses every row, so no release has a row that
/// does not parse. Skipping such rows only keeps development builds running.
fn rows<T: DeserializeOwned>(packed: &[u8]) -> Vec<T> {
    let mut text = String::new();
    let read = flate2::read::DeflateDecoder::new(packed).read_to_string(&mut text);
    debug_assert!(read.is_ok(), "an embedded table does not inflate");
    text.lines()
        .filter_map(|line| {
            let row = serde_json::from_str(line);
            debug_assert!(row.is_ok(), "a row of an embedded table does not parse: {line}");
            row.ok()
        })
        .collect()
}

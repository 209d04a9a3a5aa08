//! Every advertised search parameter finds an example of the standard, except those on a list that may only shrink.
use std::collections::BTreeSet;
use std::path::Path;

use chartward::definitions::r4;
use chartward::model::parse;
use chartward::search::{entries, search_params};

use crate::shared;

/// `Type.parameter`, one per line: parameters for which no example has a value.
const WITHOUT_EXAMPLE: &str = include_str!("parameters-without-example.txt");

/// Parameters that every type has are counted once.
fn name(type_name: &str, code: &str) -> String {
    let of = if code.starts_with('_') { "Resource" } else { type_name };
    format!("{of}.{code}")
}

#[test]
fn every_parameter_finds_an_example_or_is_listed() {
    let needed_by = "the search parameters on the examples of the standard";
    let Some(folder) = shared::find("data/hl7-r4-examples", needed_by) else { return };
    let mut left: BTreeSet<String> = BTreeSet::new();
    for def in r4().resources() {
        left.extend(search_params().of(def).iter().map(|param| name(&def.name, &param.code)));
    }
    let advertised = left.len();
    for file in ["instances.ndjson.xz", "definitional.ndjson.xz"] {
        for line in shared::xz_lines(&folder.join(file), needed_by) {
            let Ok(tree) = parse(line.into_bytes()) else { continue };
            let Some(def) = tree.root().str_at("resourceType").and_then(|name| r4().resource(name)) else {
                continue;
            };
            let own = entries(search_params(), tree.root());
            for param in search_params().of(def) {
                if own.iter().any(|entry| entry.param == param.id) {
                    left.remove(&name(&def.name, &param.code));
                }
            }
        }
    }
    let found: String = left.iter().map(|name| format!("{name}\n")).collect();
    if std::env::var_os("BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/parameters-without-example.txt");
        std::fs::write(path, &found).unwrap();
        return;
    }
    println!("{} of {advertised} parameters find an example", advertised - left.len());
    assert_eq!(found, WITHOUT_EXAMPLE, "the list may only shrink; BLESS=1 writes it anew");
}

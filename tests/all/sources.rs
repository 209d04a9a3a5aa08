//! The repository's Rust files, and the part of each that is built into the product.
use std::fs;
use std::path::{Path, PathBuf};

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

/// Path below the repository and text of every Rust file.
pub fn sources() -> Vec<(String, String)> {
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

/// A text without its items under `#[cfg(test)]`.
pub fn product(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        rest = &item[item_len(item)..];
    }
    out + rest
}

/// The length of an item: to its semicolon, or to the brace that closes its first one.
fn item_len(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in item.char_indices() {
        match letter {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    item.len()
}

/// Whether a file below `src` is built for tests only: its module is declared under `#[cfg(test)]`.
pub fn is_test_file(path: &str, sources: &[(String, String)]) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let declared = format!("#[cfg(test)]\nmod {};", name.trim_end_matches(".rs"));
    let parents = [format!("{folder}/mod.rs"), format!("{folder}.rs"), format!("{folder}/lib.rs")];
    sources.iter().any(|(path, text)| parents.contains(path) && text.contains(&declared))
}

#[test]
fn what_is_for_tests_is_left_out_and_nothing_else() {
    let text =
        "use a;\n#[cfg(test)]\nmod tests {\n  fn f() { {} }\n}\nuse b;\n#[cfg(test)]\nmod more;\nuse c;\n";
    let told: Vec<String> = product(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(told.join(" "), "use a; use b; use c;");
}

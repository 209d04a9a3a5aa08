//! Reads the files to import: walks folders in order, decompresses files, and splits NDJSON into documents.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;

/// The files below the paths, each folder in the order of its file names.
///
/// # Errors
/// If a path cannot be read.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    walk(paths, &mut BTreeSet::new())
}

/// Walks each folder once, even if symbolic links lead back to it.
fn walk(paths: &[PathBuf], seen: &mut BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let real = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
            if !seen.insert(real) {
                continue;
            }
            let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let mut inside: Vec<PathBuf> =
                entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
            inside.sort();
            inside.retain(|path| path.is_dir() || is_data(path));
            found.extend(walk(&inside, seen)?);
        } else if path.exists() {
            found.push(path.clone());
        } else {
            return Err(format!("{} is not there", path.display()));
        }
    }
    Ok(found)
}

/// Folders may also hold files that are no data, which are skipped.
fn is_data(path: &Path) -> bool {
    let name = plain_name(path);
    name.ends_with(".ndjson") || (name.ends_with(".json") && !name.starts_with("STATS"))
}

/// The file name without its compression suffix.
fn plain_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = [".gz", ".xz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending));
    stem.map_or(name.clone(), str::to_owned)
}

/// Calls `visit` with every JSON document of a file. A document may have at most `bytes_max` bytes after decompression.
///
/// # Errors
/// If the file cannot be read, or a document exceeds the limit.
pub(super) fn documents(path: &Path, bytes_max: usize, visit: &mut dyn FnMut(String)) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut reader = open(path).map_err(|error| failed(&error))?;
    let is_lines = plain_name(path).ends_with(".ndjson");
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    loop {
        let mut text = Vec::new();
        let mut within = (&mut reader).take(limit.saturating_add(1));
        let read = if is_lines { within.read_until(b'\n', &mut text) } else { within.read_to_end(&mut text) };
        if read.map_err(|error| failed(&error))? == 0 {
            return Ok(());
        }
        if text.len() > bytes_max {
            return Err(failed(&format!("a document is larger than {bytes_max} bytes (body_bytes_max)")));
        }
        let text = String::from_utf8(text).map_err(|error| failed(&error))?;
        if !text.trim().is_empty() {
            visit(text);
        }
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let reader: Box<dyn Read> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        Some("xz") => Box::new(XzReader::new(BufReader::new(file), true)),
        _ => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 20, reader)))
}

//! `chartward patch`: applies a JSON Patch or a FHIRPath Patch to a document, as the server does for PATCH (R4 http.html#patch),
//! for people who write patches.
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fhirpath::apply_patch;
use crate::model::{Temporal, apply_json_patch, parse};

use super::clock::now;
use super::fhirpath::{cases_of, read};

/// Print the patched document; the file itself is not changed. Exit code 1 if the patch does not apply
#[derive(clap::Args)]
pub struct Arguments {
    /// The patch: a JSON array of operations (RFC 6902), or a Parameters resource (R4 fhirpatch.html)
    #[arg(required_unless_present = "cases")]
    patch: Option<PathBuf>,
    /// The document in JSON; standard input if omitted or `-`
    file: Option<PathBuf>,
    /// Apply many patches instead: a JSON array of objects with `document` and `patch`. Prints one line of JSON for each,
    /// `{"document"}` or `{"error"}`
    #[arg(long, conflicts_with_all = ["patch", "file"])]
    cases: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    if let Some(path) = &arguments.cases {
        for case in cases_of(path)? {
            let text = |name: &str| case.get(name).map(Value::to_string).unwrap_or_default();
            let patched = patched(&text("document"), &text("patch"));
            let patched = patched
                .and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
            let answer = patched
                .map_or_else(|error| json!({"error": error}), |document| json!({"document": document}));
            writeln!(out, "{answer}").map_err(|error| error.to_string())?;
        }
        return Ok(());
    }
    let in_words = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| error.to_string());
    let patch = in_words(read(arguments.patch.as_deref())?)?;
    let document = in_words(read(arguments.file.as_deref())?)?;
    writeln!(out, "{}", patched(&document, &patch)?).map_err(|error| error.to_string())
}

/// The patched document, or the reason why the patch does not apply.
fn patched(document: &str, patch: &str) -> Result<String, String> {
    let tree = parse(patch.as_bytes().to_vec()).map_err(|error| error.to_string())?;
    let patched = if tree.root().str_at("resourceType") == Some("Parameters") {
        apply_patch(document, tree.root(), Temporal::from_millis(now()))
    } else {
        apply_json_patch(document, patch.as_bytes())
    };
    patched.map_err(|outcome| outcome.to_json())
}

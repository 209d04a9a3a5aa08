//! `chartward consent decide`: decides cases given as data, with the same code as the server.
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::consent::Case;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Decide cases: a JSON document with `cases` (and `defs` that they refer to), a list of cases, or one case per line. Prints
    /// the id, decision, basis and rule of each case, one per line
    Decide {
        /// The file to read; - for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Decide { file } = &arguments.command;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (case, defs) in cases(&read(file)?)? {
        writeln!(out, "{}", answer(&case, &defs)).map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(text)
}

/// Each case, with the definitions that it may refer to.
fn cases(text: &str) -> Result<Vec<(Value, Value)>, String> {
    let of_document = |document: Value| -> Vec<(Value, Value)> {
        let defs = document.get("defs").cloned().unwrap_or_default();
        let list = match document {
            Value::Array(cases) => cases,
            other => match other.get("cases").and_then(Value::as_array) {
                Some(cases) => cases.clone(),
                None => vec![other],
            },
        };
        list.into_iter().map(|case| (case, defs.clone())).collect()
    };
    if let Ok(document) = serde_json::from_str(text) {
        return Ok(of_document(document));
    }
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let document = serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
        found.extend(of_document(document));
    }
    Ok(found)
}

fn answer(case: &Value, defs: &Value) -> Value {
    let id = case.get("id").cloned().unwrap_or_default();
    if case.get("level").and_then(Value::as_str) == Some("http") {
        return json!({"id": id, "skipped": "it is about a request, not about a decision"});
    }
    match Case::read(case, defs) {
        Ok(case) => {
            let decided = case.decide();
            json!({"id": id, "decision": decided.decision, "basis": decided.basis, "rule": decided.rule})
        }
        Err(error) => json!({"id": id, "error": error.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::{answer, cases};

    #[test]
    fn documents_and_lines_are_read_alike() {
        let case = r#"{"id":"a","resource":"r","consents":["c"],"context":{"actors":["Organization/x"],"purposes":["TREAT"]}}"#;
        let defs = r#"{"r":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"}},
            "c":{"resourceType":"Consent","id":"c","status":"active","patient":{"reference":"Patient/p"},"provision":{"type":"permit"}}}"#;
        let document = format!("{{\"defs\":{defs},\"cases\":[{case}]}}");
        let (read, named) = cases(&document).unwrap().remove(0);
        let expected = r#"{"id":"a","decision":"permit","basis":"consent","rule":"Consent/c provision"}"#;
        assert_eq!(answer(&read, &named).to_string(), expected);
        let lines = format!("{case}\n\n{case}\n");
        let read = cases(&lines).unwrap();
        assert_eq!(read.len(), 2);
        assert!(answer(&read[0].0, &read[0].1).to_string().contains("there is no definition `r`"));
        assert!(cases("{").is_err());
    }
}

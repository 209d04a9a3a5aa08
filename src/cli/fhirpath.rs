//! `chartward fhirpath`: evaluates an expression on a resource, for people who write SearchParameters and invariants.
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::fhirpath::{Element, Environment, Expression, Value};
use crate::model::{Temporal, from_xml, minify, parse};

use super::clock::now;

/// Evaluate a FHIRPath expression on a resource. Exit code 1 if the expression or the resource cannot be read, or the evaluation
/// fails
#[derive(clap::Args)]
pub struct Arguments {
    /// The expression, such as "Patient.name.given.first()"
    #[arg(required_unless_present = "cases")]
    expression: Option<String>,
    /// A resource in JSON or XML; standard input if omitted or `-`
    file: Option<PathBuf>,
    /// Report the name of an element that the type does not have as an error
    #[arg(long)]
    strict: bool,
    /// Evaluate many expressions instead: a JSON array of objects with `expression`, `resource` and optionally `strict`. Prints
    /// one line of JSON for each, `{"values": [{"type", "text"}]}` or `{"error"}`
    #[arg(long, conflicts_with_all = ["expression", "file", "strict"])]
    cases: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    if let Some(path) = &arguments.cases {
        for case in cases_of(path)? {
            let text = |name: &str| case.get(name).map(serde_json::Value::to_string).unwrap_or_default();
            let expression = case.get("expression").and_then(serde_json::Value::as_str).unwrap_or_default();
            let strict = case.get("strict") == Some(&true.into());
            let answer = evaluated(expression, text("resource").into_bytes(), strict, typed);
            let answer =
                answer.map_or_else(|error| json!({"error": error}), |values| json!({"values": values}));
            writeln!(out, "{answer}").map_err(|error| error.to_string())?;
        }
        return Ok(());
    }
    let bytes = read(arguments.file.as_deref())?;
    let expression = arguments.expression.as_deref().unwrap_or_default();
    let lines = evaluated(expression, bytes, arguments.strict, line)?;
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(|error| error.to_string())
}

/// The bytes of a file, or of standard input if the path is omitted or `-`.
pub(super) fn read(path: Option<&Path>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match path {
        Some(path) if path.as_os_str() != "-" => {
            bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        _ => {
            std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
        }
    }
    Ok(bytes)
}

/// The cases in a file: a JSON array.
pub(super) fn cases_of(path: &Path) -> Result<Vec<serde_json::Value>, String> {
    serde_json::from_slice(&read(Some(path))?).map_err(|error| format!("{}: {error}", path.display()))
}

/// The values that an expression selects from a resource in JSON or XML, each formatted by `show`.
fn evaluated<T>(
    expression: &str,
    bytes: Vec<u8>,
    strict: bool,
    show: impl Fn(&Value<'_>) -> T,
) -> Result<Vec<T>, String> {
    let expression = Expression::compile(expression).map_err(|error| error.to_string())?;
    let is_xml = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    let tree = if is_xml {
        from_xml(&bytes).map_err(|unreadable| unreadable.outcome.to_json())?
    } else {
        parse(bytes).map_err(|error| error.to_string())?
    };
    let resource = Element::resource(tree.root()).ok_or("the file holds no resource of R4")?;
    let environment = Environment { strict, ..Environment::of(resource, Temporal::from_millis(now())) };
    let values = expression.evaluate(&environment, resource).map_err(|error| error.to_string())?;
    Ok(values.iter().map(show).collect())
}

/// A value with the name of its type: a FHIR type for an element; a FHIRPath system type with a lower-case first letter.
fn typed(value: &Value<'_>) -> serde_json::Value {
    let type_name = match value {
        Value::Element(element) => element.def.name.to_string(),
        other => {
            let mut letters = other.system_type().unwrap_or("?").chars();
            letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
        }
    };
    let text = value.to_text().map(|text| text.into_owned()).unwrap_or_default();
    let text = match value.system() {
        Value::Date(_) | Value::DateTime(_) => format!("@{text}"),
        Value::Time(_) => format!("@T{text}"),
        _ => text,
    };
    json!({"type": type_name, "text": text})
}

fn line(value: &Value<'_>) -> String {
    if let Some(text) = value.to_text() {
        return text.into_owned();
    }
    match value {
        Value::Element(element) => {
            let mut json = String::new();
            element.node.or(element.sibling).into_iter().for_each(|node| minify(node, &mut json));
            json
        }
        Value::Target(def) => def.name.to_string(),
        Value::Type { namespace, name } => format!("{namespace}.{name}"),
        _ => String::new(),
    }
}

//! `chartward fhirpath`: evaluates an expression on a resource, for people who write search parameters and invariants.
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fhirpath::{Element, Environment, Expression, Value};
use crate::model::{Temporal, from_xml, minify, parse};

/// Exit code 1 if the expression or the resource cannot be read, or the evaluation fails.
#[derive(clap::Args)]
pub struct Arguments {
    /// The expression, such as "Patient.name.given.first()"
    expression: String,
    /// A resource in JSON or XML; standard input if it is left out or `-`
    file: Option<PathBuf>,
    /// Treat the name of an element that a type does not have as an error
    #[arg(long)]
    strict: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let expression = Expression::compile(&arguments.expression).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    match &arguments.file {
        Some(path) if path.as_os_str() != "-" => {
            bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        _ => {
            std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
        }
    }
    let is_xml = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    let tree = if is_xml {
        from_xml(&bytes).map_err(|outcome| outcome.to_json())?
    } else {
        parse(bytes).map_err(|error| error.to_string())?
    };
    let resource = Element::resource(tree.root()).ok_or("the file holds no resource of R4")?;
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_millis();
    let now = Temporal::from_millis(i64::try_from(millis).map_err(|error| error.to_string())?);
    let environment = Environment { strict: arguments.strict, ..Environment::of(resource, now) };
    let values = expression.evaluate(&environment, resource).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    values.iter().try_for_each(|value| writeln!(out, "{}", line(value))).map_err(|error| error.to_string())
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

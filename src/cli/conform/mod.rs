//! `chartward conform`: runs the scenarios of `conformance/` against a FHIR server by its URL, prints a table, and writes
//! a TestReport.

mod run;
mod scenario;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

pub use run::{Report, Target};
pub use scenario::{Scenario, scenarios};

/// Exit code 1 if a scenario does not hold.
#[derive(clap::Args)]
pub struct Arguments {
    /// The base URL, such as http://127.0.0.1:8080/fhir
    url: String,
    /// An access token of the hospital's own system
    #[arg(long)]
    token: Option<String>,
    /// A ready file of `serve` or `demo`, whose tokens stand for the other parties
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Run the scenarios of a chapter only, or one by its id
    #[arg(long)]
    only: Option<String>,
    /// The server's default policy, for the scenarios that need another than that of a new deployment
    #[arg(long)]
    policy: Option<String>,
    /// Where to write a TestReport resource
    #[arg(long)]
    report: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut tokens: BTreeMap<String, String> = BTreeMap::new();
    if let Some(path) = &arguments.ready_file {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
        let ready: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
        for (name, token) in ready.get("tokens").and_then(serde_json::Value::as_object).into_iter().flatten()
        {
            tokens.insert(name.clone(), token.as_str().unwrap_or_default().to_owned());
        }
    }
    if let Some(token) = &arguments.token {
        tokens.insert("ehr".to_owned(), token.clone());
    }
    let mut target = Target::new(&arguments.url, tokens);
    if let Some(policy) = &arguments.policy {
        target = target.with_policy(policy);
    }
    let chosen: Vec<Scenario> = scenarios()?
        .into_iter()
        .filter(|scenario| arguments.only.as_deref().is_none_or(|only| scenario.id.starts_with(only)))
        .collect();
    let report = target.run(&chosen);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.table()).map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.report {
        std::fs::write(path, report.test_report()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if report.failed() == 0 { Ok(()) } else { Err(format!("{} scenarios do not hold", report.failed())) }
}

//! `chartward conform`: runs the scenarios of `conformance/` against a FHIR server by its URL, prints a table, and writes
//! a TestReport. What it cannot run it skips, and says why.

mod run;
mod scenario;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::stderr::report;

pub use run::{Report, Target};
pub use scenario::{Scenario, ScenarioKind, scenarios};

/// Exit code 0: what was run holds; 1: a scenario does not hold; 2: they could not be run.
#[derive(clap::Args)]
pub struct Arguments {
    /// The base URL, such as http://127.0.0.1:8080/fhir
    url: String,
    /// An access token of the hospital's own system
    #[arg(long)]
    token: Option<String>,
    /// A ready file of `demo`, or one like it: `scenario_tokens` (or `tokens`) by the names of the parties. Scenarios whose
    /// parties have none are skipped
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Run the scenarios of a chapter only (http, search, consent or flows), or those whose ids begin so
    #[arg(long)]
    only: Option<String>,
    /// The server's default policy, for the scenarios that need another than that of a new deployment
    #[arg(long)]
    policy: Option<String>,
    /// Where to write a TestReport resource
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What could not be run is exit code 2, since nothing is known of the server then.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    match hold(arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            report(&format!("{failed} scenarios do not hold"));
            ExitCode::FAILURE
        }
        Err(message) => {
            report(&message);
            ExitCode::from(2)
        }
    }
}

/// How many scenarios do not hold.
fn hold(arguments: &Arguments) -> Result<usize, String> {
    let all = scenarios()?;
    let only = arguments.only.as_deref().unwrap_or_default();
    let chapters: std::collections::BTreeSet<String> =
        all.iter().map(|scenario| scenario.chapter.clone()).collect();
    let chosen: Vec<Scenario> = all.into_iter().filter(|scenario| scenario.id.starts_with(only)).collect();
    if chosen.is_empty() {
        let chapters: Vec<String> = chapters.into_iter().collect();
        return Err(format!("no scenario begins with `{only}`; the chapters are {}", chapters.join(", ")));
    }
    let mut tokens = arguments.ready_file.as_deref().map_or_else(|| Ok(BTreeMap::new()), tokens_of)?;
    if let Some(token) = &arguments.token {
        tokens.insert("ehr".to_owned(), token.clone());
    }
    let mut target = Target::new(&arguments.url, tokens);
    if let Some(policy) = &arguments.policy {
        target = target.with_policy(policy);
    }
    target.reach()?;
    let report = target.run(&chosen);
    if report.waiting() == report.verdicts.len() {
        let reasons: std::collections::BTreeSet<&str> =
            report.verdicts.iter().filter_map(|verdict| verdict.waiting.as_deref()).collect();
        let reasons: Vec<&str> = reasons.into_iter().collect();
        return Err(format!("no scenario can be run: {}", reasons.join("; ")));
    }
    if let Some(path) = &arguments.report {
        std::fs::write(path, report.test_report()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.table())
        .and_then(|()| out.flush())
        .map_err(|error| format!("what came of it cannot be written: {error}"))?;
    Ok(report.failed())
}

/// The tokens of a ready file, by party.
fn tokens_of(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    let ready: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    let tokens = ready.get("scenario_tokens").or_else(|| ready.get("tokens"));
    let tokens = tokens.and_then(serde_json::Value::as_object).ok_or_else(|| failed(&"it has no tokens"))?;
    let named = |(name, token): (&String, &serde_json::Value)| {
        let token = token.as_str().ok_or_else(|| failed(&format!("the token of {name} is no text")))?;
        Ok((name.clone(), token.to_owned()))
    };
    tokens.iter().map(named).collect()
}

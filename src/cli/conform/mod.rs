//! `chartward conform`: runs the scenarios of `conformance/` against the FHIR server at a URL, prints a table, and writes a
//! TestReport. Scenarios that cannot run are skipped with a reason.

mod run;
mod scenario;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::stderr::report;

pub use run::{Report, Target};
pub use scenario::{Scenario, ScenarioKind, scenarios};

/// Run the conformance scenarios. Exit code 0: all scenarios that ran passed; 1: a scenario failed; 2: no scenario could run
#[derive(clap::Args)]
pub struct Arguments {
    /// Base URL of the server, such as http://127.0.0.1:8080/fhir
    url: String,
    /// Access token of the hospital's own system
    #[arg(long)]
    token: Option<String>,
    /// Ready file written by `demo`, or a similar one: `scenario_tokens` (or `tokens`) by the names of the parties. Scenarios
    /// with a party that has no token are skipped
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// Run only the scenarios of a chapter (http, search, consent or flows), or those whose ids begin with this text
    #[arg(long)]
    only: Option<String>,
    /// Default policy of the server, for scenarios that need another policy than that of a new deployment
    #[arg(long)]
    policy: Option<String>,
    /// Write a TestReport resource to this file
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Runs the scenarios. Exit code 2 means that nothing could run, so nothing is known about the server.
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

/// Runs the chosen scenarios; returns how many failed.
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

/// The tokens of a ready file, by the name of the party.
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

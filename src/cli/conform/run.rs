//! Runs scenarios over HTTP and reports the results.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::fhirpath::{Element, Environment, Expression, Value};
use crate::model::{Temporal, Tree, from_xml, hex, parse};
use crate::store::random_bytes;

use super::super::clock::now;
use super::super::response::ReceivedResponse;
use super::scenario::{Expect, Scenario, ScenarioStep, StepRequest};

/// A server under test.
pub struct Target {
    base_url: String,
    tokens: BTreeMap<String, String>,
    /// The default policy of the server, if it is known to differ from that of a new deployment.
    policy: Option<String>,
    agent: ureq::Agent,
}

/// The result of a scenario: passed, failed or skipped.
pub struct Verdict {
    pub id: String,
    pub title: String,
    pub fault: Option<String>,
    /// Why the scenario was skipped, if it was.
    pub waiting: Option<String>,
}

/// The results of a run.
pub struct Report {
    pub base_url: String,
    pub verdicts: Vec<Verdict>,
}

/// The parts of an answer that scenarios check.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    tree: Option<Tree>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The values of a FHIRPath expression on the body, as text separated by commas.
    fn evaluate(&self, expression: &str) -> Result<String, String> {
        let tree = self.tree.as_ref().ok_or("the answer holds no resource")?;
        let resource = Element::resource(tree.root()).ok_or("the answer is no resource of R4")?;
        let compiled = Expression::compile(expression).map_err(|error| format!("`{expression}`: {error}"))?;
        let environment = Environment::of(resource, Temporal::from_millis(now()));
        let values =
            compiled.evaluate(&environment, resource).map_err(|error| format!("`{expression}`: {error}"))?;
        let texts: Vec<String> = values
            .iter()
            .map(|value| Value::to_text(value).map_or_else(String::new, |text| text.into_owned()))
            .collect();
        Ok(texts.join(","))
    }
}

/// The longest time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;

impl Target {
    /// A server at a base URL, with the tokens of the parties that scenarios name.
    #[must_use]
    pub fn new(base_url: &str, tokens: BTreeMap<String, String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .build();
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            tokens,
            policy: None,
            agent: config.into(),
        }
    }

    /// The same server, which has this default policy.
    #[must_use]
    pub fn with_policy(self, policy: &str) -> Self {
        Self { policy: Some(policy.to_owned()), ..self }
    }

    /// Checks that a FHIR server answers at the base URL.
    ///
    /// # Errors
    /// If none answers: the reason, as a sentence.
    pub(super) fn reach(&self) -> Result<(), String> {
        let none = |reason: String| format!("no FHIR server answers at {}: {reason}", self.base_url);
        let answer = self.ask("none", "GET", "/metadata", &[("Accept", "application/fhir+json")], None);
        let answer = answer.map_err(none)?;
        let is_statement = parse(answer.body)
            .is_ok_and(|tree| tree.root().str_at("resourceType") == Some("CapabilityStatement"));
        if is_statement || matches!(answer.status, 401 | 403) {
            return Ok(());
        }
        Err(none(format!("/metadata is no CapabilityStatement (status {})", answer.status)))
    }

    /// Why a scenario is skipped, if it is. Steps of the own system run without a token if there is none, because open servers
    /// accept that.
    fn waiting(&self, scenario: &Scenario) -> Option<String> {
        let of_policy = scenario.policy.as_ref().filter(|policy| self.policy.as_ref() != Some(policy));
        let needs = of_policy
            .map(|policy| format!("the default policy of the server must be {policy} (--policy {policy})"));
        let has_token = |party: &str| matches!(party, "none" | "ehr") || self.tokens.contains_key(party);
        let missing: BTreeSet<&str> =
            scenario.steps.iter().map(|step| step.party.as_str()).filter(|party| !has_token(party)).collect();
        let missing: Vec<&str> = missing.into_iter().collect();
        let no_token = (!missing.is_empty()).then(|| format!("there is no token of {}", missing.join(", ")));
        scenario.waiting.clone().or(needs).or(no_token)
    }

    /// Runs scenarios one after the other.
    #[must_use]
    pub fn run(&self, scenarios: &[Scenario]) -> Report {
        let verdicts = scenarios
            .iter()
            .map(|scenario| Verdict {
                id: scenario.id.clone(),
                title: scenario.title.clone(),
                fault: if self.waiting(scenario).is_some() { None } else { self.run_one(scenario).err() },
                waiting: self.waiting(scenario),
            })
            .collect();
        Report { base_url: self.base_url.clone(), verdicts }
    }

    fn run_one(&self, scenario: &Scenario) -> Result<(), String> {
        let run = hex(&random_bytes::<6>().map_err(|error| error.to_string())?);
        let mut variables =
            BTreeMap::from([("run".to_owned(), run), ("base".to_owned(), self.base_url.clone())]);
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for (step, number) in scenario.steps.iter().zip(0_usize..) {
            let sent = sent(step, &variables);
            let told = |expected: &str, got: &str| {
                format!("step {number}\nsent     {sent}\nexpected {expected}\ngot      {got}")
            };
            let answer = self
                .send(step, &variables)
                .map_err(|error| told("an answer", &format!("no answer: {error}")))?;
            check(&step.expect, &answer, &variables, &bodies).map_err(|(expected, got)| {
                let body = shortened(&String::from_utf8_lossy(&answer.body));
                told(&expected, &format!("{got}; the answer was {} {body}", answer.status))
            })?;
            for (name, source) in &step.save {
                let value = match source.split_once(':') {
                    Some(("header", header)) => {
                        answer.header(header).map(str::to_owned).ok_or("no such header".to_owned())
                    }
                    Some(("fhirpath", expression)) => answer.evaluate(&substituted(expression, &variables)),
                    _ => Err(format!("`{source}` is no source")),
                };
                let value = value.map_err(|error| told(&format!("{source}, for ${{{name}}}"), &error))?;
                variables.insert(name.clone(), value);
            }
            bodies.push(answer.body);
        }
        Ok(())
    }

    /// Sends one request as a party.
    ///
    /// # Errors
    /// If there is no answer.
    pub(in crate::cli) fn ask(
        &self,
        party: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<ReceivedResponse, String> {
        let request = StepRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.cloned(),
            text: None,
        };
        let step = ScenarioStep {
            party: party.to_owned(),
            request,
            expect: Expect::default(),
            save: BTreeMap::new(),
        };
        let answer = self.send(&step, &BTreeMap::new())?;
        let headers =
            answer.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Ok(ReceivedResponse { status: answer.status, headers, body: answer.body })
    }

    fn send(&self, step: &ScenarioStep, variables: &BTreeMap<String, String>) -> Result<Answer, String> {
        let path = substituted(&step.request.path, variables);
        let url = if path.starts_with("http") { path } else { format!("{}{path}", self.base_url) };
        let mut request = ureq::http::Request::builder().method(step.request.method.as_str()).uri(url);
        if let Some(token) = self.tokens.get(&step.party) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut has_content_type = false;
        for (name, value) in &step.request.headers {
            has_content_type |= name.eq_ignore_ascii_case("content-type");
            request = request.header(name, substituted(value, variables));
        }
        let body = match (&step.request.body, &step.request.text) {
            (Some(body), _) => {
                if !has_content_type {
                    request = request.header("Content-Type", "application/fhir+json");
                }
                Some(in_strings(body, variables).to_string())
            }
            (None, Some(text)) => Some(substituted(text, variables)),
            (None, None) => None,
        };
        let failed = |error: ureq::Error| error.to_string();
        let response = match body {
            Some(body) => self.agent.run(request.body(body).map_err(|error| error.to_string())?),
            None => self.agent.run(request.body(()).map_err(|error| error.to_string())?),
        };
        let mut response = response.map_err(failed)?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec().map_err(failed)?;
        let is_xml = body.first() == Some(&b'<');
        let tree = if is_xml { from_xml(&body).ok() } else { parse(body.clone()).ok() };
        Ok(Answer { status, headers, body, tree })
    }
}

/// The first 400 characters, on one line.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(400).is_some() {
        short.push('…');
    }
    short
}

/// The request of a step, on one line.
fn sent(step: &ScenarioStep, variables: &BTreeMap<String, String>) -> String {
    let request = &step.request;
    let mut line = format!("{} {}", request.method, substituted(&request.path, variables));
    for (name, value) in &request.headers {
        // Writing to a String cannot fail.
        let _ = write!(line, " {name}: {}", substituted(value, variables));
    }
    let body = request.body.as_ref().map(|body| in_strings(body, variables).to_string());
    if let Some(body) = body.or_else(|| request.text.as_ref().map(|text| substituted(text, variables))) {
        let _ = write!(line, " {}", shortened(&body));
    }
    format!("{line} (as {})", step.party)
}

fn substituted(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = text.to_owned();
    for (name, value) in variables {
        out = out.replace(&format!("${{{name}}}"), value);
    }
    out
}

/// A JSON value with the variables in its strings replaced.
fn in_strings(value: &serde_json::Value, variables: &BTreeMap<String, String>) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => substituted(text, variables).into(),
        serde_json::Value::Array(items) => items.iter().map(|item| in_strings(item, variables)).collect(),
        serde_json::Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), in_strings(value, variables))).collect()
        }
        other => other.clone(),
    }
}

/// The expected and the actual result, if they differ.
fn check(
    expect: &Expect,
    answer: &Answer,
    variables: &BTreeMap<String, String>,
    bodies: &[Vec<u8>],
) -> Result<(), (String, String)> {
    let differ = |expected: String, got: String| Err((expected, got));
    if !expect.status.contains(&answer.status) {
        let any = expect.status.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
        return differ(format!("status {any}"), format!("status {}", answer.status));
    }
    for (name, pattern) in &expect.headers {
        let pattern = substituted(pattern, variables);
        let expected = format!("the header {name}, which matches {pattern}");
        let Some(value) = answer.header(name) else {
            return differ(expected, "no such header".to_owned());
        };
        match regex::Regex::new(&pattern) {
            Ok(pattern) if pattern.is_match(value) => {}
            Ok(_) => return differ(expected, format!("`{value}`")),
            Err(error) => return differ(expected, error.to_string()),
        }
    }
    for name in &expect.absent_headers {
        if let Some(value) = answer.header(name) {
            return differ(format!("no header {name}"), format!("`{value}`"));
        }
    }
    if expect.empty_body == Some(true) && !answer.body.is_empty() {
        return differ("no body".to_owned(), format!("{} bytes", answer.body.len()));
    }
    if let Some(step) = expect.same_body_as_step
        && bodies.get(step) != Some(&answer.body)
    {
        return differ(format!("the body of step {step}, byte for byte"), "another body".to_owned());
    }
    for expression in &expect.fhirpath {
        let expression = substituted(expression, variables);
        match answer.evaluate(&expression) {
            Ok(value) if value == "true" => {}
            Ok(value) => return differ(format!("`{expression}` is true"), format!("`{value}`")),
            Err(error) => return differ(format!("`{expression}` is true"), error),
        }
    }
    Ok(())
}

impl Report {
    #[must_use]
    pub fn failed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.fault.is_some()).count()
    }

    #[must_use]
    pub fn waiting(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.waiting.is_some()).count()
    }

    #[must_use]
    pub fn held(&self) -> usize {
        self.verdicts.len() - self.failed() - self.waiting()
    }

    /// One line per scenario with its failures below, and the count at the end.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        for verdict in &self.verdicts {
            // Writing to a String cannot fail, here and below.
            let mark = match (&verdict.fault, &verdict.waiting) {
                (Some(_), _) => "FAIL",
                (None, Some(_)) => "skip",
                (None, None) => "ok  ",
            };
            let _ = writeln!(out, "{mark} {}", verdict.id);
            let told = verdict.fault.iter().chain(&verdict.waiting);
            for line in told.flat_map(|told| told.lines()) {
                let _ = writeln!(out, "     {line}");
            }
        }
        let run = self.verdicts.len() - self.waiting();
        let _ = write!(out, "{} of {run} scenarios hold at {}", self.held(), self.base_url);
        if self.waiting() > 0 {
            let _ = write!(out, "; {} are skipped, for the reasons above", self.waiting());
        }
        out
    }

    /// The TestReport resource (R4 testreport.html).
    #[must_use]
    pub fn test_report(&self) -> String {
        let result = |verdict: &Verdict| match (&verdict.fault, &verdict.waiting) {
            (Some(_), _) => "fail",
            (None, Some(_)) => "skip",
            (None, None) => "pass",
        };
        let tests: Vec<serde_json::Value> = self
            .verdicts
            .iter()
            .map(|verdict| {
                let mut assertion = json!({"result": result(verdict)});
                let told = verdict.fault.as_ref().or(verdict.waiting.as_ref());
                if let (Some(told), Some(object)) = (told, assertion.as_object_mut()) {
                    object.insert("message".to_owned(), json!(told));
                }
                json!({"name": verdict.id, "description": verdict.title, "action": [{"assert": assertion}]})
            })
            .collect();
        let failed = self.failed();
        json!({
            "resourceType": "TestReport",
            "status": "completed",
            "testScript": {"display": "Chartward conformance scenarios"},
            "result": if failed == 0 { "pass" } else { "fail" },
            "tester": format!("chartward {}", env!("CARGO_PKG_VERSION")),
            "issued": Temporal::from_millis(now()).to_text(),
            "participant": [{"type": "server", "uri": self.base_url}],
            "test": tests,
        })
        .to_string()
    }
}

//! The scenarios as data: requests and what must come of them.
use std::collections::BTreeMap;
use std::io::Read as _;

use serde::Deserialize;
use serde_json::Value;

/// A file of scenarios.
#[derive(Debug, Deserialize)]
struct File {
    chapter: String,
    scenarios: Vec<Scenario>,
}

/// One scenario: steps that follow each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub id: String,
    pub title: String,
    /// The code of the interaction that it is about.
    pub interaction: String,
    pub kind: ScenarioKind,
    /// What must be served before the scenario can hold; until then it is not run.
    pub waiting: Option<String>,
    /// The default policy that the server must have; without one its own will do.
    pub policy: Option<String>,
    pub steps: Vec<ScenarioStep>,
    #[serde(skip)]
    pub chapter: String,
}

/// What comes of the interaction that a scenario is about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioKind {
    Success,
    Error,
    /// Refused, or answered as if there were nothing, for who asks.
    Unauthorized,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioStep {
    /// Who sends it: a name of a token, `none` for nobody.
    #[serde(default = "own_system", rename = "as")]
    pub party: String,
    pub request: StepRequest,
    pub expect: Expect,
    /// Names and where their values are taken from: `fhirpath:` an expression, `header:` a header.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

fn own_system() -> String {
    "ehr".to_owned()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRequest {
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    pub text: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub status: Vec<u16>,
    /// Names and regular expressions that the values match.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub absent_headers: Vec<String>,
    /// Expressions that are true of the answer.
    #[serde(default)]
    pub fhirpath: Vec<String>,
    /// The body is that of an earlier step, byte for byte.
    pub same_body_as_step: Option<usize>,
    pub empty_body: Option<bool>,
}

/// All scenarios, as they are embedded.
///
/// # Errors
/// If a file does not follow the form.
pub fn scenarios() -> Result<Vec<Scenario>, String> {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scenarios.json.deflate"));
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(packed).read_to_string(&mut text).map_err(|error| error.to_string())?;
    // The order of keys and unknown keys of a file (its title and source) are for its readers.
    let files: Vec<File> =
        serde_json::from_str(&text).map_err(|error| format!("a scenario file: {error}"))?;
    Ok(files
        .into_iter()
        .flat_map(|file| {
            let chapter = file.chapter;
            file.scenarios.into_iter().map(move |scenario| Scenario { chapter: chapter.clone(), ..scenario })
        })
        .collect())
}

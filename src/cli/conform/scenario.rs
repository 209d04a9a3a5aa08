//! The scenarios as data: requests and the answers expected for them.
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

/// A scenario: steps that run one after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub id: String,
    pub title: String,
    /// The code of the tested interaction.
    pub interaction: String,
    pub kind: ScenarioKind,
    /// Skips the scenario with this reason, for example a feature that is not served yet.
    pub waiting: Option<String>,
    /// The default policy that the server must have; any policy will do if there is none.
    pub policy: Option<String>,
    pub steps: Vec<ScenarioStep>,
    #[serde(skip)]
    pub chapter: String,
}

/// The outcome of the interaction that a scenario tests.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioKind {
    Success,
    Error,
    /// The party is refused, or answered as if there were no data.
    Unauthorized,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioStep {
    /// The party that sends the request, by the name of its token; `none` sends no token.
    #[serde(default = "own_system", rename = "as")]
    pub party: String,
    pub request: StepRequest,
    pub expect: Expect,
    /// Variables to save from the answer, each from a source: `fhirpath:` and an expression, or `header:` and a header's name.
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
    /// Headers, and regular expressions that their values must match.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub absent_headers: Vec<String>,
    /// FHIRPath expressions that must be true of the answer.
    #[serde(default)]
    pub fhirpath: Vec<String>,
    /// The body must equal the body of the step with this number (from 0), byte for byte.
    pub same_body_as_step: Option<usize>,
    pub empty_body: Option<bool>,
}

/// All scenarios, which are embedded in the program.
///
/// # Errors
/// If a file does not have the expected structure.
pub fn scenarios() -> Result<Vec<Scenario>, String> {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scenarios.json.deflate"));
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(packed).read_to_string(&mut text).map_err(|error| error.to_string())?;
    // Unknown members of a file (its title and source) are for human readers only.
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

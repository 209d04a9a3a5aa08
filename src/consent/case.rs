//! Decision cases as data: Consents, a requester and a resource in the JSON format of published decision corpora. They are
//! converted into the types that the server decides with, so that a case tests the server's own code.
use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::model::{Interval, Temporal, message_error, parse};
use crate::search::plain;

use super::codes::{Code, CodeSystem};
use super::compiled_consent::{CompiledConsent, compile};
use super::data::DataFacts;
use super::decide::decide;
use super::decision::{Basis, Decision};
use super::policy::{BreakGlassMode, Combining, DefaultPolicy, Settings};
use super::requester::{Counting, Requester};

message_error! {
    /// Why a published decision case cannot be read.
    pub InvalidCase
}

/// A parsed case.
pub struct Case {
    pub id: String,
    consents: Vec<CompiledConsent>,
    data: DataFacts,
    requester: Requester,
    settings: Settings,
}

/// The decision on a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseDecision {
    /// `permit`, `deny` or `not-governed`.
    pub decision: &'static str,
    /// The code of the [`Basis`].
    pub basis: &'static str,
    /// The Consent and the path of the rule, or the paragraph of the law; empty for any other basis.
    pub rule: String,
}

impl Case {
    /// Parses a case. A string in place of a Consent or a resource is a name, which `defs` maps to JSON.
    ///
    /// # Errors
    /// A message that names what cannot be read.
    pub fn read(case: &Json, defs: &Json) -> Result<Self, InvalidCase> {
        let resolve = |json: &Json| match json {
            Json::String(name) => {
                defs.get(name).cloned().ok_or_else(|| format!("there is no definition `{name}`"))
            }
            other => Ok(other.clone()),
        };
        let settings = settings(case.get("settings").unwrap_or(&Json::Null));
        let resource = resolve(case.get("resource").ok_or("the case has no resource")?)?;
        let data = data(&resource, case.get("facts"))?;
        let mut requester = requester(case, &settings.own)?;
        if requester.break_glass.as_deref() == Some(ANY_PATIENT) {
            requester.break_glass = data.owners.first().cloned();
        }
        let mut consents = Vec::new();
        for consent in case.get("consents").and_then(Json::as_array).into_iter().flatten() {
            let consent = resolve(consent)?;
            // A Consent whose patient does not resolve is refused when it is written.
            if consent.get("patient").is_some_and(|patient| patient.get("reference").is_none()) {
                continue;
            }
            let tree = parse(consent.to_string().into_bytes()).map_err(|error| error.to_string())?;
            consents.push(compile(tree.root()));
        }
        Ok(Self { id: text(case, "id").to_owned(), consents, data, requester, settings })
    }

    /// Decides the case with the server's own code.
    #[must_use]
    pub fn decide(&self) -> CaseDecision {
        let Decision { permit, basis } = decide(&self.consents, &self.data, &self.requester, &self.settings);
        let decision = match (permit, self.data.owners.is_empty()) {
            (_, true) => "not-governed",
            (true, false) => "permit",
            (false, false) => "deny",
        };
        let rule = match &basis {
            Basis::Consent { id, rule } => format!("Consent/{id} {rule}").trim_end().to_owned(),
            Basis::Law(paragraph) => (*paragraph).to_owned(),
            Basis::RightOfAccess | Basis::DefaultPolicy | Basis::BreakGlass | Basis::NotGoverned => {
                String::new()
            }
        };
        CaseDecision { decision, basis: basis.code(), rule }
    }
}

/// The patient for whom the glass is broken, where the case names none: the first data subject of its resource.
const ANY_PATIENT: &str = "*";

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn texts(json: &Json, key: &str) -> Vec<String> {
    let items = json.get(key).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(Json::as_str).map(str::to_owned).collect()
}

fn list<'j>(json: &'j Json, key: &str) -> &'j [Json] {
    json.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn pair(json: &Json) -> (String, String) {
    (text(json, "system").to_owned(), text(json, "value").to_owned())
}

fn code(json: &Json) -> Code {
    match json {
        Json::String(purpose) => Code::purpose(purpose),
        other => Code::new(CodeSystem::of(text(other, "system")), text(other, "code")),
    }
}

fn is_true(json: &Json, key: &str) -> bool {
    json.get(key) == Some(&Json::Bool(true))
}

fn settings(json: &Json) -> Settings {
    let set = |key: &str| texts(json, key).into_iter().collect::<BTreeSet<String>>();
    let scopes = texts(json, "scopes");
    Settings {
        // Without a default policy in the case, only what its Consents permit is permitted.
        default_policy: DefaultPolicy::parse(text(json, "default")).unwrap_or(DefaultPolicy::Deny),
        combining: Combining::parse(text(json, "combining")).unwrap_or_default(),
        any_purpose_is_enough: text(json, "multi_purpose") == "any",
        own: set("own"),
        no_self_labels: texts(json, "no_self_labels"),
        part2_programs: set("part2_programs"),
        part2_general: is_true(json, "part2_general"),
        strict: false,
        unsupported_denies: text(json, "unsupported") == "deny",
        scopes: if scopes.is_empty() { vec!["patient-privacy".to_owned()] } else { scopes },
        break_glass: BreakGlassMode::parse(text(json, "btg")).unwrap_or_default(),
        spares_treatment: false,
    }
}

/// The facts of a resource. Those that the case gives in `facts` replace the computed ones.
fn data(resource: &Json, given: Option<&Json>) -> Result<DataFacts, InvalidCase> {
    let tree = parse(resource.to_string().into_bytes()).map_err(|error| error.to_string())?;
    let mut facts = DataFacts::of(tree.root());
    for (key, value) in given.and_then(Json::as_object).into_iter().flatten() {
        let items = value.as_array().into_iter().flatten().filter_map(Json::as_str);
        let set = items.map(str::to_owned).collect();
        match key.as_str() {
            "owners" => facts.owners = set,
            "authors" => facts.authors = set,
            "custodians" => facts.custodians = set,
            "in" => facts.incoming = set,
            "out" => facts.outgoing = set,
            "mime" => facts.mime_types = set,
            "profiles" => facts.profiles = set,
            "when" => facts.when = interval(value),
            other => return Err(format!("the fact `{other}` is not known").into()),
        }
    }
    Ok(facts)
}

fn interval(value: &Json) -> Option<Interval> {
    let [start, end] = value.as_array()?.as_slice() else { return None };
    let at = |json: &Json| json.as_str().and_then(Temporal::parse).map(|date| date.interval());
    Some(Interval { start: at(start)?.start, end: at(end)?.end })
}

/// The Consent actions that a case may ask for (code system `consentaction`).
const ACTIONS: [&str; 5] = ["access", "use", "disclose", "correct", "collect"];
const READS: [&str; 7] = ["read", "vread", "search", "history", "everything", "export", "subscription"];

fn requester(case: &Json, own: &BTreeSet<String>) -> Result<Requester, InvalidCase> {
    let context = case.get("context").unwrap_or(&Json::Null);
    let actors: BTreeSet<String> = texts(context, "actors").iter().map(|actor| plain(actor)).collect();
    let interaction = context.get("interaction").and_then(Json::as_str).unwrap_or("read");
    let asked = texts(context, "actions");
    let named: Vec<&'static str> =
        ACTIONS.into_iter().filter(|action| asked.iter().any(|asked| asked == action)).collect();
    let actions = match () {
        () if !named.is_empty() => named,
        () if !READS.contains(&interaction) => vec!["correct", "collect"],
        () if actors.is_disjoint(own) => vec!["access", "use", "disclose"],
        () => vec!["access", "use"],
    };
    let now = context.get("now").and_then(Json::as_str).unwrap_or("2026-01-01T00:00:00Z");
    let now = Temporal::parse(now).ok_or_else(|| format!("`{now}` is no time"))?;
    let breaks = context.get("btg").is_some_and(|btg| btg != &Json::Bool(false) && !btg.is_null());
    let glass_of = context.get("btg_patient").and_then(Json::as_str).unwrap_or(ANY_PATIENT);
    let directory = case.get("directory").and_then(Json::as_object).into_iter().flatten();
    Ok(Requester {
        now: now.interval().start,
        actors,
        identifiers: list(context, "identifiers").iter().map(pair).collect(),
        purposes: list(context, "purposes").iter().map(code).collect(),
        collects: actions.contains(&"collect"),
        actions,
        environment: texts(context, "env").into_iter().collect(),
        payer: is_true(context, "payer"),
        reads_files: true,
        counting: Counting::All,
        self_patient: context.get("subject_patient").and_then(Json::as_str).map(str::to_owned),
        represents: texts(context, "represents").into_iter().collect(),
        directory: directory
            .map(|(reference, entry)| {
                (reference.clone(), list(entry, "identifier").iter().map(pair).collect())
            })
            .collect(),
        unresolved: texts(context, "unresolved").into_iter().collect(),
        break_glass: breaks.then(|| glass_of.to_owned()),
        treats_here: false,
        house_identifiers: BTreeSet::new(),
        person: BTreeSet::new(),
        person_identifiers: BTreeSet::new(),
    })
}

//! `chartward selftest`: checks this program against known answers. A compiler may turn correct source into a program that
//! decides wrongly (docs/decisions/0011-recursion-under-max.md), so the program itself is tested before it serves: decisions with
//! every kind of criterion, expressions, searches, and whether a hidden and an absent resource get the same answer.
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::auth::{Party, Role, Scopes};
use crate::consent::Case;
use crate::fhirpath::{Element, Environment, Expression};
use crate::model::{Temporal, parse};
use crate::operations::{Answer, Engine, Payload, Refusal, Request, Verb, decode_pairs};

use super::config::Config;
use super::house::House;

/// `conformance/known-answers.json`.
const KNOWN_ANSWERS: &str = include_str!("../../conformance/known-answers.json");

/// Ask this program a few hundred questions with known answers and print each; exit code 1 if an answer differs. `serve` does the
/// same before it listens
#[derive(clap::Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<(), String> {
    let known = known_answers()?;
    let asked = ask(&known)?;
    let mut out = std::io::stdout().lock();
    for Check { question, expected, got } in &asked {
        let mark = if expected == got { "ok  " } else { "FAIL" };
        writeln!(out, "{mark} {question}: {got}").map_err(|error| error.to_string())?;
    }
    drop(out);
    judge(&asked)
}

/// Refuses to run a program that does not give the known answers.
///
/// # Errors
/// The first question with a wrong answer, and how many there are.
pub(super) fn assure() -> Result<(), String> {
    judge(&ask(&known_answers()?)?)
}

fn known_answers() -> Result<Json, String> {
    serde_json::from_str(KNOWN_ANSWERS).map_err(|error| format!("the known answers: {error}"))
}

/// A question with its known answer and the program's answer.
struct Check {
    question: String,
    expected: String,
    got: String,
}

fn judge(asked: &[Check]) -> Result<(), String> {
    let wrong: Vec<&Check> = asked.iter().filter(|asked| asked.expected != asked.got).collect();
    let Some(first) = wrong.first() else { return Ok(()) };
    Err(format!(
        "this program does not answer as it must and therefore does not serve: {} of {} known answers differ, the first is \
         `{}`: expected {}, got {}. Build it again with the compiler that rust-toolchain.toml names",
        wrong.len(),
        asked.len(),
        first.question,
        first.expected,
        first.got
    ))
}

fn ask(known: &Json) -> Result<Vec<Check>, String> {
    let mut asked = Vec::new();
    for row in list(known, "criteria") {
        of_criterion(known, row, &mut asked)?;
    }
    for case in list(known, "decisions") {
        asked.push(decided(known, text(case, "title"), case, text(case, "expected"))?);
    }
    for row in list(known, "expressions") {
        asked.push(evaluated(row)?);
    }
    let house = House::in_memory()?;
    let engine = house.engine(&Config::default(), "http://127.0.0.1/fhir", false)?;
    let own = Arc::new(Party::open("Organization/hospital"));
    for resource in list(known, "stored") {
        let path = format!("{}/{}", text(resource, "resourceType"), text(resource, "id"));
        let put = send(&engine, &own, Verb::Put, &path, Some(resource));
        put.map_err(|refusal| format!("{path} of the known answers: {}", refusal.outcome.to_json()))?;
    }
    for row in list(known, "searches") {
        asked.push(found(&engine, &own, row));
    }
    asked.push(hidden_as_absent(&engine));
    Ok(asked)
}

/// Checks that a criterion permits or denies data that meets it, leaves data that misses it to the default, and denies where it
/// cannot be evaluated: as the only rule of a Consent, and as an exception within the opposite rule.
fn of_criterion(known: &Json, row: &Json, asked: &mut Vec<Check>) -> Result<(), String> {
    let effects = row.get("effects").and_then(Json::as_array);
    for (effect, opposite) in [("permit", "deny"), ("deny", "permit")] {
        if effects.is_some_and(|effects| !effects.iter().any(|known| known == effect)) {
            continue;
        }
        let outcomes = [("meets", effect), ("misses", opposite), ("unknown", "deny")];
        for (situation, expected) in outcomes {
            let Some(changes) = row.get(situation) else { continue };
            let mut provision = row.get("provision").cloned().unwrap_or_default();
            set(&mut provision, "type", json!(effect));
            let exception = json!({"type": opposite, "provision": [provision.clone()]});
            for (how, provision) in [("alone", provision), ("as an exception", exception)] {
                let mut case = changes.clone();
                let consent = json!({"resourceType": "Consent", "id": "c", "status": "active",
                    "patient": {"reference": "Patient/p"}, "provision": provision});
                set(&mut case, "consents", json!([consent]));
                let default = if effect == "permit" { "deny" } else { "permit-all" };
                set(&mut case, "settings", json!({"default": default}));
                let title = format!("{effect} by {}, {how}, {situation}", text(row, "criterion"));
                asked.push(decided(known, &title, &case, expected)?);
            }
        }
    }
    Ok(())
}

/// Decides a case, whose members override those of the base that all cases share.
fn decided(known: &Json, title: &str, case: &Json, expected: &str) -> Result<Check, String> {
    let mut whole = case.clone();
    for part in ["context", "resource"] {
        let mut of_part = known.get("base").and_then(|base| base.get(part)).cloned().unwrap_or_default();
        for (name, value) in case.get(part).and_then(Json::as_object).into_iter().flatten() {
            set(&mut of_part, name, value.clone());
        }
        if let Some(members) = of_part.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        set(&mut whole, part, of_part);
    }
    let case = Case::read(&whole, &Json::Null).map_err(|error| format!("{title}: {error}"))?;
    Ok(Check {
        question: title.to_owned(),
        expected: expected.to_owned(),
        got: case.decide().decision.to_owned(),
    })
}

fn evaluated(row: &Json) -> Result<Check, String> {
    let question = text(row, "expression");
    let evaluate = || -> Result<Vec<String>, String> {
        let resource = row.get("resource").cloned().unwrap_or_default().to_string();
        let tree = parse(resource.into_bytes()).map_err(|error| error.to_string())?;
        let resource = Element::resource(tree.root()).ok_or("it is no resource")?;
        let expression = Expression::compile(question).map_err(|error| error.to_string())?;
        let environment = Environment::of(resource, Temporal::from_millis(0));
        let values = expression.evaluate(&environment, resource).map_err(|error| error.to_string())?;
        Ok(values.iter().map(|value| value.to_text().unwrap_or_default().into_owned()).collect())
    };
    let expected: Vec<&str> = list(row, "values").iter().filter_map(Json::as_str).collect();
    Ok(Check {
        question: question.to_owned(),
        expected: expected.join(", "),
        got: evaluate().map_or_else(|error| error, |values| values.join(", ")),
    })
}

fn send(
    engine: &Engine,
    party: &Arc<Party>,
    verb: Verb,
    url: &str,
    body: Option<&Json>,
) -> Result<Answer, Refusal> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let tree = body.and_then(|body| parse(body.to_string().into_bytes()).ok());
    let request = Request {
        payload: tree.map_or(Payload::None, Payload::Resource),
        ..Request::new(verb, path.split('/').map(str::to_owned).collect(), decode_pairs(query))
    };
    engine.handle(party, request)
}

/// Checks the ids on the first page of a search.
fn found(engine: &Engine, party: &Arc<Party>, row: &Json) -> Check {
    let question = text(row, "query");
    let got = match send(engine, party, Verb::Get, question, None) {
        Ok(answer) => {
            let bundle: Json =
                serde_json::from_str(answer.body.json().unwrap_or_default()).unwrap_or_default();
            let matches = list(&bundle, "entry").iter().filter_map(|entry| {
                entry.get("resource").filter(|resource| text(resource, "resourceType") != "OperationOutcome")
            });
            matches.map(|resource| text(resource, "id").to_owned()).collect::<Vec<_>>().join(", ")
        }
        Err(refusal) => refusal.outcome.to_json(),
    };
    let expected: Vec<&str> = list(row, "ids").iter().filter_map(Json::as_str).collect();
    Check { question: question.to_owned(), expected: expected.join(", "), got }
}

/// Checks that an insurer without a Consent gets the same answer for a stored Patient as for one that does not exist.
fn hidden_as_absent(engine: &Engine) -> Check {
    let insurer = Arc::new(Party {
        role: Role::Insurer,
        organization: Some("Organization/acme".to_owned()),
        purposes: vec!["HPAYMT".to_owned()],
        scopes: Scopes::parse("system/*.rs"),
        ..Party::nobody()
    });
    let read = |id: &str| match send(engine, &insurer, Verb::Get, &format!("Patient/{id}"), None) {
        Ok(answer) => format!("{} {}", answer.kind.status(), answer.body.json().unwrap_or_default()),
        Err(refusal) => format!("{} {}", refusal.kind.status(), refusal.outcome.to_json()),
    };
    let absent = read("none");
    let is_refused = absent.starts_with("404 ");
    Check {
        question: "a hidden resource gets the answer of an absent one".to_owned(),
        expected: if is_refused { absent } else { "404".to_owned() },
        got: read("p"),
    }
}

fn list<'j>(json: &'j Json, name: &str) -> &'j [Json] {
    json.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn set(json: &mut Json, name: &str, value: Json) {
    if json.is_null() {
        *json = Json::Object(Map::new());
    }
    if let Some(members) = json.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::{ask, judge, known_answers};

    #[test]
    fn what_answers_otherwise_is_refused_with_a_plain_sentence() {
        let mut known = known_answers().unwrap();
        judge(&ask(&known).unwrap()).unwrap();
        known["decisions"][1]["expected"] = "permit".into();
        known["searches"][0]["ids"] = serde_json::json!(["q"]);
        let refused = judge(&ask(&known).unwrap()).unwrap_err();
        assert!(refused.contains("does not serve: 2 of "), "{refused}");
        assert!(refused.contains("a Consent that is not active counts for nothing"), "{refused}");
    }

    #[test]
    fn every_kind_of_criterion_permits_denies_and_protects() {
        let known = known_answers().unwrap();
        let rows = known["criteria"].as_array().unwrap();
        for kind in [
            "actor",
            "purpose",
            "action",
            "securityLabel",
            "class",
            "code",
            "period",
            "dataPeriod",
            "data",
            "extension",
        ] {
            let of_kind = || rows.iter().filter(|row| row["provision"].get(kind).is_some());
            assert!(of_kind().any(|row| row.get("meets").is_some()), "{kind}");
            assert!(of_kind().any(|row| row.get("misses").is_some()), "{kind}");
        }
    }
}

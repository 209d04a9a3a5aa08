//! The patients from which a user chooses one. They are searched through the API as that user, so that hidden patients stay
//! hidden and every search is recorded.
use std::sync::Arc;

use serde_json::Value;

use crate::auth::Party;
use crate::model::ResourceId;
use crate::operations::{Engine, Request, Verb};

/// The most entries of a list.
pub(super) const LISTED_MAX: usize = 20;

/// A patient or an encounter in a list.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
    /// Tells entries of the same name apart: birth date and identifiers of a patient, day and status of an encounter.
    pub(super) details: String,
}

/// The result of a search for patients.
#[derive(Default)]
pub(super) struct PatientMatches {
    pub(super) patients: Vec<Listed>,
    pub(super) note: Option<String>,
}

impl PatientMatches {
    pub(super) fn nobody() -> Self {
        Self { patients: Vec::new(), note: Some("Nobody was found.".to_owned()) }
    }
}

/// The answer to a GET request as the party, as JSON; `None` if it is refused.
pub(super) fn ask(
    engine: &Engine,
    party: &Arc<Party>,
    path: Vec<String>,
    query: Vec<(String, String)>,
) -> Option<Value> {
    let answer = engine.handle(party, Request::new(Verb::Get, path, query)).ok()?;
    serde_json::from_str(answer.body.json()?).ok()
}

/// A patient, if the party may see it.
pub(super) fn seen(engine: &Engine, party: &Arc<Party>, id: &ResourceId) -> Option<Listed> {
    listed(&ask(engine, party, vec!["Patient".to_owned(), id.to_string()], Vec::new())?)
}

/// Searches by identifier if the text contains a digit or `|`, and by the beginning of a name otherwise.
pub(super) fn find(engine: &Engine, party: &Arc<Party>, text: &str) -> PatientMatches {
    let text = text.trim();
    if text.is_empty() {
        return PatientMatches::nobody();
    }
    let is_identifier = text.contains(|letter: char| letter.is_ascii_digit() || letter == '|');
    let name = if is_identifier { "identifier" } else { "name" };
    // An unescaped comma would separate two values.
    let escaped = text.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$");
    let query = vec![(name.to_owned(), escaped), ("_count".to_owned(), LISTED_MAX.to_string())];
    let bundle = ask(engine, party, vec!["Patient".to_owned()], query);
    let entries = bundle.as_ref().and_then(|bundle| bundle.get("entry")).and_then(Value::as_array);
    let patients: Vec<Listed> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| listed(entry.get("resource")?))
        .take(LISTED_MAX)
        .collect();
    if patients.is_empty() { PatientMatches::nobody() } else { PatientMatches { patients, note: None } }
}

fn listed(resource: &Value) -> Option<Listed> {
    if resource.get("resourceType")?.as_str()? != "Patient" {
        return None;
    }
    let id = resource.get("id")?.as_str()?.to_owned();
    let texts = |value: Option<&Value>| -> Vec<String> {
        let list = value.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let name = resource.get("name").and_then(|names| names.get(0));
    let part = |part: &str| name.and_then(|name| name.get(part));
    let mut words = texts(part("given"));
    words.extend(part("family").and_then(Value::as_str).map(str::to_owned));
    let whole = part("text").and_then(Value::as_str).map(str::to_owned);
    let name = whole.filter(|_| words.is_empty()).unwrap_or_else(|| words.join(" "));
    let birth_date = resource.get("birthDate").and_then(Value::as_str).map(str::to_owned);
    let identifiers = resource.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let identifiers =
        identifiers.filter_map(|identifier| Some(identifier.get("value")?.as_str()?.to_owned()));
    let details: Vec<String> = birth_date.into_iter().chain(identifiers).collect();
    let name = if name.is_empty() { id.clone() } else { name };
    Some(Listed { id, name, details: details.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::listed;
    use serde_json::json;

    #[test]
    fn a_patient_is_told_by_name_birth_date_and_identifiers() {
        let patient = json!({
            "resourceType": "Patient", "id": "p1", "name": [{"given": ["Ann", "B."], "family": "Cole"}],
            "birthDate": "1970-01-02", "identifier": [{"value": "1"}, {"system": "x"}]
        });
        let found = listed(&patient).unwrap();
        assert_eq!((found.name.as_str(), found.details.as_str()), ("Ann B. Cole", "1970-01-02, 1"));
        assert_eq!(listed(&json!({"resourceType": "Patient", "id": "p2"})).unwrap().name, "p2");
        assert!(listed(&json!({"resourceType": "OperationOutcome", "id": "x"})).is_none());
    }
}

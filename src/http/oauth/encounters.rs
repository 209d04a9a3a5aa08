//! The encounters of a patient from which a user chooses one, newest first. They are searched as that user, like patients.
use std::sync::Arc;

use serde_json::Value;

use crate::auth::Party;
use crate::model::ResourceId;
use crate::operations::Engine;

use super::patients::{LISTED_MAX, Listed, ask};

fn search(engine: &Engine, party: &Arc<Party>, query: &[(&str, &str)]) -> Vec<Listed> {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let bundle = ask(engine, party, vec!["Encounter".to_owned()], query);
    let entries = bundle.as_ref().and_then(|bundle| bundle.get("entry")).and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| listed(entry.get("resource")?))
        .take(LISTED_MAX)
        .collect()
}

/// The latest encounters of a patient that the party may see.
pub(super) fn latest(engine: &Engine, party: &Arc<Party>, patient: &str) -> Vec<Listed> {
    let patient = format!("Patient/{patient}");
    search(engine, party, &[("subject", &patient), ("_sort", "-date"), ("_count", &LISTED_MAX.to_string())])
}

/// Whether the party may see an encounter and it belongs to the patient.
pub(super) fn is_of(engine: &Engine, party: &Arc<Party>, id: &ResourceId, patient: &str) -> bool {
    let patient = format!("Patient/{patient}");
    !search(engine, party, &[("_id", &id.to_string()), ("subject", &patient)]).is_empty()
}

fn listed(resource: &Value) -> Option<Listed> {
    if resource.get("resourceType")?.as_str()? != "Encounter" {
        return None;
    }
    let text = |path: &str| resource.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let id = text("/id")?;
    let kind = text("/type/0/text").or_else(|| text("/type/0/coding/0/display"));
    let kind = kind.or_else(|| text("/class/display")).or_else(|| text("/class/code"));
    let day = text("/period/start").map(|start| start.split('T').next().unwrap_or_default().to_owned());
    let details: Vec<String> = day.into_iter().chain(text("/status")).collect();
    Some(Listed { name: kind.unwrap_or_else(|| id.clone()), id, details: details.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::listed;
    use serde_json::json;

    #[test]
    fn an_encounter_is_told_by_kind_and_day() {
        let encounter = json!({
            "resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"},
            "period": {"start": "2026-01-02T10:00:00Z"}
        });
        let found = listed(&encounter).unwrap();
        assert_eq!((found.name.as_str(), found.details.as_str()), ("AMB", "2026-01-02, finished"));
    }
}

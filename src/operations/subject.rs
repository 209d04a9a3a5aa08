//! Patients who are named by an identifier alone: whose data they are is told when they are written, because decisions rest on
//! it.
use serde_json::{Value, json};

use crate::definitions::r4;
use crate::search::{Everything, Filter};
use crate::store::{Report, Search, View, Way};

use super::answer::Refusal;
use super::session::Session;

/// Elements of a resource that name whose data it is.
const SUBJECTS: [&str; 5] = ["subject", "patient", "beneficiary", "for", "individual"];

/// The text with a reference where the own staff names a patient by an identifier that is one patient's here. Others name
/// patients by references: by what becomes of an identifier they would learn whose it is.
///
/// # Errors
/// If the store fails.
pub(super) fn resolved(session: &Session<'_>, text: &str) -> Result<Option<String>, Refusal> {
    if !session.lens.is_own() || !text.contains("\"identifier\"") {
        return Ok(None);
    }
    let Ok(mut json) = serde_json::from_str::<Value>(text) else { return Ok(None) };
    let mut changed = false;
    for name in SUBJECTS {
        let Some(subject) = json.get_mut(name).and_then(Value::as_object_mut) else { continue };
        if subject.contains_key("reference") {
            continue;
        }
        let Some(identifier) = subject.get("identifier") else { continue };
        if let Some(patient) = patient_of(session, identifier)? {
            subject.insert("reference".to_owned(), json!(format!("Patient/{patient}")));
            changed = true;
        }
    }
    Ok(changed.then(|| json.to_string()))
}

/// The id of the one Patient that has the identifier, whoever may see it.
fn patient_of(session: &Session<'_>, identifier: &Value) -> Result<Option<String>, Refusal> {
    let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(system), Some(value)) = (text("system"), text("value")) else { return Ok(None) };
    let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let Some(param) = session.params.find(def, "identifier") else { return Ok(None) };
    let view = View::new(session.repository(), None, &Everything);
    let filter = Filter::codes(param, &[(Some(system), value)]);
    let report = Report::default();
    let rows = Search::new(&view, def, &filter, &[], &report)?.page(None, Way::Onward, 2)?;
    let [row] = rows.as_slice() else { return Ok(None) };
    Ok(session.repository().current_of_row(*row)?.map(|current| current.id.to_string()))
}

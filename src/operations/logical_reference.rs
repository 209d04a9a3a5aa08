//! Logical references: patients who are named by an identifier alone. They are resolved when a resource is written, because
//! consent decisions depend on the data subject.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::consent::{DataFacts, WORK_SYSTEM};
use crate::definitions::r4;
use crate::model::{Amendments, Issue, IssueCode, Node, Reference, ReferenceTarget, minify};
use crate::search::Filter;
use crate::store::{Change, Current};

use super::answer::Refusal;
use super::session::Session;
use super::tasks::{StaffTask, remade, task};

/// Elements that name the data subject of a resource.
const SUBJECTS: [&str; 5] = ["subject", "patient", "beneficiary", "for", "individual"];

/// Adds references where hospital staff names a patient by an identifier that exactly one Patient here has. For other parties
/// nothing is resolved: the result would reveal whose identifier it is.
///
/// # Errors
/// If the store fails.
pub(super) fn resolve(
    session: &Session<'_>,
    resource: Node<'_>,
    amendments: &mut Amendments<'_>,
) -> Result<(), Refusal> {
    if !session.lens.is_own() {
        return Ok(());
    }
    for subject in SUBJECTS.iter().filter_map(|name| resource.get(name)) {
        let identifier = subject.get("identifier").filter(|_| subject.get("reference").is_none());
        let Some(known) = identifier.and_then(of_node) else { continue };
        if let Some(patient) = patient_of(session, &known)? {
            amendments.members.insert(subject.index(), ("reference", format!("Patient/{patient}")));
        }
    }
    Ok(())
}

/// The id of the only Patient that has the identifier, stored or in the same transaction, whether or not the party may see it.
fn patient_of(session: &Session<'_>, known: &(String, String)) -> Result<Option<String>, Refusal> {
    let mut found = patients_with(session, known)?;
    found.extend(session.coming_identifiers.get(known).into_iter().flatten().cloned());
    found.sort();
    found.dedup();
    match found.as_slice() {
        [only] => Ok(Some(only.clone())),
        _ => Ok(None),
    }
}

/// System and value of an identifier that has both.
fn of_node(identifier: Node<'_>) -> Option<(String, String)> {
    Some((identifier.str_at("system")?.to_owned(), identifier.str_at("value")?.to_owned()))
}

/// The same of an identifier as JSON.
fn parts(identifier: &Value) -> Option<(String, String)> {
    let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("system")?, text("value")?))
}

/// The ids of the stored Patients that have the identifier; two at most.
fn patients_with(session: &Session<'_>, known: &(String, String)) -> Result<Vec<String>, Refusal> {
    let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
    let Some(param) = session.params.find(def, "identifier") else { return Ok(Vec::new()) };
    let filter = Filter::codes(param, &[(Some(known.0.clone()), known.1.clone())]);
    Ok(session.stored(def, &filter, 2)?.into_iter().map(|current| current.id.to_string()).collect())
}

/// How many waiting resources one write of a Patient resolves; the next write of the Patient resolves more.
const RESOLVED_MAX: usize = 500;

/// The warnings and additional changes of a write whose patient cannot be determined, or of a Patient for whom resources wait.
/// Only the own organization gets the warnings, which do not tell whether none or several patients match.
///
/// # Errors
/// If the store fails.
pub(super) fn held(
    session: &Session<'_>,
    resource: Node<'_>,
    before: Option<Node<'_>>,
) -> Result<(Vec<Issue>, Vec<Change>), Refusal> {
    let (mut remarks, mut changes) = (Vec::new(), Vec::new());
    let data = session.lens.facts_of(resource);
    if data.type_name == "Patient" {
        return Ok((remarks, waited_for(session, resource)?));
    }
    let is_work = matches!(&*data.type_name, "AuditEvent" | "Task") && data.is_work();
    let named = SUBJECTS.iter().find_map(|name| Some((*name, resource.get(name)?)));
    if data.of_unknown && !is_work {
        let message = "whose data it is cannot be told here: the records staff alone sees it until its patient is known";
        let at = format!("{}.{}", data.type_name, named.map_or("subject", |(name, _)| name));
        if before.is_none_or(|before| !DataFacts::of(before).of_unknown) {
            let mut more = json!({"focus": {"reference": data.reference}, "description": message});
            let identifier = named.and_then(|(_, subject)| subject.get("identifier"));
            if let Some(identifier) = identifier {
                let mut text = String::new();
                minify(identifier, &mut text);
                let identifier: Value = serde_json::from_str(&text).unwrap_or_default();
                set(&mut more, "for", json!({"type": "Patient", "identifier": identifier}));
            }
            changes.push(task(session, StaffTask::ResolveSubject, None, more)?);
        }
        remarks.push(Issue::warning(IssueCode::NotFound, message).at(at));
    } else if let Some((name, subject)) = named
        && data.owners.is_empty()
        && subject.str_at("reference").is_none_or(|reference| reference.starts_with('#'))
    {
        let message = "no patient of this server is named: it is shown to the own organization alone";
        remarks.push(Issue::warning(IssueCode::NotFound, message).at(format!("{}.{name}", data.type_name)));
    }
    if !session.lens.is_own() {
        remarks.clear();
    }
    Ok((remarks, changes))
}

/// The changes to resources that waited for this Patient: each gets the reference, and its Task is completed.
fn waited_for(session: &Session<'_>, patient: Node<'_>) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    let tasks = r4().resource("Task").ok_or_else(Refusal::not_found)?;
    let Some(param) = session.params.find(tasks, "patient").filter(|_| session.lens.is_own()) else {
        return Ok(changes);
    };
    let id = patient.str_at("id").unwrap_or_default();
    let mut seen = BTreeSet::new();
    for identifier in patient.items_at("identifier") {
        let (Some(system), Some(value)) = (identifier.str_at("system"), identifier.str_at("value")) else {
            continue;
        };
        let known = (system.to_owned(), value.to_owned());
        let filter = Filter::identifies(param, system, value);
        let waiting = session.stored(tasks, &filter, RESOLVED_MAX)?;
        let mut others = patients_with(session, &known)?;
        others.extend(session.coming_identifiers.get(&known).into_iter().flatten().cloned());
        if waiting.is_empty() || others.iter().any(|other| other != id) {
            continue;
        }
        for of_task in waiting {
            let Some((mut work, reference)) = to_resolve(session, &of_task)? else { continue };
            let Some((current, mut resource)) = resource_at(session, &reference)? else { continue };
            let is_written = [&reference, &format!("Task/{}", of_task.id)]
                .iter()
                .any(|written| session.coming.contains(*written));
            if is_written || !name_patient(&mut resource, &known, id) || !seen.insert(reference) {
                continue;
            }
            changes.push(remade(session, current, &resource)?);
            set(&mut work, "status", json!("completed"));
            set(&mut work, "for", json!({"reference": format!("Patient/{id}")}));
            changes.push(remade(session, of_task, &work)?);
        }
    }
    Ok(changes)
}

fn set(resource: &mut Value, name: &str, value: Value) {
    if let Some(members) = resource.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// An open Task of kind `ResolveSubject`, and the resource (`Type/id`) whose patient it asks for.
fn to_resolve(session: &Session<'_>, task: &Current) -> Result<Option<(Value, String)>, Refusal> {
    let Some(stored) = session.newest_text(task)? else { return Ok(None) };
    let Ok(json) = serde_json::from_str::<Value>(&stored.text) else { return Ok(None) };
    let text = |path: &str| json.pointer(path).and_then(Value::as_str);
    let is_waiting = text("/code/coding/0/system") == Some(WORK_SYSTEM)
        && text("/code/coding/0/code") == Some(StaffTask::ResolveSubject.code())
        && text("/status") == Some("requested");
    let focus = text("/focus/reference").filter(|_| is_waiting).map(str::to_owned);
    Ok(focus.map(|focus| (json, focus)))
}

/// The current version under a reference, as JSON.
pub(super) fn resource_at(
    session: &Session<'_>,
    reference: &str,
) -> Result<Option<(Current, Value)>, Refusal> {
    let ReferenceTarget::Relative(key) = Reference::parse(reference).target else { return Ok(None) };
    let Some(def) = r4().resource(key.type_name) else { return Ok(None) };
    let current = session.repository().current(def, &key.id)?.filter(|current| !current.deleted);
    let Some(current) = current else { return Ok(None) };
    let stored = session.newest_text(&current)?;
    let json = stored.and_then(|stored| serde_json::from_str(&stored.text).ok());
    Ok(json.map(|json| (current, json)))
}

/// Adds the reference where the identifier names the patient; returns whether it did.
fn name_patient(resource: &mut Value, known: &(String, String), id: &str) -> bool {
    let mut changed = false;
    for name in SUBJECTS {
        let Some(subject) = resource.get_mut(name).and_then(Value::as_object_mut) else { continue };
        let is_named = subject.get("identifier").and_then(parts).as_ref() == Some(known);
        if is_named && !subject.contains_key("reference") {
            subject.insert("reference".to_owned(), json!(format!("Patient/{id}")));
            changed = true;
        }
    }
    changed
}

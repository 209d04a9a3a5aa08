//! `Patient/[id]/$hold` and `$release-hold`: a legal hold, for a court or an inquiry. Nothing of a held file can be deleted.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{Issue, IssueCode, ResourceId, Temporal};
use crate::store::{Change, Draft, Expectation, Key, Space, Write};

use super::answer::{Answer, Refusal, RefusalKind};
use super::logical_reference::resource_at;
use super::parameters::{Call, Parameters};
use super::session::Session;
use super::tasks::{StaffTask, remade, requester, task};

fn key(patient: &str) -> Vec<u8> {
    Key::new(Space::Meta).text(b"hold").text(patient.as_bytes()).into_bytes()
}

/// What a deletion in the files of these patients (`Patient/id`) expects: that none is under a hold when it commits.
///
/// # Errors
/// 409 if one is held.
pub(super) fn not_held<'p>(
    session: &Session<'_>,
    patients: impl IntoIterator<Item = &'p String>,
) -> Result<Vec<Expectation>, Refusal> {
    let mut expectations = Vec::new();
    for patient in patients {
        let key = key(patient.strip_prefix("Patient/").unwrap_or(patient));
        if session.snapshot().get(&key)?.is_some() {
            let issue = Issue::error(IssueCode::BusinessRule, "the file is held: nothing of it is deleted");
            return Err(Refusal::new(RefusalKind::Conflict, issue));
        }
        expectations.push(Expectation::Key { key, sequence: None });
    }
    Ok(expectations)
}

/// A hold, as it is stored.
#[derive(Serialize, Deserialize)]
struct Hold {
    reason: String,
    /// When it began, as a FHIR instant.
    since: String,
    /// Who holds it: the subject of the token.
    by: String,
    /// The id of the Task by which staff finds the hold; holds from earlier releases have none.
    #[serde(default)]
    task: Option<String>,
}

/// Takes `reason` (text). A new hold on a held file replaces the reason.
pub(super) fn hold(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let reason = call.reason(1)?;
    let patient = format!("Patient/{}", may_hold(session, call)?);
    let more = json!({
        "status": "in-progress",
        "description": "the file is held: nothing of it is deleted",
        "reasonCode": {"text": reason},
        "requester": requester(session),
    });
    let mut work = task(session, StaffTask::Hold, Some(&patient), more)?;
    let hold = Hold {
        reason,
        since: Temporal::from_millis(session.context.now()).to_text(),
        by: session.lens.party().subject.clone(),
        task: Some(work.id.to_string()),
    };
    // INVARIANT: a struct of texts always has a JSON form.
    let value = serde_json::to_vec(&hold).unwrap_or_default();
    set(session, call, Some(value), Some(&mut work))
}

pub(super) fn release_hold(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    may_hold(session, call)?;
    set(session, call, None, None)
}

/// The patient of the call, if the party may hold files.
fn may_hold<'r>(session: &Session<'_>, call: &Call<'r>) -> Result<&'r ResourceId, Refusal> {
    if !session.lens.may_audit() {
        return Err(Refusal::forbidden("this is for administrators and privacy officers"));
    }
    let id = call.id()?;
    super::consent::known(session, id)?;
    Ok(id)
}

/// Stores a hold with its Task, or removes it; the Task of the previous hold is completed.
fn set(
    session: &Session<'_>,
    call: &Call<'_>,
    value: Option<Vec<u8>>,
    work: Option<&mut Change>,
) -> Result<Answer, Refusal> {
    let id = call.id()?;
    let key = key(id.as_str());
    let before = session.snapshot().get(&key)?;
    let mut draft = Draft::packed(&session.context.packing);
    let sequence = before.as_ref().map(|(_, sequence)| *sequence);
    draft.batch.expectations.push(Expectation::Key { key: key.clone(), sequence });
    let before: Option<Hold> = before.and_then(|(value, _)| serde_json::from_slice(&value).ok());
    let closed = before.and_then(|hold| hold.task).map(|task| close(session, &task)).transpose()?.flatten();
    if let Some(mut closed) = closed {
        draft.push(session.snapshot(), &mut closed)?;
    }
    let is_held = value.is_some();
    if let Some(work) = work {
        draft.push(session.snapshot(), work)?;
    }
    draft.batch.writes.push(Write { key, value, ..Write::default() });
    session.context.kv.commit(draft.batch).wait()?;
    let out = Parameters::default().boolean("held", is_held);
    session.about(out.json(), BTreeSet::from([format!("Patient/{id}")]))
}

/// The change that completes the Task of a hold that ends.
fn close(session: &Session<'_>, id: &str) -> Result<Option<Change>, Refusal> {
    let Some((current, mut task)) = resource_at(session, &format!("Task/{id}"))? else { return Ok(None) };
    if let Some(members) = task.as_object_mut() {
        members.insert("status".to_owned(), json!("completed"));
    }
    remade(session, current, &task).map(Some)
}

//! `Patient/[id]/$hold` and `$release-hold`: while a file is held, for a court or an inquiry, nothing of it is deleted.
use std::collections::BTreeSet;

use crate::model::{Issue, IssueCode, Temporal};
use crate::store::{Batch, Expectation, Key, Space, Write};

use super::answer::{Answer, Refusal, RefusalKind};
use super::parameters::{Call, Parameters};
use super::session::Session;

fn key(patient: &str) -> Vec<u8> {
    Key::new(Space::Meta).text(b"hold").text(patient.as_bytes()).into_bytes()
}

/// What a deletion expects of the files of these patients (`Patient/id`): that they are not held until it is done.
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

/// `reason` (text).
pub(super) fn hold(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let reason = call.reason(1)?;
    let since = Temporal::from_millis(session.engine.now()).to_text();
    let by = &session.lens.party().subject;
    let value = serde_json::json!({"reason": reason, "since": since, "by": by}).to_string();
    set(session, call, Some(value.into_bytes()), true)
}

pub(super) fn release_hold(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    set(session, call, None, false)
}

fn set(
    session: &Session<'_>,
    call: &Call<'_>,
    value: Option<Vec<u8>>,
    held: bool,
) -> Result<Answer, Refusal> {
    if !session.lens.may_audit() {
        return Err(Refusal::forbidden("this is for administrators and privacy officers"));
    }
    let id = call.id()?;
    super::consent::known(session, id)?;
    let write = Write { key: key(id.as_str()), value, stamps: Vec::new() };
    session.engine.kv.commit(Batch { writes: vec![write], ..Batch::default() }).wait()?;
    let out = Parameters::default().boolean("held", held);
    session.about(out.json(), BTreeSet::from([format!("Patient/{id}")]))
}

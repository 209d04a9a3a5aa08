//! update (R4 http.html#update), also as create for whom the right to choose ids was given.
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, ResourceId, parse};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Refusal, RefusalKind};
use super::session::{Seen, Session};
use super::write::{Input, Planned, Prepared, check_if_match, put};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let valid = input.resource(def)?;
    match valid.root().str_at("id") {
        None => {
            return Err(Refusal::bad_request(
                IssueCode::Required,
                "the body has no id; it must be that of the path",
            ));
        }
        Some(given) if given != id.as_str() => {
            return Err(Refusal::bad_request(
                IssueCode::Invalid,
                "the id of the body is not that of the path",
            ));
        }
        Some(_) => {}
    }
    planned(session, def, id, valid, input).map(|planned| Prepared::Change(Box::new(planned)))
}

/// The plan of an update, from here or from a conditional update.
pub(super) fn planned(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    valid: &Valid,
    input: &Input,
) -> Result<Planned, Refusal> {
    let assigns = session.lens.party().assign_ids;
    match session.look(def, id)? {
        Seen::Resource { current, stored, disclosed } => {
            check_if_match(&input.headers, Some(disclosed.version_id()))?;
            match with_kept_labels(&stored.text, valid)? {
                Some(labelled) => put(session, &labelled, id.clone(), Some(*current)),
                None => put(session, valid, id.clone(), Some(*current)),
            }
        }
        Seen::Deleted(current) => {
            check_if_match(&input.headers, None)?;
            put(session, valid, id.clone(), Some(current))
        }
        Seen::Nothing { current: None } if assigns => {
            check_if_match(&input.headers, None)?;
            put(session, valid, id.clone(), None)
        }
        // The one place where something hidden is told of, to those whom the server lets choose ids.
        Seen::Nothing { current: Some(_) } if assigns => {
            Err(Refusal::forbidden("the party may not write this"))
        }
        Seen::Nothing { .. } => {
            let message = "ids are given by the server: create the resource by POST";
            Err(Refusal::new(RefusalKind::MethodNotAllowed, Issue::error(IssueCode::NotSupported, message)))
        }
    }
}

/// The resource with the security labels that its former version had and the new one leaves out; `None` if there are
/// none. Labels are taken off by those who may, with an operation of its own.
fn with_kept_labels(before: &str, valid: &Valid) -> Result<Option<Valid>, Refusal> {
    if !before.contains("\"security\"") {
        return Ok(None);
    }
    let failed = |error: String| Refusal::bad_request(IssueCode::Structure, error);
    let mut text = String::new();
    crate::model::minify(valid.root(), &mut text);
    let json = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| failed(error.to_string()))
    };
    let (before, mut after) = (json(before)?, json(&text)?);
    let labels = |value: &serde_json::Value| {
        value.pointer("/meta/security").and_then(serde_json::Value::as_array).cloned().unwrap_or_default()
    };
    let mut kept = labels(&after);
    let key = |label: &serde_json::Value| (label.get("system").cloned(), label.get("code").cloned());
    let missing: Vec<serde_json::Value> = labels(&before)
        .into_iter()
        .filter(|label| !kept.iter().any(|other| key(other) == key(label)))
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    kept.extend(missing);
    if let Some(object) = after.as_object_mut() {
        let meta = object.entry("meta").or_insert_with(|| serde_json::json!({}));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("security".to_owned(), kept.into());
        }
    }
    let tree = parse(after.to_string().into_bytes()).map_err(|error| failed(error.to_string()))?;
    let valid = Valid::check(Incoming::new(tree), crate::definitions::r4(), Rules::default());
    valid.map(Some).map_err(|outcome| Refusal::new(RefusalKind::Unprocessable, outcome))
}

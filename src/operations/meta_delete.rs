//! `[type]/[id]/$meta-delete` (R4 resource-operation-meta-delete.html): takes labels, tags and profiles off a resource. A PUT that leaves a
//! security label out does not take it off; this does, by who may lower labels.
use std::collections::BTreeSet;

use serde_json::Value;

use crate::audit::{self, Action};
use crate::auth::Permission;
use crate::consent::Writing;
use crate::model::{IssueCode, Node, minify, parse};
use crate::store::Draft;

use super::answer::{Answer, Body, Kind, Refusal};
use super::parameters::Call;
use super::session::{Session, Writable};
use super::work::remade;
use super::write::{Planned, finish};

/// The parts of Meta that are taken off.
const PARTS: [&str; 3] = ["security", "tag", "profile"];

/// `meta`: what is to go. Answers with what is left.
pub(super) fn meta_delete(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    call.takes_only(&["meta"])?;
    let missing = || Refusal::bad_request(IssueCode::Required, "the parameter `meta` holds no Meta");
    let given = call.value("meta", "valueMeta").ok_or_else(missing)?;
    let (def, id) = call.instance()?;
    let party = session.lens.party();
    let lowers = given.get("security").is_some();
    if lowers && !(session.lens.is_own() && party.role.row().lowers_labels) {
        return Err(Refusal::forbidden("the party may not take security labels off"));
    }
    let Writable::Resource { current, stored, is_whole, .. } =
        session.look_to_write(&[Permission::Update], def, id)?
    else {
        return Err(Refusal::not_found());
    };
    let unreadable = || Refusal::bad_request(IssueCode::Structure, "the resource cannot be read");
    let before = parse(stored.text.clone().into_bytes()).map_err(|_| unreadable())?;
    if !is_whole || !session.lens.may_write(before.root(), Writing::Change)? {
        return Err(Refusal::may_not_write());
    }
    let mut resource: Value = serde_json::from_str(&stored.text).map_err(|_| unreadable())?;
    take_off(&mut resource, given);
    let subjects: BTreeSet<String> = session.lens.subjects_of(before.root())?;
    let mut change = remade(session, *current, &resource)?;
    let mut draft = Draft::packed(&session.engine.packing);
    draft.push(session.snapshot(), &mut change)?;
    let mut access =
        session.engine.begin_record(party, ("$meta-delete", Action::Update), call.request.asked())?;
    access.concern(&subjects);
    super::audit::add_change(&mut access, &change);
    draft.batch.writes.extend(audit::writes(&access, 0));
    let committed = session.engine.kv.commit(draft.batch).wait()?;
    let planned = Planned::of(change, Kind::Ok);
    let mut answer = finish(session, planned, committed, 0, &call.request.headers)?;
    if let Body::Disclosed(disclosed) = &answer.body {
        answer.body = Body::Disclosed(disclosed.meta());
    }
    Ok(answer)
}

/// Removes from the resource's own Meta what another one lists: labels and tags by system and code, profiles by URL.
fn take_off(resource: &mut Value, given: Node<'_>) {
    let mut text = String::new();
    minify(given, &mut text);
    let given: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(meta) = resource.get_mut("meta").and_then(Value::as_object_mut) else { return };
    let key = |item: &Value| {
        (item.as_str().map(str::to_owned), item.get("system").cloned(), item.get("code").cloned())
    };
    for part in PARTS {
        let gone: Vec<_> = given.get(part).and_then(Value::as_array).into_iter().flatten().map(key).collect();
        if let Some(kept) = meta.get_mut(part).and_then(Value::as_array_mut) {
            kept.retain(|item| !gone.contains(&key(item)));
            if kept.is_empty() {
                meta.shift_remove(part);
            }
        }
    }
}

//! `$meta`, `$meta-add` and `$meta-delete` (R4 resource-operations.html): the labels, tags and profiles of a resource, and of all that
//! the party sees of a type or of the server. A PUT that leaves a security label out does not take it off; `$meta-delete` does, by
//! who may lower labels.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::audit::{self, Action};
use crate::auth::Permission;
use crate::consent::{Disclosed, Finding, Writing};
use crate::definitions::{TypeDef, r4};
use crate::model::{IssueCode, Node, minify, parse};
use crate::store::{Draft, View};

use super::answer::{Answer, Body, Kind, Refusal};
use super::parameters::Call;
use super::route::Place;
use super::session::{Seen, Session, Writable};
use super::work::remade;
use super::write::{Planned, finish};

/// The parts of Meta that are told, added and taken off, and the search parameters that know them.
const PARTS: [(&str, &str); 3] = [("security", "_security"), ("tag", "_tag"), ("profile", "_profile")];

/// More values or resources than these are not looked at to tell what is in use.
const LOOKED_AT_MAX: usize = 100_000;

/// Meta of a resource; or what all resources of a type, or of the server, have in theirs, as far as the party sees them.
pub(super) fn meta(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let types: Vec<&'static TypeDef> = match call.place {
        Place::Instance(def, id) => {
            return match session.look(def, id)? {
                Seen::Resource { disclosed, .. } => Ok(Answer::of(Kind::Ok, disclosed.meta())),
                Seen::Deleted(_) => Err(Refusal::gone()),
                Seen::Nothing { .. } => Err(Refusal::not_found()),
            };
        }
        Place::Type(def) => vec![*def],
        _ => {
            let scopes = &session.lens.party().scopes;
            r4().resources().filter(|def| scopes.permit(Permission::Search, Some(&def.name))).collect()
        }
    };
    let mut found = Vec::new();
    let mut looked_at = 0;
    for (part, code) in PARTS {
        let mut values = BTreeSet::new();
        for def in types.iter().filter(|def| &*def.name != "AuditEvent") {
            let Some(param) = session.params.find(def, code) else { continue };
            let sight = session.lens.finding(Finding::Visible);
            let view = View::new(session.repository(), None, &sight);
            let entries = view.values_in_use(def, param.id, LOOKED_AT_MAX.saturating_sub(looked_at))?;
            let Some((entries, count)) = entries else {
                let message = format!("more than {LOOKED_AT_MAX} values would have to be looked at");
                return Err(Refusal::bad_request(IssueCode::TooCostly, message));
            };
            looked_at += count;
            values.extend(
                entries.iter().filter_map(|entry| {
                    entry.token().or_else(|| entry.uri().map(|uri| (uri, String::new())))
                }),
            );
        }
        let listed: Vec<Value> = values
            .into_iter()
            .map(|(code, system)| match (part, system.as_str()) {
                ("profile", _) => json!(code),
                (_, "") => json!({"code": code}),
                (_, system) => json!({"system": system, "code": code}),
            })
            .collect();
        found.push((part, listed));
    }
    Ok(Answer::new(Kind::Ok, Body::Disclosed(Disclosed::meta_in_use(&found, session.engine.now()))))
}

/// `meta`: what is to be added. Answers with what there is then.
pub(super) fn meta_add(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = given(call)?;
    changed(session, call, "$meta-add", &|resource| add(resource, given))
}

/// `meta`: what is to go. Answers with what is left.
pub(super) fn meta_delete(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = given(call)?;
    let lowers = given.get("security").is_some();
    if lowers && !(session.lens.is_own() && session.lens.party().role.row().lowers_labels) {
        return Err(Refusal::forbidden("the party may not take security labels off"));
    }
    changed(session, call, "$meta-delete", &|resource| take_off(resource, given))
}

fn given<'r>(call: &Call<'r>) -> Result<Node<'r>, Refusal> {
    let missing = || Refusal::bad_request(IssueCode::Required, "the parameter `meta` holds no Meta");
    call.value("meta", "valueMeta").ok_or_else(missing)
}

/// Changes the Meta of a resource, if that changes anything.
fn changed(
    session: &Session<'_>,
    call: &Call<'_>,
    name: &'static str,
    change: &dyn Fn(&mut Value),
) -> Result<Answer, Refusal> {
    let (def, id) = call.instance()?;
    let party = session.lens.party();
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
    let as_it_was = resource.clone();
    change(&mut resource);
    if resource == as_it_was {
        return match session.look(def, id)? {
            Seen::Resource { disclosed, .. } => Ok(Answer::of(Kind::Ok, disclosed.meta())),
            Seen::Deleted(_) | Seen::Nothing { .. } => Err(Refusal::not_found()),
        };
    }
    let subjects: BTreeSet<String> = session.lens.subjects_of(before.root())?;
    let mut change = remade(session, *current, &resource)?;
    let mut draft = Draft::packed(&session.engine.packing);
    draft.push(session.snapshot(), &mut change)?;
    let mut access = session.engine.begin_record(party, (name, Action::Update), call.request.asked())?;
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

/// The list of a part of Meta that was given.
fn items(given: Node<'_>, part: &str) -> Vec<Value> {
    let mut text = String::new();
    minify(given, &mut text);
    let given: Value = serde_json::from_str(&text).unwrap_or_default();
    given.get(part).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Labels and tags are told by system and code, profiles by URL.
fn key(item: &Value) -> (Option<String>, Option<Value>, Option<Value>) {
    (item.as_str().map(str::to_owned), item.get("system").cloned(), item.get("code").cloned())
}

/// Adds to the resource's own Meta what another one lists and it has not.
fn add(resource: &mut Value, given: Node<'_>) {
    let Some(resource) = resource.as_object_mut() else { return };
    let meta = resource.entry("meta").or_insert_with(|| json!({}));
    for (part, _) in PARTS {
        let more = items(given, part);
        if more.is_empty() {
            continue;
        }
        let Some(meta) = meta.as_object_mut() else { return };
        let Some(listed) = meta.entry(part).or_insert_with(|| json!([])).as_array_mut() else { continue };
        for item in more {
            if !listed.iter().any(|known| key(known) == key(&item)) {
                listed.push(item);
            }
        }
    }
}

/// Removes from the resource's own Meta what another one lists.
fn take_off(resource: &mut Value, given: Node<'_>) {
    let Some(meta) = resource.get_mut("meta").and_then(Value::as_object_mut) else { return };
    for (part, _) in PARTS {
        let gone: Vec<_> = items(given, part).iter().map(key).collect();
        if let Some(kept) = meta.get_mut(part).and_then(Value::as_array_mut) {
            kept.retain(|item| !gone.contains(&key(item)));
            if kept.is_empty() {
                meta.shift_remove(part);
            }
        }
    }
}

//! `$meta`, `$meta-add` and `$meta-delete` (R4 resource-operations.html): the labels, tags and profiles of a resource, or of
//! everything that the party sees of a type or of the server. A PUT without a security label does not remove the label;
//! `$meta-delete` does, for roles that may lower labels.
use std::collections::BTreeSet;
use std::sync::Arc;

use pollster::block_on;
use serde_json::{Value, json};

use crate::audit::Action;
use crate::auth::Permission;
use crate::consent::{Disclosed, SearchPart, Writing};
use crate::definitions::{TypeDef, r4};
use crate::model::{IssueCode, Node, minify, parse};
use crate::store::{Current, Stored, View};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::commit::{CommitRecord, Prepare, committed};
use super::parameters::Call;
use super::place::Place;
use super::prepared::{Planned, put, settled};
use super::request::{Headers, Preference};
use super::session::{Seen, Session, Writable};
use super::tasks::remade;

/// The parts of Meta that these operations handle, each with the search parameter that indexes it.
const PARTS: [(&str, &str); 3] = [("security", "_security"), ("tag", "_tag"), ("profile", "_profile")];

/// At most so many values in use are listed. Only visible values count towards it, since the answer would reveal hidden ones.
const VALUES_MAX: usize = 10_000;

/// The Meta of a resource, or all values in the Meta of a type's or the server's resources that the party sees.
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
    for (part, code) in PARTS {
        let mut values = BTreeSet::new();
        for def in types.iter().filter(|def| !def.rules.is_access_record) {
            let Some(param) = session.params.find(def, code) else { continue };
            let sight = session.lens.finding(SearchPart::Visible);
            let view = View::new(session.repository(), None, &sight);
            let entries = view.values_in_use(def, param.id, VALUES_MAX + 1)?;
            if entries.len() > VALUES_MAX {
                let message = format!("more than {VALUES_MAX} values are in use");
                return Err(Refusal::bad_request(IssueCode::TooCostly, message));
            }
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
    Ok(Answer::new(Kind::Ok, Body::Disclosed(Disclosed::meta_in_use(&found, session.context.now()))))
}

/// Takes `meta`: what to add. Answers with the resulting Meta.
pub(super) fn meta_add(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = given(call)?;
    let add = |session: &Session<'_>, target: &Target| {
        let mut resource = target.json()?;
        add(&mut resource, given);
        // Planned like an update with the whole resource, because what is added may be anything.
        let unprocessable = |outcome| Refusal::new(RefusalKind::Unprocessable, outcome);
        let tree = parse(resource.to_string().into_bytes()).map_err(|_| unreadable())?;
        let valid = Valid::check(Incoming::new(tree), r4(), Rules::default()).map_err(unprocessable)?;
        put(session, &valid, target.stored.id.clone(), Some((*target.current).clone()))
    };
    changed(session, call, "$meta-add", &add)
}

/// Takes `meta`: what to remove. Answers with what remains.
pub(super) fn meta_delete(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = given(call)?;
    let lowers = given.get("security").is_some();
    if lowers && !(session.lens.is_own() && session.lens.party().role.row().lowers_labels) {
        return Err(Refusal::forbidden("the party may not take security labels off"));
    }
    let take_off = |session: &Session<'_>, target: &Target| {
        let mut resource = target.json()?;
        take_off(&mut resource, given);
        let before = parse(target.stored.text.clone().into_bytes()).map_err(|_| unreadable())?;
        if !session.lens.may_write(before.root(), Writing::Change)? {
            return Err(Refusal::may_not_write());
        }
        // An update would keep the labels, so this is planned as a change by the server.
        remade(session, (*target.current).clone(), &resource).map(|change| {
            let text = change.body.as_ref().map(|body| body.text.clone());
            let tree = text.and_then(|text| parse(text.into_bytes()).ok());
            Planned { tree, ..Planned::of(change, Kind::Ok) }
        })
    };
    changed(session, call, "$meta-delete", &take_off)
}

fn given<'r>(call: &Call<'r>) -> Result<Node<'r>, Refusal> {
    let missing = || Refusal::bad_request(IssueCode::Required, "the parameter `meta` holds no Meta");
    call.value("meta", "valueMeta").ok_or_else(missing)
}

/// The resource whose Meta is changed.
struct Target {
    current: Box<Current>,
    stored: Box<Stored>,
}

impl Target {
    fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_str(&self.stored.text).map_err(|_| unreadable())
    }
}

fn unreadable() -> Refusal {
    Refusal::bad_request(IssueCode::Structure, "the resource cannot be read")
}

/// Changes the Meta of a resource by an ordinary commit, and answers with the Meta alone.
fn changed(
    session: &Session<'_>,
    call: &Call<'_>,
    name: &'static str,
    plan: &(dyn Fn(&Session<'_>, &Target) -> Result<Planned, Refusal> + Sync),
) -> Result<Answer, Refusal> {
    let (def, id) = call.instance()?;
    let headers = Headers { preference: Preference::Representation, ..call.request.headers.clone() };
    let party = Arc::new(session.lens.party().clone());
    let (asked, preference) = (call.request.asked(), headers.preference);
    let recorded = CommitRecord { name, action: Action::Update, asked, preference };
    let prepare: &Prepare<'_> = &|session| {
        let Writable::Resource { current, stored, is_whole, .. } =
            session.look_to_write(&[Permission::Update], def, id)?
        else {
            return Err(Refusal::not_found());
        };
        if !is_whole {
            return Err(Refusal::may_not_write());
        }
        let target = Target { current, stored };
        let planned = plan(session, &target)?;
        settled(session, planned, (&target.current, &target.stored), &headers)
    };
    let mut answer = block_on(committed(session.context, &party, recorded, prepare))?;
    if let Body::Disclosed(disclosed) = &answer.body {
        answer.body = Body::Disclosed(disclosed.meta());
    }
    Ok(answer)
}

/// The items of one part of the given Meta.
fn items(given: Node<'_>, part: &str) -> Vec<Value> {
    let mut text = String::new();
    minify(given, &mut text);
    let given: Value = serde_json::from_str(&text).unwrap_or_default();
    given.get(part).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// What identifies an item: system and code for labels and tags, the URL for profiles.
fn key(item: &Value) -> (Option<String>, Option<Value>, Option<Value>) {
    (item.as_str().map(str::to_owned), item.get("system").cloned(), item.get("code").cloned())
}

/// Adds to the resource's Meta the given items that it lacks.
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

/// Removes the given items from the resource's Meta.
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

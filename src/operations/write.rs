//! What all writes have in common: the body checked before any data is looked at, a change prepared on a snapshot, one
//! commit with the record of the access, and a new try where the ground has changed meanwhile.
use std::sync::Arc;

use crate::audit::{self, Access};
use crate::auth::Party;
use crate::consent::Disclosed;
use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, Normalized, Outcome, ResourceId, normalize};
use crate::store::{
    At, Change, CommitError, Committed, Current, Derive as _, Draft, Expectation, Method, Stored,
};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Answer, Body, Kind, Public, Refusal, RefusalKind};
use super::derive::SearchIndex;
use super::engine::{Engine, fill, prepare_write};
use super::request::{Headers, Payload, Preference, Request};
use super::route::Place;
use super::session::Session;
use super::table::Interaction;

/// A write as it was sent, its body checked.
pub(super) struct Input {
    pub(super) headers: Headers,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: InputBody,
    /// The id that a transaction has chosen for what is created.
    pub(super) assigned: Option<ResourceId>,
}

pub(super) enum InputBody {
    None,
    Valid(Valid),
    JsonPatch(Vec<u8>),
}

impl Input {
    pub(super) fn new(request: Request) -> Result<Self, Refusal> {
        let body = match request.payload {
            Payload::None | Payload::Form(_) => InputBody::None,
            Payload::JsonPatch(patch) => InputBody::JsonPatch(patch),
            Payload::Resource(tree) => {
                let valid = Valid::check(Incoming::new(tree), r4(), Rules::default());
                InputBody::Valid(valid.map_err(|outcome| Refusal::new(RefusalKind::Unprocessable, outcome))?)
            }
        };
        Ok(Self { headers: request.headers, query: request.query, body, assigned: None })
    }

    /// The resource of the body, which must be of the type that the path names.
    pub(super) fn resource(&self, def: &TypeDef) -> Result<&Valid, Refusal> {
        let InputBody::Valid(valid) = &self.body else {
            return Err(Refusal::bad_request(IssueCode::Required, "the body holds no resource"));
        };
        if valid.def().id != def.id {
            let message = format!("the body is a {}, the path names {}", valid.def().name, def.name);
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        }
        Ok(valid)
    }
}

/// A write that is ready to be committed, or needs no commit.
pub(super) enum Prepared {
    Change(Box<Planned>),
    /// Nothing is to be done; this is the answer.
    Nothing(Box<Answer>),
}

/// A change and what to answer once it is committed.
pub(super) struct Planned {
    pub(super) change: Change,
    pub(super) kind: Kind,
    pub(super) expectations: Vec<Expectation>,
    pub(super) warnings: Vec<Issue>,
}

/// Plans the writing of a resource under an id.
pub(super) fn put(
    session: &Session<'_>,
    valid: &Valid,
    id: ResourceId,
    prior: Option<Current>,
) -> Result<Planned, Refusal> {
    let def = valid.def();
    if matches!(&*def.name, "AuditEvent") {
        return Err(Refusal::forbidden("the record of accesses is written by the server alone"));
    }
    if carries_tag(valid, &["SUBSETTED", "REDACTED"]) {
        let message = "the resource is marked as a part of one; writing it would lose the rest";
        return Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::Conflict, message)));
    }
    let body = normalize(valid.root(), id.as_str());
    let tree = crate::model::parse(body.text.clone().into_bytes())
        .map_err(|error| Refusal::bad_request(IssueCode::Structure, error.to_string()))?;
    if !session.lens.may_write(tree.root())? {
        return Err(Refusal::forbidden("the party may not write this"));
    }
    let derived = SearchIndex.derive(def, tree.root());
    let is_new = prior.as_ref().is_none_or(|prior| prior.deleted);
    let method = if prior.is_none() { Method::Create } else { Method::Update };
    let change = Change { def, id, method, prior, body: Some(body), derived };
    let kind = if is_new { Kind::Created } else { Kind::Ok };
    Ok(Planned { change, kind, expectations: Vec::new(), warnings: valid.warnings().to_vec() })
}

fn carries_tag(valid: &Valid, codes: &[&str]) -> bool {
    let meta = valid.root().get("meta");
    let mut tags = meta.into_iter().flat_map(|meta| meta.items_at("tag").chain(meta.items_at("security")));
    tags.any(|tag| {
        tag.str_at("system").is_some_and(|system| system.ends_with("v3-ObservationValue"))
            && tag.str_at("code").is_some_and(|code| codes.contains(&code))
    })
}

/// Prepares and commits, again and again while what it was based on changes underneath.
pub(super) fn with_retries(
    engine: &Engine,
    party: &Arc<Party>,
    row: &Interaction,
    place: &Place,
    request: Request,
) -> Result<Answer, Refusal> {
    let line = request.line();
    let input = Input::new(request)?;
    let mut conflict = CommitError::Busy;
    for _ in 0..=engine.options.retries_max {
        let snapshot = engine.kv.snapshot(At::Latest)?;
        let session = Session::new(engine, party.clone(), &*snapshot)?;
        let planned = match prepare_write(&session, row, place, &input)? {
            Prepared::Nothing(answer) => return Ok(*answer),
            Prepared::Change(planned) => planned,
        };
        let mut draft = Draft::default();
        planned.expectations.iter().for_each(|expectation| draft.expect(expectation.clone()));
        draft.push(&*snapshot, &planned.change)?;
        let mut access = Access::of(party, row.name, row.action, line.clone(), engine.now());
        access.status = planned.kind.status();
        access.released = vec![format!("{}/{}", planned.change.def.name, planned.change.id)];
        access.patients =
            planned.change.derived.facts.patients.iter().map(|id| format!("Patient/{id}")).collect();
        draft.batch.writes.push(audit::write(&access, 0));
        match engine.kv.commit(draft.batch).wait() {
            Ok(committed) => return finish(&session, *planned, committed, 0, &input.headers),
            Err(error @ CommitError::Conflict { .. }) => conflict = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(conflict.into())
}

/// The answer to a committed change; `number` is which new row of its batch it had.
pub(super) fn finish(
    session: &Session<'_>,
    planned: Planned,
    committed: Committed,
    number: u64,
    headers: &Headers,
) -> Result<Answer, Refusal> {
    let Planned { change, kind, warnings, .. } = planned;
    let version_id = session.version_id(committed.sequence);
    let row = change.prior.as_ref().map_or(committed.first_row + number, |prior| prior.row);
    let reference = format!("{}/{}", change.def.name, change.id);
    let Some(Normalized { text, meta_at }) = change.body else {
        let mut answer = Answer::new(Kind::NoContent, Body::None);
        answer.version_id = Some(version_id);
        return Ok(answer);
    };
    let stored = Stored {
        row,
        sequence: committed.sequence,
        time: committed.time,
        method: change.method,
        def: change.def,
        id: change.id,
        text,
        meta_at,
    };
    let shown = session.lens.show(&stored, &version_id, &[])?;
    let mut answer = Answer::new(kind, body(shown.as_ref(), warnings, headers.preference));
    let base = &session.engine.options.base_url;
    answer.location = Some(format!("{base}/{reference}/_history/{version_id}"));
    answer.version_id = Some(version_id);
    answer.last_modified = Some(committed.time);
    answer.written = shown;
    Ok(answer)
}

/// What the sender wants back; one's own write passes the read decision like everything else.
fn body(shown: Option<&Disclosed>, warnings: Vec<Issue>, preference: Preference) -> Body {
    match (preference, shown) {
        (Preference::Representation, Some(disclosed)) => Body::Disclosed(disclosed.clone()),
        (Preference::OperationOutcome, _) => {
            let mut issues = warnings;
            issues.push(Issue::information(IssueCode::Informational, "the resource was written"));
            Body::Public(Public::outcome(&Outcome::from(issues)))
        }
        (Preference::Minimal | Preference::Representation, _) => Body::None,
    }
}

/// An answer that says that what was asked for is there already.
pub(super) fn existing(session: &Session<'_>, disclosed: Disclosed, headers: &Headers) -> Answer {
    let base = &session.engine.options.base_url;
    let location = format!("{base}/{}/_history/{}", disclosed.reference(), disclosed.version_id());
    let mut answer = Answer::of(Kind::Ok, disclosed.clone());
    answer.body = body(Some(&disclosed), Vec::new(), headers.preference);
    answer.location = Some(location);
    answer.written = Some(disclosed);
    answer
}

/// Checks `If-Match` against the version that is there (R4 http.html#concurrency).
pub(super) fn check_if_match(headers: &Headers, current: Option<&str>) -> Result<(), Refusal> {
    let Some(tag) = &headers.if_match else { return Ok(()) };
    if tag.trim() == "*" && current.is_some() {
        return Ok(());
    }
    let malformed = || Refusal::bad_request(IssueCode::Value, "If-Match is no entity tag such as W/\"1\"");
    let version = super::read::entity_tag(tag).ok_or_else(malformed)?;
    if Some(version) == current {
        Ok(())
    } else {
        Err(Refusal::precondition_failed("the version in If-Match is not the newest"))
    }
}

/// Adds what an access disclosed to the record of a Bundle.
pub(super) fn add_to_record(access: &mut Access, answer: &Answer) {
    let status = access.status;
    fill(access, answer);
    access.status = status;
}

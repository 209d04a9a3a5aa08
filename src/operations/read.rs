//! read and vread (R4 http.html#read, #vread), conditional read by `If-None-Match` and `If-Modified-Since`.
use crate::definitions::TypeDef;
use crate::model::{ResourceId, Temporal, VersionId};

use super::answer::{Answer, Body, Kind, Refusal};
use super::operation_definitions::own_definition;
use super::request::Request;
use super::session::{Seen, Session};
use super::validators::{http_date, names_version};

pub(super) fn read(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    request: &Request,
) -> Result<Answer, Refusal> {
    if def.rules.is_access_record {
        return super::search::audit_event(session, id.as_str());
    }
    match session.look(def, id)? {
        Seen::Resource { disclosed, .. } => {
            let is_whole = disclosed.is_whole();
            let mut answer = Answer::of(Kind::Ok, *disclosed);
            if is_whole && is_unchanged(&answer, request) {
                answer.kind = Kind::NotModified;
                // A 304 reveals the content to whoever holds a copy, so it is recorded like a read.
                if let Body::Disclosed(disclosed) = std::mem::take(&mut answer.body) {
                    answer.written = Some(disclosed);
                }
                return Ok(answer);
            }
            if let Body::Disclosed(disclosed) = &answer.body {
                answer.body = Body::Disclosed(super::search::reduce(disclosed, def, &request.query)?);
            }
            Ok(answer)
        }
        Seen::Deleted(_) => Err(Refusal::gone()),
        Seen::Nothing { current: None } if &*def.name == "OperationDefinition" => {
            own_definition(&session.context.options.base_url, id.as_str()).ok_or_else(Refusal::not_found)
        }
        Seen::Nothing { .. } => Err(Refusal::not_found()),
    }
}

/// Whether the client's copy is current; called only after the decision to show the resource.
fn is_unchanged(answer: &Answer, request: &Request) -> bool {
    if let (Some(tags), Some(version)) = (&request.headers.if_none_match, &answer.version_id) {
        return names_version(tags, version);
    }
    // In a Bundle entry `ifModifiedSince` is an instant.
    let moment = |text: &str| {
        http_date(text).or_else(|| Temporal::parse(text).map(|instant| instant.interval().start))
    };
    let since = request.headers.if_modified_since.as_deref().and_then(moment);
    // HTTP dates have whole seconds.
    since.zip(answer.last_modified).is_some_and(|(since, modified)| modified / 1_000 <= since / 1_000)
}

pub(super) fn vread(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    version: &VersionId,
    request: &Request,
) -> Result<Answer, Refusal> {
    let repository = session.repository();
    let Some(current) = repository.current(def, id)? else { return Err(Refusal::not_found()) };
    let Some(sequence) = session.context.cipher.sequence(version.as_str()) else {
        return Err(Refusal::not_found());
    };
    let Some(stored) = repository.version(current.row, sequence)? else { return Err(Refusal::not_found()) };
    let Some(newest) = session.newest_text(&current)? else { return Err(Refusal::not_found()) };
    if stored.text.is_empty() {
        // A deletion is revealed only to parties that may see what it deleted.
        let shown = session.lens.show(&newest, "")?;
        return Err(if shown.is_some() { Refusal::gone() } else { Refusal::not_found() });
    }
    let mut later = session.later(current.row, sequence)?;
    match session.lens.show_before(&stored, version.as_str(), &mut later)? {
        Some(disclosed) => Ok(Answer::of(Kind::Ok, super::search::reduce(&disclosed, def, &request.query)?)),
        None => Err(Refusal::not_found()),
    }
}

//! read and vread (R4 http.html#read, #vread), conditional read by `If-None-Match` and `If-Modified-Since`.
use crate::definitions::TypeDef;
use crate::model::{ResourceId, Temporal, VersionId};

use super::answer::{Answer, Body, Kind, Refusal};
use super::operation_definitions::own_definition;
use super::request::Request;
use super::session::{Seen, Session};

pub(super) fn read(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    request: &Request,
) -> Result<Answer, Refusal> {
    if &*def.name == "AuditEvent" {
        return super::search::audit_event(session, id.as_str());
    }
    match session.look(def, id)? {
        Seen::Resource { disclosed, .. } => {
            let is_whole = disclosed.is_whole();
            let mut answer = Answer::of(Kind::Ok, *disclosed);
            if is_whole && is_unchanged(&answer, request) {
                answer.kind = Kind::NotModified;
                // That it is as it was tells who has it what it is: on record like a read.
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
            own_definition(&session.engine.options.base_url, id.as_str()).ok_or_else(Refusal::not_found)
        }
        Seen::Nothing { .. } => Err(Refusal::not_found()),
    }
}

/// Looked at only now, after the decision to show.
fn is_unchanged(answer: &Answer, request: &Request) -> bool {
    if let (Some(tags), Some(version)) = (&request.headers.if_none_match, &answer.version_id) {
        return names_version(tags, version);
    }
    // In a Bundle it is an instant.
    let moment = |text: &str| {
        http_date(text).or_else(|| Temporal::parse(text).map(|instant| instant.interval().start))
    };
    let since = request.headers.if_modified_since.as_deref().and_then(moment);
    // HTTP dates have whole seconds.
    since.zip(answer.last_modified).is_some_and(|(since, modified)| modified / 1_000 <= since / 1_000)
}

/// Whether a list of entity tags, or `*`, names a version. What cannot be read names none: then all is sent again.
pub(super) fn names_version(tags: &str, version: &str) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| entity_tag(tag) == Some(version))
}

/// The version id in `W/"1"` or `"1"`.
pub(super) fn entity_tag(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')
}

/// Milliseconds of an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_whitespace().skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let stamp = format!("{year}-{month:02}-{day:0>2}T{time}Z");
    Temporal::parse(&stamp).map(|date| date.interval().start)
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
    let Some(sequence) = session.engine.cipher.sequence(version.as_str()) else {
        return Err(Refusal::not_found());
    };
    let Some(stored) = repository.version(current.row, sequence)? else { return Err(Refusal::not_found()) };
    let Some(newest) = session.newest_text(&current)? else { return Err(Refusal::not_found()) };
    if stored.text.is_empty() {
        // A deletion: that it happened is told to whom what it deleted would be shown.
        let shown = session.lens.show(&newest, "")?;
        return Err(if shown.is_some() { Refusal::gone() } else { Refusal::not_found() });
    }
    let mut later = session.later(current.row, sequence)?;
    match session.lens.show_before(&stored, version.as_str(), &mut later)? {
        Some(disclosed) => Ok(Answer::of(Kind::Ok, super::search::reduce(&disclosed, def, &request.query)?)),
        None => Err(Refusal::not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::{entity_tag, http_date};

    #[test]
    fn tags_and_dates_are_read() {
        assert_eq!(entity_tag(" W/\"1\""), Some("1"));
        assert_eq!(entity_tag("\"1\""), Some("1"));
        assert_eq!(entity_tag("1"), None);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(http_date("yesterday"), None);
    }
}

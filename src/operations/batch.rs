//! batch (R4 http.html#transaction): every entry is answered as if it had been sent alone; a failed entry changes nothing for the
//! others.
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::auth::Party;
use crate::consent::{Bundle, BundleEntry, BundleKind, EntryResponse};
use crate::model::{IssueCode, Node};

use super::answer::{Answer, Body, Kind, Refusal};
use super::bundle_entry::Entry;
use super::bundle_references::{BundleReferences, ReferenceMeaning, ReferenceSite, rewritten};
use super::context::Context;
use super::own_base::OwnBase;
use super::request::{Headers, Preference, Request};
use super::verb::Verb;

/// Answers the request of one entry.
pub(super) type HandleEntry<'h> = dyn Fn(Request) -> BoxFuture<'h, Result<Answer, Refusal>> + Sync + 'h;

/// Answers a batch.
pub(super) async fn batch(
    context: &Context,
    party: &Arc<Party>,
    (root, headers): (Node<'_>, &Headers),
    handle: &HandleEntry<'_>,
) -> Result<Answer, Refusal> {
    let parsed: Vec<Result<Entry<'_>, Refusal>> =
        root.items_at("entry").map(|node| Entry::parse(node, &context.options.base_url)).collect();
    // An entry cannot know the id that another entry creates. Only a PUT states its id, so only its fullUrl is resolved.
    let by_full_url: HashMap<String, String> = parsed
        .iter()
        .flatten()
        .filter_map(|entry| Some((entry.full_url?.to_owned(), put_target(entry)?)))
        .collect();
    let bundled = BundleReferences { by_full_url: &by_full_url, own: OwnBase::of(&context.options.base_url) };
    let requests: Vec<Result<Request, Refusal>> =
        parsed.into_iter().map(|entry| request_of(&entry?, &bundled, headers)).collect();
    let unreadable = requests.iter().filter_map(|request| request.as_ref().err());
    if let (count, Some(refusal)) = (unreadable.clone().count(), unreadable.clone().next()) {
        let line = format!("POST / entries that cannot be read: {count}");
        context
            .record_unrouted(party, line, (headers.request_id.clone(), headers.peer.clone()), refusal)
            .await?;
    }
    let mut entries = Vec::new();
    let mut on_the_grid = 0;
    for request in requests {
        let answer = match request {
            Ok(request) => {
                let (verb, path) = (request.verb, request.path.clone());
                let answer = handle(request).await;
                on_the_grid += u32::from(context.grid(party, (verb, &path), &answer).is_some());
                answer
            }
            Err(refusal) => Err(refusal),
        };
        entries.push(response_entry(answer, headers.preference));
    }
    let mut answer = answer(context, BundleKind::BatchResponse, entries)?;
    answer.on_the_grid = Some(on_the_grid.max(1));
    // Every entry has its own access record.
    answer.recorded = true;
    Ok(answer)
}

/// The `Type/id` that a PUT entry writes.
fn put_target(entry: &Entry<'_>) -> Option<String> {
    match entry.path.as_slice() {
        [type_name, id] if entry.verb == Verb::Put => Some(format!("{type_name}/{id}")),
        _ => None,
    }
}

/// The request of an entry, as if it had been sent alone.
fn request_of(
    entry: &Entry<'_>,
    bundled: &BundleReferences<'_>,
    headers: &Headers,
) -> Result<Request, Refusal> {
    let mut replace = |_: ReferenceSite, text: &str, _: &str| match bundled.meaning(text, entry.full_url) {
        ReferenceMeaning::Text(text) => Some(text),
        ReferenceMeaning::AsWritten | ReferenceMeaning::Conditional(_) | ReferenceMeaning::UnknownUrn => None,
    };
    let text = entry.resource.map(|resource| rewritten(resource, &mut replace));
    let mut request = entry.request(text)?;
    request.headers.preference = headers.preference;
    request.headers.request_id.clone_from(&headers.request_id);
    request.headers.peer.clone_from(&headers.peer);
    if request.path.is_empty() && request.verb == Verb::Post {
        let message = "a Bundle holds no other batch or transaction";
        return Err(Refusal::bad_request(IssueCode::Invalid, message));
    }
    Ok(request)
}

/// The response entry of one answer or refusal.
pub(super) fn response_entry(answer: Result<Answer, Refusal>, preference: Preference) -> BundleEntry {
    match answer {
        Ok(answer) => {
            let mut entry = BundleEntry {
                response: Some(EntryResponse {
                    status: status_line(answer.kind.status()),
                    location: answer.location,
                    etag: answer.version_id.map(|version| format!("W/\"{version}\"")),
                    last_modified: answer.last_modified,
                    outcome: None,
                }),
                ..BundleEntry::default()
            };
            if let Body::Disclosed(disclosed) = answer.body
                && (answer.written.is_none() || preference == Preference::Representation)
            {
                entry.resource = Some(disclosed);
            }
            entry
        }
        Err(refusal) => BundleEntry {
            response: Some(EntryResponse {
                status: status_line(refusal.kind.status()),
                outcome: Some(refusal.outcome),
                ..EntryResponse::default()
            }),
            ..BundleEntry::default()
        },
    }
}

/// The status code and its reason phrase, as `Bundle.entry.response.status` has them.
fn status_line(status: u16) -> String {
    http::StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

pub(super) fn answer(
    context: &Context,
    kind: BundleKind,
    entries: Vec<BundleEntry>,
) -> Result<Answer, Refusal> {
    let bundle = Bundle {
        kind,
        id: context.fresh_id()?.to_string(),
        time: context.now(),
        total: None,
        links: Vec::new(),
        entries,
    };
    Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
}

#[cfg(test)]
mod tests {
    use super::status_line;

    #[test]
    fn a_status_has_its_reason() {
        for (status, line) in
            [(200, "200 OK"), (412, "412 Precondition Failed"), (415, "415 Unsupported Media Type")]
        {
            assert_eq!(status_line(status), line);
        }
    }
}

//! history of an instance, a type or the system (R4 http.html#history): newest first, each entry with what was asked and
//! answered, versions that the party may see.
use std::collections::HashMap;

use crate::consent::{Bundle, BundleEntry, BundleKind, EntryResponse};
use crate::definitions::TypeDef;
use crate::model::{IssueCode, Millis, Temporal};
use crate::store::{At, HistoryEntry, HistoryScope, Method, Repository, Sequence, Stored, Way};

use super::answer::{Answer, Body, Kind, Refusal};
use super::cursor::Cursor;
use super::request::{Request, encode};
use super::route::Place;
use super::session::{Seen, Session};

/// What a history is asked for.
#[derive(Default)]
struct Asked {
    since: Option<Millis>,
    /// Versions that were current at some time in this interval.
    at: Option<crate::model::Interval>,
    count: Option<usize>,
    cursor: Option<String>,
    used: String,
}

pub(super) fn history(session: &Session<'_>, place: &Place, request: &Request) -> Result<Answer, Refusal> {
    let asked = parse(&request.query)?;
    let scope = match place {
        Place::System => HistoryScope::System,
        Place::Type(def) => HistoryScope::Type(def),
        Place::Instance(def, id) => match session.look(def, id)? {
            Seen::Resource { current, .. } => HistoryScope::Row(current.row),
            Seen::Deleted(current) => HistoryScope::Row(current.row),
            Seen::Nothing { .. } => return Err(Refusal::not_found()),
        },
        Place::Version(..) | Place::Compartment(..) => return Err(Refusal::not_found()),
    };
    let path = request.path.join("/");
    let bound = format!("{path}?{}", asked.used);
    let (mut sequence, mut offset) = (session.snapshot().sequence(), 0);
    if let Some(cursor) = &asked.cursor {
        let cursor = session.engine.unseal(cursor, session.lens.party(), &bound)?;
        (sequence, offset) = (Sequence(cursor.sequence), cursor.offset);
    }
    let then = session.engine.kv.snapshot(At::Sequence(sequence))?;
    let repository = Repository::new(&*then);
    let mut entries = Vec::new();
    let mut ended: HashMap<u64, Millis> = HashMap::new();
    // Which version is the newest so far that has none before it.
    let mut first: HashMap<u64, usize> = HashMap::new();
    for found in repository.history(scope, asked.since)? {
        // What is hidden ends nothing, and comes before nothing.
        let Some(shown) = entry(session, &repository, found)? else { continue };
        first.remove(&found.row);
        let until = ended.insert(found.row, found.time).unwrap_or(Millis::MAX);
        if asked.at.is_some_and(|at| found.time >= at.end || until <= at.start) {
            continue;
        }
        first.insert(found.row, entries.len());
        entries.push((found, shown));
    }
    for index in first.into_values() {
        if let Some((found, shown)) = entries.get_mut(index)
            && !is_preceded(session, &repository, *found)?
        {
            as_made(shown);
        }
    }
    let entries: Vec<BundleEntry> = entries.into_iter().map(|(_, shown)| shown).collect();
    let options = &session.engine.options;
    let len = asked.count.unwrap_or(options.page_len_default).min(options.page_len_max);
    let total = entries.len();
    let base = format!("{}/{path}", options.base_url);
    let mut links =
        vec![("self", if asked.used.is_empty() { base.clone() } else { format!("{base}?{}", asked.used) })];
    if len > 0 && offset + len < total {
        let made = session.engine.now();
        let (offset, way) = (offset + len, Way::Onward);
        let cursor =
            Cursor { sequence: sequence.0, row: 0, offset, way, total: None, made, first_asked: made };
        let sealed = session.engine.seal(&cursor, session.lens.party(), &bound)?;
        let separator = if asked.used.is_empty() { "" } else { "&" };
        links.push(("next", format!("{base}?{}{separator}_cursor={sealed}", asked.used)));
    }
    let bundle = Bundle {
        kind: BundleKind::History,
        id: session.engine.fresh_id()?.to_string(),
        time: session.engine.now(),
        total: Some(total),
        links,
        entries: entries.into_iter().skip(offset).take(len).collect(),
    };
    Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
}

fn parse(query: &[(String, String)]) -> Result<Asked, Refusal> {
    let mut asked = Asked::default();
    let mut used = Vec::new();
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        let malformed = || Refusal::bad_request(IssueCode::Invalid, format!("`{name}` cannot be `{value}`"));
        let date =
            || Temporal::parse(&value.replace(' ', "+")).map(|date| date.interval()).ok_or_else(malformed);
        match name.as_str() {
            "_since" => asked.since = Some(date()?.start),
            "_at" => asked.at = Some(date()?),
            "_count" => asked.count = Some(value.parse().map_err(|_| malformed())?),
            "_cursor" => {
                asked.cursor = Some(value.clone());
                continue;
            }
            "_format" | "_pretty" => {}
            _ => {
                let message = format!("unknown parameter `{name}`; a history takes _since, _at and _count");
                return Err(Refusal::bad_request(IssueCode::NotSupported, message));
            }
        }
        used.push(format!("{}={}", encode(name), encode(value)));
    }
    asked.used = used.join("&");
    Ok(asked)
}

fn entry(
    session: &Session<'_>,
    repository: &Repository<'_>,
    found: HistoryEntry,
) -> Result<Option<BundleEntry>, Refusal> {
    let Some(stored) = repository.version(found.row, found.sequence)? else { return Ok(None) };
    let version_id = session.version_id(stored.sequence);
    let is_deletion = stored.method == Method::Delete;
    let later = session.later(found.row, stored.sequence)?;
    // A deletion is news for whom what it deleted would be shown.
    let before = if is_deletion { text_before(repository, found)? } else { None };
    let Some(decided_by) = (if is_deletion { before.as_ref() } else { Some(&stored) }) else {
        return Ok(None);
    };
    let later: Vec<&Stored> = later.iter().collect();
    let Some(shown) = session.lens.show(decided_by, &version_id, &later)? else { return Ok(None) };
    let reference = format!("{}/{}", stored.def.name, stored.id);
    Ok(Some(BundleEntry {
        full_url: Some(format!("{}/{reference}", session.engine.options.base_url)),
        resource: (!is_deletion).then_some(shown),
        request: Some(asked_for(stored.def, stored.method, &reference)),
        response: Some(EntryResponse {
            status: match stored.method {
                Method::Create => "201".to_owned(),
                Method::Update => "200".to_owned(),
                Method::Delete => "204".to_owned(),
            },
            etag: Some(format!("W/\"{version_id}\"")),
            last_modified: Some(stored.time),
            ..EntryResponse::default()
        }),
        ..BundleEntry::default()
    }))
}

/// Whether the party sees a version before this one.
fn is_preceded(
    session: &Session<'_>,
    repository: &Repository<'_>,
    found: HistoryEntry,
) -> Result<bool, Refusal> {
    for sequence in
        repository.versions(found.row)?.into_iter().skip_while(|sequence| *sequence >= found.sequence)
    {
        let Some(older) = repository.version(found.row, sequence)? else { continue };
        let older = HistoryEntry { row: found.row, sequence, time: older.time };
        if entry(session, repository, older)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first version that is seen was made as far as its reader knows, whatever came before it.
fn as_made(entry: &mut BundleEntry) {
    let Some((method, url)) = &mut entry.request else { return };
    if method == "PUT" {
        "POST".clone_into(method);
        url.truncate(url.find('/').unwrap_or(url.len()));
        if let Some(response) = &mut entry.response {
            "201".clone_into(&mut response.status);
        }
    }
}

/// The newest version with a text before a deletion.
fn text_before(repository: &Repository<'_>, found: HistoryEntry) -> Result<Option<Stored>, Refusal> {
    for sequence in
        repository.versions(found.row)?.into_iter().skip_while(|sequence| *sequence >= found.sequence)
    {
        let stored = repository.version(found.row, sequence)?.filter(|stored| !stored.text.is_empty());
        if stored.is_some() {
            return Ok(stored);
        }
    }
    Ok(None)
}

fn asked_for(def: &TypeDef, method: Method, reference: &str) -> (String, String) {
    match method {
        Method::Create => ("POST".to_owned(), def.name.to_string()),
        Method::Update => ("PUT".to_owned(), reference.to_owned()),
        Method::Delete => ("DELETE".to_owned(), reference.to_owned()),
    }
}

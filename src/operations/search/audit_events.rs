//! AuditEvents: made of access records when they are asked for, the newest first.
use std::collections::BTreeSet;

use crate::audit::{audit_events, read_all};
use crate::consent::{Bundle, BundleEntry, BundleKind, SearchMode};
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, Millis, ResourceId, parse};
use crate::search::{Filter, Query, Sort, SortKey, Summary, TotalMode, entries, fulfils, sort_value};
use crate::store::{At, Sequence, Way, compare_values};

use super::super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::super::cursor::Cursor;
use super::super::session::{Seen, Session};
use super::target::self_text;

pub(super) fn audit_search(session: &Session<'_>, query: &Query) -> Result<Answer, Refusal> {
    let options = &session.engine.options;
    let bound = format!("AuditEvent?{}", self_text(query));
    let cursor = match &query.cursor {
        Some(cursor) => Some(session.engine.unseal(cursor, session.lens.party(), &bound)?),
        None => None,
    };
    let sequence = cursor.as_ref().map_or(session.snapshot().sequence(), |cursor| Sequence(cursor.sequence));
    let found = matching(session, query, sequence)?;
    let len = query.count.unwrap_or(options.page_len_default).min(options.page_len_max);
    let is_count = query.summary == Summary::Count || len == 0;
    let offset = cursor.as_ref().map_or(0, |cursor| cursor.offset);
    let total = found.len();
    let mut links = vec![("self", format!("{}/{bound}", options.base_url))];
    let mut page_at = |relation, way, offset| -> Result<(), Refusal> {
        let now = session.engine.now();
        let first_asked = cursor.as_ref().map_or(now, |cursor| cursor.first_asked);
        let cursor =
            Cursor { sequence: sequence.0, row: 0, offset, way, total: Some(total), made: now, first_asked };
        let sealed = session.engine.seal(&cursor, session.lens.party(), &bound)?;
        links.push((relation, format!("{}/{bound}&_cursor={sealed}", options.base_url)));
        Ok(())
    };
    if !is_count && offset + len < total {
        page_at("next", Way::Onward, offset + len)?;
    }
    if !is_count && offset > 0 {
        page_at("previous", Way::Back, offset.saturating_sub(len))?;
    }
    let mut shown = Vec::new();
    for Event { id, text, time, .. } in found.into_iter().skip(offset).take(if is_count { 0 } else { len }) {
        let full_url = Some(format!("{}/AuditEvent/{id}", options.base_url));
        let resource = session.lens.show_derived(text, BTreeSet::new(), time);
        shown.push(BundleEntry {
            full_url,
            resource,
            mode: Some(SearchMode::Match),
            ..BundleEntry::default()
        });
    }
    let bundle = Bundle {
        kind: BundleKind::Searchset,
        id: session.engine.fresh_id()?.to_string(),
        time: session.engine.now(),
        total: (is_count || query.total != Some(TotalMode::None)).then_some(total),
        links,
        entries: shown,
    };
    Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
}

/// An AuditEvent that matches.
struct Event {
    id: String,
    text: String,
    time: Millis,
    /// What it is sorted by.
    values: Vec<Option<Vec<u8>>>,
}

/// The events that fulfil the query, up to a commit.
fn matching(session: &Session<'_>, query: &Query, sequence: Sequence) -> Result<Vec<Event>, Refusal> {
    let mut found = Vec::new();
    if !session.lens.may_audit() {
        return Ok(found);
    }
    let then = session.engine.kv.snapshot(At::Sequence(sequence))?;
    for (place, access) in read_all(&*then)? {
        for (id, text) in audit_events(place, &access) {
            let values = is_match(session, &text, access.time, query)?;
            let is_shown = || session.lens.show_derived(text.clone(), BTreeSet::new(), access.time).is_some();
            if let Some(values) = values.filter(|_| is_shown()) {
                found.push(Event { id, text, time: access.time, values });
            }
        }
    }
    found.reverse();
    found.sort_by(|a, b| compare_values(&query.sort, &a.values, &b.values));
    Ok(found)
}

/// Whether an event matches; if so, what it is sorted by.
fn is_match(
    session: &Session<'_>,
    text: &str,
    time: Millis,
    query: &Query,
) -> Result<Option<Vec<Option<Vec<u8>>>>, Refusal> {
    let corrupt = |_| {
        Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "an event cannot be read"))
    };
    let tree = parse(text.as_bytes().to_vec()).map_err(corrupt)?;
    let own = entries(&session.params, tree.root());
    for filter in &query.filters {
        let filter: &Filter = filter;
        let holds = fulfils(filter, tree.root(), &own, Some(time)).map_err(Refusal::not_supported)?;
        if !holds {
            return Ok(None);
        }
    }
    let value = |sort: &Sort| match &sort.key {
        SortKey::Id => tree.root().str_at("id").map(|id| id.as_bytes().to_vec()),
        SortKey::LastUpdated => Some(time.to_be_bytes().to_vec()),
        SortKey::Param(param) => {
            let values = own.iter().filter(|entry| entry.param == param.id);
            let values = values.filter_map(|entry| sort_value(param.kind, &entry.value));
            if sort.descending { values.max() } else { values.min() }
        }
    };
    Ok(Some(query.sort.iter().map(value).collect()))
}

/// One AuditEvent by its id.
pub(in super::super) fn audit_event(session: &Session<'_>, wanted: &str) -> Result<Answer, Refusal> {
    let Some(def) = r4().resource("AuditEvent") else { return Err(Refusal::not_found()) };
    for (place, access) in read_all(session.snapshot())? {
        for (id, text) in audit_events(place, &access) {
            if id == wanted
                && let Some(shown) = session.lens.show_derived(text, BTreeSet::new(), access.time)
            {
                return Ok(Answer::new(Kind::Ok, Body::Disclosed(shown)));
            }
        }
    }
    match session.look(def, &ResourceId::parse(wanted).ok_or_else(Refusal::not_found)?)? {
        Seen::Resource { disclosed, .. } => Ok(Answer::of(Kind::Ok, *disclosed)),
        Seen::Deleted(_) | Seen::Nothing { .. } => Err(Refusal::not_found()),
    }
}

//! history of an instance, a type or the system (R4 http.html#history): the versions that the party may see, newest first, each
//! entry with its request and response.
use std::collections::HashMap;

use crate::consent::{Bundle, BundleEntry, BundleKind, EntryResponse, HighWaterMark};
use crate::definitions::TypeDef;
use crate::model::{IssueCode, Millis, Temporal};
use crate::store::{
    At, HistoryEntry, HistoryPlace, HistoryRange, HistoryScope, Method, Repository, Sequence, Way,
};

use super::answer::{Answer, Body, Kind, Refusal};
use super::cursor::Cursor;
use super::place::Place;
use super::request::{Request, encode};
use super::session::{Seen, Session};

/// How many versions of one resource are counted for the total, if they fill more than a page.
const COUNTED_MAX: usize = 1_000;
/// How many versions are read from the store at once.
const READ_LEN: usize = 128;
/// How many resources a walk keeps in memory.
const ROWS_MAX: usize = 10_000;

/// The parameters of a history request.
#[derive(Default)]
struct HistoryQuery {
    since: Option<Millis>,
    /// Asks for versions that were current at some time in this interval.
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
    let options = &session.context.options;
    let len = asked.count.unwrap_or(options.page_len_default).min(options.page_len_max);
    let cursor = match &asked.cursor {
        Some(cursor) => Some(session.context.cursor(cursor, session.lens.party(), &path)?),
        None => None,
    };
    // The data are those of the first page's snapshot; consent is evaluated now.
    let sequence = cursor.as_ref().map_or(session.snapshot().sequence(), |cursor| Sequence(cursor.sequence));
    let then = session.context.kv.snapshot(At::Sequence(sequence))?;
    let mut walk =
        Walk { session, then: Repository::new(&*then), scope, asked: &asked, rows: HashMap::new() };
    let page = walk.page(len, cursor.as_ref())?;
    let base = format!("{}/{path}", options.base_url);
    let mut links =
        vec![("self", if asked.used.is_empty() { base.clone() } else { format!("{base}?{}", asked.used) })];
    if let Some(HistoryPlace { sequence: version, row }) = page.last.filter(|_| page.has_next) {
        let made = session.context.now();
        let first_asked = cursor.map_or(made, |cursor| cursor.first_asked);
        let offset = usize::try_from(version.0).unwrap_or(usize::MAX);
        let (sequence, way, total) = (sequence.0, Way::Onward, page.total);
        let cursor = Cursor { sequence, row, included: 0, offset, way, total, made, first_asked };
        links.push(("next", session.context.page_link(&cursor, session.lens.party(), (&path, &asked.used))?));
    }
    let bundle = Bundle {
        kind: BundleKind::History,
        id: session.context.fresh_id()?.to_string(),
        time: session.context.now(),
        total: page.total,
        links,
        entries: page.entries,
    };
    Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
}

fn parse(query: &[(String, String)]) -> Result<HistoryQuery, Refusal> {
    let mut asked = HistoryQuery::default();
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

/// A page of a history.
#[derive(Default)]
struct Page {
    entries: Vec<BundleEntry>,
    /// The position of the last version on it.
    last: Option<HistoryPlace>,
    has_next: bool,
    /// How many versions the party may see, if they are few enough to count.
    total: Option<usize>,
}

/// What a walk knows of a resource of which it has met a version.
#[derive(Default)]
struct Row {
    later: HighWaterMark,
    /// When the next newer visible version was made, which ends the validity of an older one.
    until: Option<Millis>,
    /// Versions that were skipped without being read.
    unread: Vec<Sequence>,
}

/// A walk through a history from the newest version to the oldest. It reads every version once, and remembers what the version
/// means for older versions of its resource.
struct Walk<'w, 's> {
    session: &'w Session<'s>,
    /// The snapshot that the first page read.
    then: Repository<'w>,
    scope: HistoryScope,
    asked: &'w HistoryQuery,
    rows: HashMap<u64, Row>,
}

impl Walk<'_, '_> {
    fn page(&mut self, len: usize, cursor: Option<&Cursor>) -> Result<Page, Refusal> {
        let begin = cursor.and_then(|cursor| {
            let sequence = Sequence(u64::try_from(cursor.offset).ok()?);
            Some(HistoryPlace { sequence, row: cursor.row })
        });
        // A total on the first page means that there are few versions. It is counted again, by what may be seen now.
        let counts = cursor.is_none_or(|cursor| cursor.total.is_some());
        let counted_max = match self.scope {
            HistoryScope::Row(_) => COUNTED_MAX,
            HistoryScope::Type(_) | HistoryScope::System => {
                len.saturating_add(self.session.context.options.total_unasked_max)
            }
        };
        let (mut page, mut seen) = (Page::default(), 0_usize);
        // The oldest version of each resource on the page, and the index of its entry.
        let mut oldest: HashMap<u64, (HistoryPlace, usize)> = HashMap::new();
        let after = if counts { None } else { begin };
        let mut range = HistoryRange { since: self.asked.since, after, len: READ_LEN };
        'walk: loop {
            let read = self.then.history(self.scope, range)?;
            for found in &read {
                let Some(entry) = self.entry(*found)? else { continue };
                seen += 1;
                if begin.is_some_and(|begin| found.place >= begin) {
                    continue;
                }
                if page.entries.len() < len {
                    page.last = Some(found.place);
                    oldest.insert(found.place.row, (found.place, page.entries.len()));
                    page.entries.push(entry);
                } else {
                    page.has_next = true;
                }
                if page.has_next && (!counts || seen > counted_max) {
                    break 'walk;
                }
            }
            match read.last() {
                Some(last) if read.len() == READ_LEN => range.after = Some(last.place),
                _ => {
                    page.total = counts.then_some(seen);
                    break;
                }
            }
        }
        for (place, index) in oldest.into_values() {
            if let Some(entry) = page.entries.get_mut(index)
                && is_update(entry)
                && !self.is_preceded(place)?
            {
                as_made(entry);
            }
        }
        Ok(page)
    }

    /// The entry of a version, if the party may see it.
    fn entry(&mut self, found: HistoryEntry) -> Result<Option<BundleEntry>, Refusal> {
        let HistoryPlace { sequence, row: number } = found.place;
        let mut row = match self.rows.remove(&number) {
            Some(row) => row,
            None => self.row(found.place)?,
        };
        let until = row.until.unwrap_or(Millis::MAX);
        let entry = if self.asked.at.is_some_and(|at| found.time >= at.end || until <= at.start) {
            row.unread.push(sequence);
            None
        } else {
            for unread in std::mem::take(&mut row.unread) {
                let stored = self.then.version(number, unread)?;
                if let Some(stored) = stored.filter(|stored| !stored.text.is_empty()) {
                    self.session.lens.remember(&stored, &mut row.later)?;
                }
            }
            self.shown(found.place, &mut row.later)?
        };
        if entry.is_some() {
            // A hidden version does not end the validity of the version before it.
            row.until = Some(found.time);
        }
        if self.rows.len() >= ROWS_MAX {
            // Forgotten rows are computed again when they are met.
            self.rows.clear();
        }
        self.rows.insert(number, row);
        Ok(entry)
    }

    /// The state of a resource when the walk meets the first of its versions, which need not be its newest.
    fn row(&self, place: HistoryPlace) -> Result<Row, Refusal> {
        let mut row = Row::default();
        let Some(at) = self.asked.at else {
            row.later = self.session.later(place.row, place.sequence)?;
            return Ok(row);
        };
        // Newer versions that the party sees end the validity of this one.
        let newest = HistoryPlace { sequence: Sequence(u64::MAX), row: place.row };
        row.later = self.session.later(place.row, self.then.snapshot().sequence())?;
        self.older(newest, |newer, time| {
            if newer <= place {
                return Ok(false);
            }
            let is_seen = self.shown(newer, &mut row.later)?.is_some();
            if is_seen && time < at.end {
                row.until = Some(time);
            }
            Ok(true)
        })?;
        Ok(row)
    }

    /// Whether the party sees an older version than this one.
    fn is_preceded(&self, place: HistoryPlace) -> Result<bool, Refusal> {
        let mut later = self.session.later(place.row, place.sequence)?;
        self.shown(place, &mut later)?;
        let mut is_preceded = false;
        self.older(place, |older, _| {
            is_preceded = self.shown(older, &mut later)?.is_some();
            Ok(!is_preceded)
        })?;
        Ok(is_preceded)
    }

    /// Visits the versions of a resource older than a place, newest first, until `visit` returns `false`.
    fn older(
        &self,
        place: HistoryPlace,
        mut visit: impl FnMut(HistoryPlace, Millis) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        let mut range = HistoryRange { since: None, after: Some(place), len: READ_LEN };
        loop {
            let read = self.then.history(HistoryScope::Row(place.row), range)?;
            for found in &read {
                if !visit(found.place, found.time)? {
                    return Ok(());
                }
            }
            match read.last() {
                Some(last) if read.len() == READ_LEN => range.after = Some(last.place),
                _ => return Ok(()),
            }
        }
    }

    fn shown(&self, place: HistoryPlace, later: &mut HighWaterMark) -> Result<Option<BundleEntry>, Refusal> {
        let session = self.session;
        let Some(stored) = self.then.version(place.row, place.sequence)? else { return Ok(None) };
        let version_id = session.version_id(stored.sequence);
        let is_deletion = stored.method == Method::Delete;
        // A deletion is shown to those who may see what it deleted.
        let before = if is_deletion { self.then.text_before(place)? } else { None };
        let Some(decided_by) = (if is_deletion { before.as_ref() } else { Some(&stored) }) else {
            return Ok(None);
        };
        let Some(shown) = session.lens.show_before(decided_by, &version_id, later)? else { return Ok(None) };
        let reference = format!("{}/{}", stored.def.name, stored.id);
        Ok(Some(BundleEntry {
            full_url: Some(format!("{}/{reference}", session.context.options.base_url)),
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
}

fn is_update(entry: &BundleEntry) -> bool {
    entry.request.as_ref().is_some_and(|(method, _)| method == "PUT")
}

/// Presents the oldest version that the reader sees as a creation, so that it does not reveal hidden versions before it.
fn as_made(entry: &mut BundleEntry) {
    if let Some((method, url)) = &mut entry.request {
        "POST".clone_into(method);
        url.truncate(url.find('/').unwrap_or(url.len()));
    }
    if let Some(response) = &mut entry.response {
        "201".clone_into(&mut response.status);
    }
}

fn asked_for(def: &TypeDef, method: Method, reference: &str) -> (String, String) {
    match method {
        Method::Create => ("POST".to_owned(), def.name.to_string()),
        Method::Update => ("PUT".to_owned(), reference.to_owned()),
        Method::Delete => ("DELETE".to_owned(), reference.to_owned()),
    }
}

//! Searches AuditEvents, which are made from access records when they are asked for, a page at a time.
use crate::audit::{
    Access, Bounds, Candidate, Candidates, Event, EventQuery, Making, Reader, RecordPlace, Records,
    event_from_outside, events_of, is_told, record, record_of_event, suspended,
};
use crate::consent::{Bundle, BundleEntry, BundleKind, SearchMode};
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, Millis, Reference, ReferenceTarget, ResourceId, parse};
use crate::search::{Filter, Query, Sort, SortKey, Summary, TotalMode, entries, fulfils, sort_value};
use crate::store::{At, Direction, Sequence, Snapshot, StoreError, Way, compare_values};

use super::super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::super::cursor::Cursor;
use super::super::session::Session;
use super::part::{Part, self_text, unshown};
use super::reduce::reduce_by;

/// A search of AuditEvents.
pub(super) struct AuditSearch<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) def: &'static TypeDef,
    /// The path below the base URL.
    pub(super) path: &'a str,
    pub(super) filters: &'a [Filter],
    /// The id of the patient whose compartment is searched.
    pub(super) compartment: Option<&'a ResourceId>,
    pub(super) query: &'a Query,
}

/// The order of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
    /// By something other than time, for which all matches must be read.
    Sorted,
}

impl Order {
    /// CHOICE: order by time is the order in which the records were committed, so that a page costs no more than it shows.
    /// Requests that overlap may be some milliseconds out of order.
    fn of(query: &Query) -> Self {
        let is_time = |key: &SortKey| match key {
            SortKey::LastUpdated => true,
            SortKey::Param(param) => &*param.code == "date",
            SortKey::Id => false,
        };
        match query.sort.as_slice() {
            [] => Self::NewestFirst,
            [sort] if is_time(&sort.key) && sort.descending => Self::NewestFirst,
            [sort] if is_time(&sort.key) => Self::OldestFirst,
            _ => Self::Sorted,
        }
    }

    fn direction(self, way: Way) -> Direction {
        match (self, way) {
            (Self::NewestFirst | Self::Sorted, Way::Onward) | (Self::OldestFirst, Way::Back) => {
                Direction::Reverse
            }
            (Self::NewestFirst | Self::Sorted, Way::Back) | (Self::OldestFirst, Way::Onward) => {
                Direction::Forward
            }
        }
    }
}

/// An AuditEvent that matches.
struct MatchingEvent {
    /// The record from which it is made, and its index among the events of that record.
    place: (RecordPlace, usize),
    id: String,
    patient: Option<String>,
    /// If it is one patient's part of a record about many: the row of that patient.
    part: Option<u64>,
    text: String,
    time: Millis,
    /// The values that it is sorted by.
    values: Vec<Option<Vec<u8>>>,
}

impl MatchingEvent {
    /// An event that is counted and not shown, so its text is not made.
    fn unmade(place: (RecordPlace, usize), time: Millis) -> Self {
        let (id, text) = (String::new(), String::new());
        Self { place, id, patient: None, part: None, text, time, values: Vec::new() }
    }
}

/// Where the records come from in which events are searched.
enum Reading<'r> {
    OfPatient(Records<'r>),
    ByIndex(Candidates<'r>),
}

impl Reading<'_> {
    fn read(&mut self) -> Result<Option<(Candidate, Access)>, StoreError> {
        match self {
            Self::OfPatient(records) => {
                let read = records.read()?;
                Ok(read.map(|(place, access)| (Candidate { place, matching: None }, access)))
            }
            Self::ByIndex(candidates) => candidates.read(),
        }
    }
}

/// A page of events.
struct PageOfEvents {
    events: Vec<MatchingEvent>,
    /// How many matches precede the page, if they were counted.
    offset: usize,
    has_next: bool,
    has_previous: bool,
    total: Option<usize>,
}

impl AuditSearch<'_, '_> {
    pub(super) fn answer(&self) -> Result<Answer, Refusal> {
        let (session, query) = (self.session, self.query);
        let options = &session.context.options;
        let cursor = match &query.cursor {
            Some(cursor) => Some(session.context.cursor(cursor, session.lens.party(), self.path)?),
            None => None,
        };
        let sequence =
            cursor.as_ref().map_or(session.snapshot().sequence(), |cursor| Sequence(cursor.sequence));
        let then = session.context.kv.snapshot(At::Sequence(sequence))?;
        let len = query.count.unwrap_or(options.page_len_default).min(options.page_len_max);
        let is_count = query.summary == Summary::Count || len == 0;
        let page = if is_count {
            PageOfEvents::counted(self.count(&*then)?)
        } else if Order::of(query) != Order::Sorted {
            self.page(&*then, cursor.as_ref(), len)?
        } else {
            self.sorted_page(&*then, cursor.as_ref(), len)?
        };
        let links = self.links(&self_text(query), sequence, cursor.as_ref(), len, &page)?;
        let total = page.total.filter(|_| is_count || query.total != Some(TotalMode::None));
        let bundle = Bundle {
            kind: BundleKind::Searchset,
            id: session.context.fresh_id()?.to_string(),
            time: session.context.now(),
            total,
            links,
            entries: page.events.into_iter().filter_map(|found| self.entry(found)).collect(),
        };
        let shown = bundle.entries.len();
        let mut answer = Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose()));
        let part = Part { def: self.def, filters: self.filters.to_vec(), sort: Vec::new() };
        let request = (self.path, query.used.as_slice());
        // CHOICE: a count of accesses is recorded for the patient whom it names, not for all whose accesses it counted: to find
        // them takes as long as the count, and would tell patients of the auditors' work.
        answer.unshown = unshown(session, &[part], request, (shown, None), then.sequence());
        Ok(answer)
    }

    fn entry(&self, found: MatchingEvent) -> Option<BundleEntry> {
        let shown =
            self.session.lens.show_derived(found.text, found.patient.into_iter().collect(), found.time)?;
        Some(BundleEntry {
            full_url: Some(format!("{}/AuditEvent/{}", self.session.context.options.base_url, found.id)),
            resource: Some(reduce_by(&shown, self.def, self.query.summary, &self.query.elements)),
            mode: Some(SearchMode::Match),
            ..BundleEntry::default()
        })
    }

    /// The patient whose records are read: the party itself if it may see no other's, else the patient that is asked for.
    fn patient(&self) -> Option<String> {
        let lens = &self.session.lens;
        let asked = self.query.used.iter().find_map(|(name, value)| named_patient(name, value));
        let asked = self.compartment.map(|id| id.as_str().to_owned()).or(asked);
        if lens.may_audit() || asked.as_ref().is_some_and(|id| lens.is_subject(&format!("Patient/{id}"))) {
            return asked;
        }
        // The empty id of a party that is no patient finds nothing.
        Some(lens.party().own_patient().unwrap_or_default().to_owned())
    }

    /// Visits the matches that follow a place, until `visit` returns `false`. After the first `texts` matches, texts may be
    /// missing.
    fn walk(
        &self,
        then: &dyn Snapshot,
        (from, texts): (Option<(RecordPlace, usize)>, usize),
        way: Way,
        visit: &mut dyn FnMut(MatchingEvent) -> bool,
    ) -> Result<(), Refusal> {
        let direction = Order::of(self.query).direction(way);
        let bounds = Bounds { direction, from: from.map(|(place, _)| place), until: then.sequence() };
        let sees_all = self.session.lens.may_see_all_accesses();
        self.with_records(then, bounds, |records| {
            let mut visited = 0;
            while let Some((candidate, access)) = records.read()? {
                let place = candidate.place;
                // An event that is only counted is not made, if the index says that it matches and the party may see all events.
                let known = candidate.matching.as_ref().filter(|_| visited >= texts && sees_all);
                let mut events = match known {
                    Some(matching) => matching
                        .iter()
                        .map(|number| MatchingEvent::unmade((place, *number), access.time))
                        .collect(),
                    None => self.of_record(&candidate, &access)?,
                };
                if let Some((_, at)) = from.filter(|(record, _)| *record == place) {
                    events.retain(|found| match direction {
                        Direction::Reverse => found.place.1 < at,
                        Direction::Forward => found.place.1 > at,
                    });
                }
                visited += events.len();
                if direction == Direction::Reverse {
                    events.reverse();
                }
                for found in events {
                    if !visit(found) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// Calls `with` with the records in which matches may be.
    ///
    /// Auditors use the index of events. It indexes events as auditors read them, so it must not serve others: its results would
    /// reveal what they are not shown. For others the records of one patient are read.
    fn with_records<T>(
        &self,
        then: &dyn Snapshot,
        bounds: Bounds,
        with: impl FnOnce(&mut Reading<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let context = self.session.context;
        let patient = self.patient();
        if !self.session.lens.may_audit() {
            let records = Records::new(then, patient.as_deref(), bounds.direction, bounds.from);
            return with(&mut Reading::OfPatient(records));
        }
        let view = context.audit_index.view(&*context.kv)?;
        let filter = Filter::All(self.filters.to_vec());
        let sequence_of = |id: &str| context.cipher.sequence(id);
        let place_of_event = |id: &str| record_of_event(id, &sequence_of).map(|(place, _)| place);
        let asked =
            EventQuery { filter: &filter, patient: patient.as_deref(), place_of_event: &place_of_event };
        with(&mut Reading::ByIndex(view.candidates(&asked, bounds)?))
    }

    /// The events of a record that the party may see and that match.
    fn of_record(&self, candidate: &Candidate, access: &Access) -> Result<Vec<MatchingEvent>, Refusal> {
        let place = candidate.place;
        // To sort, the event itself is needed, not only whether it matches.
        let known = candidate.matching.as_ref().filter(|_| Order::of(self.query) != Order::Sorted);
        let mut found = Vec::new();
        for (event, number) in made(self.session, place, access)?.into_iter().zip(0_usize..) {
            if !may_read(self.session, &event, Some(access))? {
                continue;
            }
            let values = match known {
                Some(matching) => matching.contains(&number).then(Vec::new),
                None => self.is_match(&event.text, access.time)?,
            };
            // The scopes may reach only some of the events.
            let is_shown = || {
                let patients = event.patient.clone().into_iter().collect();
                self.session.lens.show_derived(event.text.clone(), patients, access.time).is_some()
            };
            if let Some(values) = values.filter(|_| is_shown()) {
                let (id, patient, text) = (event.id, event.patient, event.text);
                let part = access.row_of_part();
                found.push(MatchingEvent {
                    place: (place, number),
                    id,
                    patient,
                    part,
                    text,
                    time: access.time,
                    values,
                });
            }
        }
        Ok(found)
    }

    /// Whether an event matches; if so, the values that it is sorted by.
    fn is_match(&self, text: &str, time: Millis) -> Result<Option<Vec<Option<Vec<u8>>>>, Refusal> {
        let corrupt = |_| {
            Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "an event cannot be read"))
        };
        let tree = parse(text.as_bytes().to_vec()).map_err(corrupt)?;
        let own = entries(&self.session.params, tree.root());
        for filter in self.filters {
            if !fulfils(filter, tree.root(), &own, Some(time)).map_err(Refusal::not_supported)? {
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
        Ok(Some(self.query.sort.iter().map(value).collect()))
    }

    fn count(&self, then: &dyn Snapshot) -> Result<usize, Refusal> {
        let bounds = Bounds { direction: Direction::Forward, from: None, until: then.sequence() };
        let sees_all = self.session.lens.may_see_all_accesses();
        self.with_records(then, bounds, |records| match records {
            // If the party may see only some events, each is made and checked.
            Reading::ByIndex(candidates) if sees_all => candidates.count(&mut |place, access| {
                Ok(self.of_record(&Candidate { place, matching: None }, access)?.len())
            }),
            records => {
                let mut count = 0;
                while let Some((candidate, access)) = records.read()? {
                    count += self.of_record(&candidate, &access)?.len();
                }
                Ok(count)
            }
        })
    }

    /// A page in the order of the records. It reads no more records than it needs.
    fn page(
        &self,
        then: &dyn Snapshot,
        cursor: Option<&Cursor>,
        len: usize,
    ) -> Result<PageOfEvents, Refusal> {
        let way = cursor.map_or(Way::Onward, |cursor| cursor.way);
        let from = cursor.map(place_of);
        // One more match shows that there is a next page; the first page reads on to find a total that was not asked for.
        let looks_further = cursor.is_none() && self.query.total.is_none();
        let further = if looks_further { self.session.context.options.total_unasked_max } else { 0 };
        let wanted = len + 1 + further;
        let mut events = Vec::new();
        self.walk(then, (from, len), way, &mut |found| {
            events.push(found);
            events.len() < wanted
        })?;
        let is_cut = events.len() > len;
        let small_total = (cursor.is_none() && events.len() < wanted).then_some(events.len());
        events.truncate(len);
        if way == Way::Back {
            events.reverse();
        }
        let wants_total = matches!(self.query.total, Some(TotalMode::Accurate | TotalMode::Estimate));
        let total = match small_total.or(cursor.and_then(|cursor| cursor.total)) {
            None if wants_total => Some(self.count(then)?),
            known => known,
        };
        Ok(PageOfEvents {
            events,
            offset: 0,
            has_next: way == Way::Back || is_cut,
            has_previous: if way == Way::Onward { cursor.is_some() } else { is_cut },
            total,
        })
    }

    /// A page in another order, for which all matches are read.
    fn sorted_page(
        &self,
        then: &dyn Snapshot,
        cursor: Option<&Cursor>,
        len: usize,
    ) -> Result<PageOfEvents, Refusal> {
        let mut found = Vec::new();
        self.walk(then, (None, usize::MAX), Way::Onward, &mut |event| {
            // The texts of the events on the page are made again.
            found.push(MatchingEvent { text: String::new(), ..event });
            true
        })?;
        found.sort_by(|a, b| compare_values(&self.query.sort, &a.values, &b.values));
        let (offset, total) = (cursor.map_or(0, |cursor| cursor.offset), found.len());
        let mut events: Vec<MatchingEvent> = found.into_iter().skip(offset).take(len).collect();
        for event in &mut events {
            let mut access = record(then, event.place.0)?.ok_or_else(Refusal::not_found)?;
            if let Some(row) = event.part {
                let patient = event.patient.clone().unwrap_or_default();
                access = access.part_of_row(row, &patient).ok_or_else(Refusal::not_found)?;
            }
            let again = made(self.session, event.place.0, &access)?.into_iter().nth(event.place.1);
            event.text = again.map(|event| event.text).unwrap_or_default();
        }
        let has_next = offset + events.len() < total;
        Ok(PageOfEvents { events, offset, has_next, has_previous: offset > 0, total: Some(total) })
    }

    fn links(
        &self,
        text: &str,
        sequence: Sequence,
        cursor: Option<&Cursor>,
        len: usize,
        page: &PageOfEvents,
    ) -> Result<Vec<(&'static str, String)>, Refusal> {
        let (context, party) = (self.session.context, self.session.lens.party());
        let own = format!("{}/{}?{text}", context.options.base_url, self.path);
        let mut links = vec![("self", own.trim_end_matches('?').to_owned())];
        let is_sorted = Order::of(self.query) == Order::Sorted;
        let made = context.now();
        let first_asked = cursor.map_or(made, |cursor| cursor.first_asked);
        let mut page_at = |relation, way, at: Option<&MatchingEvent>, offset: usize| -> Result<(), Refusal> {
            let (row, packed) = at.map_or((0, 0), |found| packed(found.place));
            let (row, offset) = if is_sorted { (0, offset) } else { (row, packed) };
            let cursor = Cursor {
                sequence: sequence.0,
                row,
                included: 0,
                offset,
                way,
                total: page.total,
                made,
                first_asked,
            };
            links.push((relation, context.page_link(&cursor, party, (self.path, text))?));
            Ok(())
        };
        if page.has_next {
            page_at("next", Way::Onward, page.events.last(), page.offset + len)?;
        }
        if page.has_previous {
            page_at("previous", Way::Back, page.events.first(), page.offset.saturating_sub(len))?;
        }
        Ok(links)
    }
}

impl PageOfEvents {
    fn counted(total: usize) -> Self {
        Self { events: Vec::new(), offset: 0, has_next: false, has_previous: false, total: Some(total) }
    }
}

/// The lower bits of a cursor's offset are the event's index in its record; the upper ones the record's number in its commit.
const EVENT_BITS: u32 = 32;

/// The place of a record and the index of its event, packed into the row and the offset of a cursor.
fn packed(((Sequence(sequence), number), event): (RecordPlace, usize)) -> (u64, usize) {
    let event = u64::try_from(event).unwrap_or(u64::MAX) & (u64::from(u32::MAX));
    (sequence, usize::try_from(u64::from(number) << EVENT_BITS | event).unwrap_or(usize::MAX))
}

fn place_of(cursor: &Cursor) -> (RecordPlace, usize) {
    let packed = u64::try_from(cursor.offset).unwrap_or(u64::MAX);
    let number = u32::try_from(packed >> EVENT_BITS).unwrap_or(u32::MAX);
    let event = usize::try_from(packed & u64::from(u32::MAX)).unwrap_or(usize::MAX);
    ((Sequence(cursor.row), number), event)
}

/// The id of the patient, if a parameter names exactly one.
fn named_patient(name: &str, value: &str) -> Option<String> {
    let is_of_patients = matches!(name, "patient" | "patient:Patient" | "entity:Patient");
    if !is_of_patients && name != "entity" {
        return None;
    }
    match Reference::parse(value).target {
        ReferenceTarget::Relative(key) | ReferenceTarget::Absolute { key, .. } => {
            (key.type_name == "Patient").then(|| key.id.to_string())
        }
        _ => ResourceId::parse(value).filter(|_| is_of_patients).map(|id| id.to_string()),
    }
}

/// Whether the patient (`Patient/id`) is not told of an access for a while.
fn is_suspended(session: &Session<'_>, patient: &str, access: &Access) -> Result<bool, Refusal> {
    if session.lens.may_audit() {
        return Ok(false);
    }
    let id = patient.strip_prefix("Patient/").unwrap_or(patient);
    let agencies = suspended(session.snapshot(), id, session.context.now())?;
    Ok(!is_told(access, &agencies))
}

/// The events of a record as the party may read them: those made from it, and those of other systems that its request stored.
fn made(session: &Session<'_>, place: RecordPlace, access: &Access) -> Result<Vec<Event>, Refusal> {
    let version_id = |sequence: Sequence| session.version_id(sequence);
    let (events, _) = events_of(session.repository(), place, access, &making(session, &version_id))?;
    Ok(events)
}

/// How events are made for the party.
fn making<'m>(session: &'m Session<'_>, version_id: &'m dyn Fn(Sequence) -> String) -> Making<'m> {
    let reader = if session.lens.may_audit() { Reader::Auditor } else { Reader::Subject };
    Making { reader, base_url: &session.context.options.base_url, version_id }
}

/// An event that another system has added.
fn from_outside(session: &Session<'_>, id: &str) -> Result<Option<Event>, Refusal> {
    let version_id = |sequence: Sequence| session.version_id(sequence);
    Ok(event_from_outside(session.repository(), id, &making(session, &version_id))?)
}

/// Whether the party may read an event of an access.
fn may_read(session: &Session<'_>, event: &Event, access: Option<&Access>) -> Result<bool, Refusal> {
    let Some(patient) = &event.patient else { return Ok(session.lens.may_audit()) };
    let is_suspended = access.map_or(Ok(false), |access| is_suspended(session, patient, access))?;
    Ok(session.lens.may_see_accesses_to(patient) && !is_suspended)
}

/// A record; with a row, that patient's part of a record about many.
fn record_part(
    session: &Session<'_>,
    place: RecordPlace,
    row: Option<u64>,
) -> Result<Option<Access>, Refusal> {
    let access = record(session.snapshot(), place)?;
    let Some(row) = row else { return Ok(access) };
    let Some(current) = session.repository().current_of_row(row)? else { return Ok(None) };
    Ok(access.and_then(|access| access.part_of_row(row, &format!("Patient/{}", current.id))))
}

/// One AuditEvent by its id.
pub(in super::super) fn audit_event(session: &Session<'_>, wanted: &str) -> Result<Answer, Refusal> {
    let sequence_of = |id: &str| session.context.cipher.sequence(id);
    if let Some((place, row)) = record_of_event(wanted, &sequence_of)
        && let Some(access) = record_part(session, place, row)?
        && let Some(event) = made(session, place, &access)?.into_iter().find(|event| event.id == wanted)
        && !event.patient.as_ref().map_or(Ok(false), |patient| is_suspended(session, patient, &access))?
        && let Some(shown) =
            session.lens.show_derived(event.text, event.patient.into_iter().collect(), access.time)
    {
        return Ok(Answer::new(Kind::Ok, Body::Disclosed(shown)));
    }
    let event = from_outside(session, wanted)?.ok_or_else(Refusal::not_found)?;
    if !may_read(session, &event, None)? {
        return Err(Refusal::not_found());
    }
    let shown =
        session.lens.show_derived(event.text, event.patient.into_iter().collect(), session.context.now());
    Ok(Answer::new(Kind::Ok, Body::Disclosed(shown.ok_or_else(Refusal::not_found)?)))
}

#[cfg(test)]
mod tests {
    use super::{named_patient, packed, place_of};
    use crate::operations::cursor::Cursor;
    use crate::store::{Sequence, Way};

    #[test]
    fn the_index_is_used_for_what_names_one_patient() {
        let check = |name, value, expected: Option<&str>| {
            assert_eq!(named_patient(name, value).as_deref(), expected, "{name}={value}");
        };
        check("patient", "Patient/a", Some("a"));
        check("patient", "a", Some("a"));
        check("patient:Patient", "a", Some("a"));
        check("entity", "Patient/a", Some("a"));
        check("entity", "a", None);
        check("patient", "Patient/a,Patient/b", None);
        check("patient.name", "a", None);
        check("patient:missing", "true", None);
    }

    #[test]
    fn a_cursor_holds_the_place_of_an_event() {
        let place = ((Sequence(7), 3), 9);
        let (row, offset) = packed(place);
        let cursor = Cursor {
            sequence: 9,
            row,
            included: 0,
            offset,
            way: Way::Onward,
            total: None,
            made: 0,
            first_asked: 0,
        };
        assert_eq!(place_of(&cursor), place);
    }
}

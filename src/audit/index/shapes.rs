//! Shapes of access records. Records of one shape differ only in their time, the text of the request, and in names and ids: of
//! users, clients, organizations, patients, resources, tokens, requests. The entries of their events differ only in these names
//! and ids. So entries are made once for a shape, with marks for the names and ids, and each record puts its own in place of the
//! marks.
use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::event::audit_events;
use crate::audit::record::{Access, Action, Ground, Item};
use crate::definitions::ParamType;
use crate::model::ResourceId;
use crate::search::{Entry, Param, entries_of_text};
use crate::store::StoreError;

use super::super::making::Making;
use super::super::place::RecordPlace;
use super::entries::{INDEXED, entries_of};
use super::postings::{EventPostings, SharedPostings, posting, present};

/// The number of shapes that are cached.
const SHAPES_MAX: usize = 4_096;
/// What a mark begins with; its number and `MARK_END` follow. Strings are indexed without case and punctuation, which leaves a
/// mark unchanged.
const MARK: &str = "zq7mark";
const MARK_END: char = 'k';
/// Records with more patients and items than this are indexed without a shape.
const ITEMS_MAX: usize = 24;
/// Records with longer names are indexed without a shape: of long texts the index has only the beginning and a hash.
const NAME_LEN_MAX: usize = 200;

/// Cache of the events of shapes.
#[derive(Default)]
pub(super) struct Shapes {
    known: HashMap<String, Vec<ShapeEvent>>,
}

/// An event of a shape.
struct ShapeEvent {
    /// The postings without marks.
    shared: Arc<SharedPostings>,
    marked: Vec<ShapeEntry>,
}

/// An entry with marks in its value.
struct ShapeEntry {
    entry: Entry,
    /// The start, the end and the number of each mark; at least one.
    marks: Vec<(usize, usize, usize)>,
    /// The parameter, if it is a string parameter: then the value is computed anew from the text.
    made_of_text: Option<Arc<Param>>,
    /// Whether the text is lower-cased.
    is_in_small: bool,
}

impl Shapes {
    /// The postings of the events that are made of a record; `None` if its events must be indexed one by one.
    pub(super) fn postings(
        &mut self,
        place: RecordPlace,
        access: &Access,
        making: &Making<'_>,
    ) -> Result<Option<Vec<EventPostings>>, StoreError> {
        let Some((shape, names)) = shape(access) else { return Ok(None) };
        let ids = &names.list;
        // INVARIANT: a struct of texts and numbers always has a JSON form.
        let key = serde_json::to_string(&shape).unwrap_or_default();
        // Text of the record that looks like a mark would be mistaken for one.
        if key.matches(MARK).count() != names.placed {
            return Ok(None);
        }
        let filled = |events: &[ShapeEvent]| events.iter().map(|event| event.filled(ids)).collect();
        if let Some(events) = self.known.get(&key) {
            return Ok(Some(filled(events)));
        }
        let events = audit_events(place, &shape, making);
        let made = events.len();
        let events: Vec<ShapeEvent> = entries_of(&events, made)?.into_iter().map(ShapeEvent::of).collect();
        let filled = filled(&events);
        if self.known.len() >= SHAPES_MAX {
            self.known.clear();
        }
        self.known.insert(key, events);
        Ok(Some(filled))
    }
}

/// A record with marks for its names and ids, without what is not indexed; and these names and ids. `None` for records that bring
/// events of other systems, for large ones, and for those with malformed ids.
fn shape(access: &Access) -> Option<(Access, Names<'_>)> {
    if access.patients.len() + access.released.len() + access.withheld.len() > ITEMS_MAX {
        return None;
    }
    let mut names = Names::default();
    let mut shape = Access {
        time: 0,
        request: String::new(),
        criteria: Vec::new(),
        addition: None,
        reason: None,
        erased: None,
        entered: None,
        ..access.clone()
    };
    shape.patients = access.patients.iter().map(|patient| names.reference(patient)).collect::<Option<_>>()?;
    shape.released = access.released.iter().map(|item| names.item(item)).collect::<Option<_>>()?;
    shape.withheld = access.withheld.iter().map(|item| names.item(item)).collect::<Option<_>>()?;
    if let Some(user) = &access.fhir_user {
        shape.fhir_user = Some(names.reference(user)?);
    }
    if let Some(organization) = &access.organization {
        shape.organization = Some(names.reference(organization)?);
    }
    if !access.token_id.is_empty() {
        shape.token_id = names.mark(&access.token_id);
    }
    (shape.subject, shape.client) = (names.mark(&access.subject), names.mark(&access.client));
    shape.request_id = access.request_id.as_deref().map(|id| names.mark(id));
    shape.peer = access.peer.as_deref().map(|peer| names.mark(peer));
    let is_plain = |name: &&str| name.len() <= NAME_LEN_MAX && !name.contains('\0');
    names.list.iter().all(is_plain).then_some((shape, names))
}

/// The names and ids that marks stand for.
#[derive(Default)]
struct Names<'a> {
    /// By the number of their mark.
    list: Vec<&'a str>,
    /// The Consents with their marks. One Consent may decide about several items.
    consents: HashMap<&'a str, String>,
    /// The number of marks in the shape.
    placed: usize,
}

impl<'a> Names<'a> {
    fn mark(&mut self, name: &'a str) -> String {
        self.list.push(name);
        self.placed += 1;
        format!("{MARK}{}{MARK_END}", self.list.len() - 1)
    }

    /// `Type/id` with a mark for the id.
    fn reference(&mut self, reference: &'a str) -> Option<String> {
        let (type_name, id) = reference.split_once('/').filter(|(_, id)| ResourceId::parse(id).is_some())?;
        Some(format!("{type_name}/{}", self.mark(id)))
    }

    fn item(&mut self, item: &'a Item) -> Option<Item> {
        let (type_name, rest) = item.what.split_once('/')?;
        let (id, version) = match rest.split_once("/_history/") {
            Some((id, version)) => (id, Some(version)),
            None => (rest, None),
        };
        let is_id = |text: &str| ResourceId::parse(text).is_some();
        let brings_event = type_name == "AuditEvent" && item.done == Some(Action::Create);
        if !is_id(id) || !version.is_none_or(is_id) || brings_event {
            return None;
        }
        let what = format!("{type_name}/{}{}", self.mark(id), version.map_or("", |_| "/_history/1"));
        let ground = match &item.ground {
            Ground::Consent(consent, _) => Ground::Consent(self.consent(consent)?, String::new()),
            ground => ground.clone(),
        };
        Some(Item { what, ground, ..item.clone() })
    }

    fn consent(&mut self, consent: &'a str) -> Option<String> {
        if let Some(known) = self.consents.get(consent) {
            self.placed += 1;
            return Some(known.clone());
        }
        let marked = self.reference(consent)?;
        self.consents.insert(consent, marked.clone());
        Some(marked)
    }
}

/// The start, the end and the number of each mark in an entry.
fn marks(entry: &Entry) -> Vec<(usize, usize, usize)> {
    let mut marks = Vec::new();
    let mut from = 0;
    while let Some(rest) = entry.value.get(from..) {
        let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK.as_bytes()) else { break };
        let start = from + at;
        let digits = entry.value.get(start + MARK.len()..).unwrap_or_default();
        let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = digits.get(..len).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        from = start + MARK.len() + len + 1;
        marks.extend(number.map(|number| (start, from, number)));
    }
    marks
}

impl ShapeEvent {
    fn of(entries: Vec<Entry>) -> Self {
        let (mut shared, mut marked) = (Vec::new(), Vec::new());
        for entry in entries {
            let marks = marks(&entry);
            let param = INDEXED.iter().find(|param| param.id == entry.param);
            let made_of_text =
                param.filter(|param| param.kind == ParamType::String && !marks.is_empty()).cloned();
            let is_in_small = param.is_some_and(|param| param.may_be_string);
            // A name of nothing but punctuation has no entry of a string parameter, so its parameter has no value then.
            if made_of_text.is_none() {
                shared.push(present(entry.param));
            }
            if marks.is_empty() {
                shared.push(posting(entry.param, &entry.value));
            } else {
                marked.push(ShapeEntry { entry, marks, made_of_text, is_in_small });
            }
        }
        Self { shared: Arc::new(SharedPostings::of(shared)), marked }
    }

    /// The postings with the names and ids in place of the marks.
    fn filled(&self, ids: &[&str]) -> EventPostings {
        let mut own = Vec::with_capacity(self.marked.len() * 2);
        self.marked.iter().for_each(|marked| marked.fill(ids, &mut own));
        EventPostings { shared: Some(self.shared.clone()), own }
    }
}

impl ShapeEntry {
    fn fill(&self, ids: &[&str], out: &mut Vec<Vec<u8>>) {
        let id = |number: usize| ids.get(number).copied().unwrap_or_default();
        let entry = &self.entry;
        if let (Some(param), Some((_, _, number))) = (&self.made_of_text, self.marks.first()) {
            let values = entries_of_text(param, id(*number));
            out.extend(values.first().map(|entry| present(entry.param)));
            out.extend(values.iter().map(|entry| posting(entry.param, &entry.value)));
            return;
        }
        let mut filled = Vec::with_capacity(4 + entry.value.len() + 64);
        filled.extend_from_slice(&entry.param.to_be_bytes());
        let mut from = 0;
        for (start, end, number) in &self.marks {
            filled.extend_from_slice(entry.value.get(from..*start).unwrap_or_default());
            if self.is_in_small {
                filled.extend_from_slice(id(*number).to_lowercase().as_bytes());
            } else {
                filled.extend_from_slice(id(*number).as_bytes());
            }
            from = *end;
        }
        filled.extend_from_slice(entry.value.get(from..).unwrap_or_default());
        out.push(filled);
    }
}

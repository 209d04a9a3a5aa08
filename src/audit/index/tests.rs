//! Compares the index with an evaluation of every single event.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::event::record_of_event;
use crate::audit::log::{Records, index_patients, writes};
use crate::audit::outside::events_of;
use crate::audit::record::{Access, Action, BREAK_GLASS, Ground, Item, RequesterKind};
use crate::auth::{Party, Role};
use crate::definitions::r4;
use crate::model::{Tree, decode_pairs, parse};
use crate::search::{Entry, Filter, Reading, ValueContext, entries, fulfils, parse_query, search_params};
use crate::store::{
    At, Batch, Direction, Kv as _, Memory, Repository, Sequence, StoreError, SystemClock, Write,
};

use super::super::making::{Event, Making, Reader};
use super::super::place::{RecordPlace, record_key};
use super::{AuditIndex, Bounds, EventQuery, verify_segments};

const BASE_URL: &str = "https://us.example/fhir";
/// 2026-01-01.
const START: i64 = 1_767_225_600_000;

/// A pseudorandom generator with the same numbers in every run.
struct Pseudorandom(u64);

impl Pseudorandom {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.below(u64::try_from(list.len()).unwrap())).unwrap()]
    }
}

fn access(lot: &mut Pseudorandom, number: i64) -> Access {
    let user = lot.of(&["dr-rossi", "dr-rossi", "dr-rossi", "nurse", "clerk"]);
    let party = Party {
        subject: user.to_owned(),
        client: lot.of(&["ward", "portal"]).to_owned(),
        role: Role::Insurer,
        organization: (user == "clerk").then(|| "Organization/acme".to_owned()),
        fhir_user: (user != "clerk").then(|| format!("Practitioner/{user}")),
        purposes: vec![lot.of(&["TREAT", "HPAYMT"]).to_owned()],
        token_id: format!("t{}", lot.below(40)),
        ..Party::nobody()
    };
    let (interaction, action) = match lot.below(6) {
        0 => ("search-type", Action::Execute),
        1 => ("create", Action::Create),
        2 => (BREAK_GLASS, Action::Execute),
        _ => ("read", Action::Read),
    };
    // Requests overlap, so the records are not in the order of their times.
    let jitter = i64::try_from(lot.below(3_000)).unwrap();
    let mut access =
        Access::of(&party, interaction, action, "GET /Patient".to_owned(), START + number * 1_000 + jitter);
    access.requester_kind = Some(if user == "clerk" { RequesterKind::Outside } else { RequesterKind::Own });
    access.status = if lot.below(9) == 0 { 403 } else { 200 };
    access.peer = Some(lot.of(&["10.0.0.1", "10.0.0.2"]).to_owned());
    for at in 0..lot.below(4) {
        let patient = format!("Patient/p{}", lot.below(30));
        if !access.patients.contains(&patient) {
            access.patients.push(patient);
        }
        let ground = if lot.below(5) == 0 {
            Ground::Consent(format!("Consent/c{}", lot.below(3)), "provision".to_owned())
        } else {
            Ground::Policy
        };
        let item = Item {
            what: format!("Observation/o{}/_history/{at}", lot.below(500)),
            about: Some(vec![0]),
            ground,
            ..Item::default()
        };
        if lot.below(7) == 0 { access.withheld.push(item) } else { access.released.push(item) }
    }
    access
}

const QUERIES: [&str; 34] = [
    "",
    "type=rest",
    "type=http://terminology.hl7.org/CodeSystem/audit-event-type|rest",
    "type:not=rest",
    "subtype=read",
    "subtype=read,create",
    "action=E",
    "outcome=8",
    "outcome:not=0",
    "agent=Practitioner/dr-rossi",
    "agent=nurse",
    "agent:identifier=clerk",
    "agent:identifier=nobody",
    "agent-name=NURSE",
    "agent-name:contains=oss",
    "agent-name:exact=Nurse",
    "altid=clerk",
    "policy=urn:ietf:params:oauth:jti:t3",
    "purpose=HPAYMT",
    "purpose=TREAT&agent=Practitioner/nurse&outcome=8",
    "entity=Observation/o7",
    "entity=Consent/c1",
    "entity:missing=true",
    "altid:missing=false",
    "date:missing=true",
    "address=10.0.0.2",
    "date=ge2026-01-01T00:20:00Z",
    "date=2026-01-01T00:30",
    "date=ne2026-01-01T00:30",
    "date=lt2026-01-01T00:10:00.500Z&agent=Practitioner/nurse",
    "date=sa2026-01-01T00:40&date=eb2026-01-01T00:45&type=rest",
    "_lastUpdated=gt2026-01-01T00:30&_lastUpdated=le2026-01-01T00:31",
    "_lastUpdated=ne2026-01-01&agent=Practitioner/nurse",
    "entity-type=2&source:missing=false&site:missing=true",
];

#[test]
fn the_index_finds_and_counts_what_every_event_says() {
    let memory = Memory::new(Arc::new(SystemClock));
    let mut lot = Pseudorandom(7);
    for number in 0..560 {
        let mut batch = Batch { writes: writes(&access(&mut lot, number), 0), ..Batch::default() };
        if lot.below(5) == 0 {
            batch.writes.extend(writes(&access(&mut lot, number), 1));
        }
        memory.commit(batch).wait().unwrap();
    }
    let version_id = |Sequence(sequence): Sequence| format!("{sequence:x}");
    let making = Making { reader: Reader::Auditor, base_url: BASE_URL, version_id: &version_id };
    let index = AuditIndex::with_segments_of(290);
    let mut all = Everything::read(&memory, &making);
    let check = |all: &Everything, stage: &str| {
        for query in QUERIES {
            check_query(&memory, &index, query, all, stage);
        }
    };
    check(&all, "nothing is indexed");
    assert!(index.advance(&memory, &making).unwrap());
    check(&all, "a part of a segment is held");
    while index.advance(&memory, &making).unwrap() {}
    let view = index.view(&memory).unwrap();
    assert!(view.last.is_some_and(|(last, _)| last >= 1) && view.held.is_some());
    check(&all, "segments are stored and one is held");
    let late = Batch { writes: writes(&access(&mut lot, 9_000), 0), ..Batch::default() };
    memory.commit(late).wait().unwrap();
    all = Everything::read(&memory, &making);
    check(&all, "a record came since");
    assert_eq!(
        verify_segments(&*memory.snapshot(At::Latest).unwrap(), &version_id).unwrap(),
        Vec::<String>::new()
    );
    // Another server over the same store holds no open segment. A server with another URL makes the index anew.
    let other = AuditIndex::default();
    check_query(&memory, &other, "agent-name=nurse", &all, "another server");
    let renamed = Making { base_url: "https://other.example/fhir", ..making };
    while other.advance(&memory, &renamed).unwrap() {}
    let all = Everything::read(&memory, &renamed);
    check_query(&memory, &other, "agent:identifier=https://other.example/fhir&outcome=8", &all, "renamed");
}

fn place_of_event(id: &str) -> Option<RecordPlace> {
    let sequence_of = |text: &str| u64::from_str_radix(text, 16).ok().map(Sequence);
    record_of_event(id, &sequence_of).map(|(place, _)| place)
}

/// Every event of every record, parsed.
struct Everything(BTreeMap<RecordPlace, Vec<(Tree, Vec<Entry>, i64)>>);

impl Everything {
    fn read(memory: &Memory, making: &Making<'_>) -> Self {
        let snapshot = memory.snapshot(At::Latest).unwrap();
        let mut records = Records::new(&*snapshot, None, Direction::Forward, None);
        let mut all = BTreeMap::new();
        while let Some((place, access)) = records.read().unwrap() {
            let (events, _) = events_of(&Repository::new(&*snapshot), place, &access, making).unwrap();
            let read = |event: Event| {
                let tree = parse(event.text.into_bytes()).unwrap();
                let own = entries(search_params(), tree.root());
                (tree, own, access.time)
            };
            all.insert(place, events.into_iter().map(read).collect());
        }
        Self(all)
    }

    /// The matching events of a record, by place and number.
    fn of_record(&self, place: RecordPlace, filter: &Filter) -> Vec<(RecordPlace, usize)> {
        let matches = |(tree, own, time): &(Tree, Vec<Entry>, i64)| {
            fulfils(filter, tree.root(), own, Some(*time)).unwrap()
        };
        let events = self.0[&place].iter().enumerate().filter(|(_, event)| matches(event));
        events.map(|(number, _)| (place, number)).collect()
    }

    fn matching(&self, filter: &Filter) -> Vec<(RecordPlace, usize)> {
        self.0.keys().flat_map(|place| self.of_record(*place, filter)).collect()
    }
}

fn filter_of(query: &str) -> Filter {
    let def = r4().resource("AuditEvent").unwrap();
    let asking = ValueContext { now: START, base_url: BASE_URL };
    let reading = Reading { params: search_params(), asking, lenient: false };
    Filter::All(parse_query(&reading, def, &decode_pairs(query)).unwrap().filters)
}

fn check_query(memory: &Memory, index: &AuditIndex, query: &str, all: &Everything, stage: &str) {
    let filter = filter_of(query);
    let expected = all.matching(&filter);
    let view = index.view(memory).unwrap();
    let asked = EventQuery { filter: &filter, patient: None, place_of_event: &place_of_event };
    let bounds = |direction, from| Bounds { direction, from, until: Sequence(u64::MAX) };
    for (direction, from) in [
        (Direction::Forward, None),
        (Direction::Reverse, None),
        (Direction::Forward, Some((Sequence(310), 0))),
        (Direction::Reverse, Some((Sequence(310), 0))),
    ] {
        let mut candidates = view.candidates(&asked, bounds(direction, from)).unwrap();
        let mut found = Vec::new();
        while let Some((candidate, _)) = candidates.read().unwrap() {
            let mut events = all.of_record(candidate.place, &filter);
            let numbers: Vec<usize> = events.iter().map(|(_, number)| *number).collect();
            assert!(candidate.matching.is_none_or(|matching| matching == numbers), "{query}, {stage}");
            if direction == Direction::Reverse {
                events.reverse();
            }
            found.extend(events);
        }
        let mut expected = expected.clone();
        if direction == Direction::Reverse {
            expected.reverse();
        }
        expected.retain(|(place, _)| match direction {
            Direction::Forward => from.is_none_or(|from| from <= *place),
            Direction::Reverse => from.is_none_or(|from| *place <= from),
        });
        assert_eq!(found.len(), expected.len(), "{query}, {direction:?} from {from:?}, {stage}");
        assert_eq!(found, expected, "{query}, {direction:?} from {from:?}, {stage}");
    }
    for until in [u64::MAX, 310] {
        let bounds = Bounds { until: Sequence(until), ..bounds(Direction::Forward, None) };
        let mut candidates = view.candidates(&asked, bounds).unwrap();
        let count =
            candidates.count(&mut |place, _| Ok::<_, StoreError>(all.of_record(place, &filter).len()));
        let expected = expected.iter().filter(|((Sequence(at), _), _)| *at <= until).count();
        assert_eq!(count.unwrap(), expected, "count of {query} until {until}, {stage}");
    }
}

#[test]
fn a_wrong_segment_is_noticed() {
    let memory = Memory::new(Arc::new(SystemClock));
    let mut lot = Pseudorandom(3);
    for number in 0..70 {
        let batch = Batch { writes: writes(&access(&mut lot, number), 0), ..Batch::default() };
        memory.commit(batch).wait().unwrap();
    }
    index_patients(&memory).unwrap();
    let version_id = |Sequence(sequence): Sequence| format!("{sequence:x}");
    let making = Making { reader: Reader::Auditor, base_url: BASE_URL, version_id: &version_id };
    let index = AuditIndex::with_segments_of(64);
    while index.advance(&memory, &making).unwrap() {}
    let faults = || verify_segments(&*memory.snapshot(At::Latest).unwrap(), &version_id).unwrap().len();
    assert_eq!(faults(), 0);
    let other = serde_json::to_vec(&access(&mut lot, 5)).unwrap();
    let write = Write { key: record_key((Sequence(9), 0)), value: Some(other), ..Write::default() };
    memory.commit(Batch { writes: vec![write], ..Batch::default() }).wait().unwrap();
    assert_eq!(faults(), 1);
}

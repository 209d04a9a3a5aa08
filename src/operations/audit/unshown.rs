//! Whom an answered request concerned beyond what it showed: whose data it counted, and whom one of its values picks out alone.
//! Found out after the answer and added to the record of accesses; nobody waits for it but who reads that record.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use crate::audit::{Access, Due, Manner, Patients, RecordPlace, done, due, record, writes};
use crate::auth::Party;
use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, ResourceId};
use crate::search::{Everything, Filter, Sought, parse_query, sought};
use crate::store::{At, Batch, CommitError, Report, Search, Sequence, Snapshot, View, Way};

use super::super::answer::Refusal;
use super::super::engine::Engine;
use super::super::request::{Request, decode_pairs};
use super::super::route::{Place, route};
use super::super::search::patients_found;
use super::super::session::Session;
use super::super::table::{Code, Interaction};

/// So many look-ups are written with one commit.
const LOOKED_UP_MAX: usize = 256;
/// A value that finds more resources of one patient is taken for that patient's alone.
const ALIKE_MAX: usize = 1_000;

/// Requests alike: of the same party, for the same.
struct Alike {
    first: Access,
    place: RecordPlace,
    due: Due,
    times: usize,
    last: Millis,
}

impl Engine {
    /// Adds to the record of accesses what is due. Gives how many requests that was about.
    ///
    /// # Errors
    /// If the store fails.
    pub fn look_up_unshown(&self) -> Result<usize, Refusal> {
        let _one_at_a_time = self.looking_up.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looked_up = 0;
        loop {
            let snapshot = self.kv.snapshot(At::Latest)?;
            let found = due(&*snapshot, LOOKED_UP_MAX)?;
            if found.is_empty() {
                return Ok(looked_up);
            }
            let count = found.len();
            match self.kv.commit(self.additions(&*snapshot, found)?).wait() {
                Ok(_) => looked_up += count,
                // Another server over the same database has looked it up.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What is added for some look-ups, and that they are done.
    fn additions(&self, snapshot: &dyn Snapshot, found: Vec<(RecordPlace, Due)>) -> Result<Batch, Refusal> {
        let mut batch = Batch::default();
        let mut groups: BTreeMap<String, Alike> = BTreeMap::new();
        for (place, due) in found {
            let (write, expectation) = done(snapshot, place)?;
            batch.writes.push(write);
            batch.expectations.push(expectation);
            let Some(access) = record(snapshot, place)? else { continue };
            let group = groups.entry(likeness(&access, &due)).or_insert_with(|| Alike {
                last: access.time,
                first: access,
                place,
                due: due.clone(),
                times: 0,
            });
            group.times += 1;
            // What was counted last is looked up for all.
            group.due.searched = group.due.searched.max(due.searched);
        }
        let mut number = 0;
        for Alike { first, place, due, times, last } in groups.into_values() {
            let mut told = first.patients.clone();
            for (manner, mut patients) in
                [(Manner::Counted, self.counted(&first, &due)?), (Manner::Sought, self.sought(&first, &due)?)]
            {
                patients.remove(snapshot, &told)?;
                if patients.is_empty() {
                    continue;
                }
                let added = first.added((manner, times, last), place, &patients, (snapshot, self.now()))?;
                told.extend(added.patients.iter().cloned());
                batch.writes.extend(writes(&added, number));
                number += 1;
            }
        }
        Ok(batch)
    }

    /// The patients whose data a search counted, as its party saw them.
    fn counted(&self, access: &Access, due: &Due) -> Result<Patients, Refusal> {
        let Some(party) = &due.counted_for else { return Ok(Patients::default()) };
        let Some((row, place, request)) = search_of(access) else { return Ok(Patients::default()) };
        let snapshot = self.searched(due)?;
        let session = Session::new(self, Arc::new(party.clone()), &*snapshot)?.for_reading(row, &place);
        match patients_found(&session, &place, &request) {
            Ok(found) => Ok(found),
            // What the party may no longer ask, or asked otherwise, was not counted for it now.
            Err(refusal) if refusal.kind.status() < 500 => Ok(Patients::default()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The state that was searched; where it is gone, that of now.
    fn searched(&self, due: &Due) -> Result<Box<dyn Snapshot>, Refusal> {
        let then = due.searched.and_then(|sequence| self.kv.snapshot(At::Sequence(Sequence(sequence))).ok());
        then.map_or_else(|| Ok(self.kv.snapshot(At::Latest)?), Ok)
    }

    /// The patients whom a value of the request picks out alone, whether anything of them was found or not.
    fn sought(&self, access: &Access, due: &Due) -> Result<Patients, Refusal> {
        let snapshot = self.searched(due)?;
        let snapshot = &*snapshot;
        let session = Session::new(self, Arc::new(Party::nobody()), snapshot)?;
        let mut values = Vec::new();
        if let Some((_, place, request)) = search_of(access) {
            if let Place::Compartment(def, id, _) = &place {
                values.push(Sought::Resource(vec![&*def.name], id.to_string()));
            }
            for def in types_of(&place, &request) {
                values.extend(session.values_of(def, &request.query));
            }
        }
        for criteria in &access.criteria {
            let (name, query) = criteria.split_once('?').unwrap_or((criteria, ""));
            let def = r4().resource(name);
            values.extend(def.into_iter().flat_map(|def| session.values_of(def, &decode_pairs(query))));
        }
        let mut found = Patients::default();
        for value in values {
            let persons = session.persons_of(&value)?;
            if let (1, Some(id)) = (persons.len(), persons.first()) {
                found.add(snapshot, id)?;
            }
        }
        Ok(found)
    }
}

/// What is the same of requests alike.
fn likeness(access: &Access, due: &Due) -> String {
    let who = (&access.issuer, &access.subject, &access.client, &access.role, &access.organization);
    let how = (&access.fhir_user, &access.purposes, &access.reason, &due.counted_for, &access.patients);
    serde_json::json!([who, how, access.request, access.criteria]).to_string()
}

/// The search that a record is of.
fn search_of(access: &Access) -> Option<(&'static Interaction, Place, Request)> {
    let mut request = Request::of_line(&access.request)?;
    let (row, place) = route(request.verb, &request.path).ok()?;
    // A page is counted as the whole of which it is.
    request.query.retain(|(name, _)| !matches!(name.as_str(), "_cursor" | "_count" | "_total"));
    matches!(row.code, Code::Search | Code::SearchByPost).then_some((row, place, request))
}

/// The types that a search is of.
fn types_of(place: &Place, request: &Request) -> Vec<&'static TypeDef> {
    if let Some(def) = place.def() {
        return vec![def];
    }
    let named =
        request.query.iter().filter(|(name, _)| name == "_type").flat_map(|(_, value)| value.split(','));
    let named: BTreeSet<&str> = named.collect();
    r4().resources().filter(|def| named.is_empty() || named.contains(&*def.name)).collect()
}

impl Session<'_> {
    /// The values of a query that may be of one person alone.
    fn values_of(&self, def: &'static TypeDef, pairs: &[(String, String)]) -> Vec<Sought> {
        // A query that cannot be read has found nothing.
        let query = parse_query(&self.reading(self.engine.now(), true), def, pairs).unwrap_or_default();
        query.filters.iter().flat_map(|filter| sought(&self.params, def, filter)).collect()
    }

    /// The ids of the patients whom a value is of, among all that is stored; of several no more than two.
    fn persons_of(&self, value: &Sought) -> Result<BTreeSet<String>, Refusal> {
        let mut persons = BTreeSet::new();
        match value {
            Sought::Resource(types, id) => {
                let Some(id) = ResourceId::parse(id) else { return Ok(persons) };
                for def in types.iter().filter_map(|name| r4().resource(name)) {
                    if let Some(current) = self.repository().current(def, &id)? {
                        persons.extend(current.facts.patients);
                        persons.extend((&*def.name == "Patient").then(|| id.to_string()));
                    }
                }
            }
            Sought::Identifier(system, value) => {
                let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
                let Some(param) = self.params.find(def, "identifier") else { return Ok(persons) };
                let filter = Filter::codes(param, &[(system.clone(), value.clone())]);
                persons = self.persons_with(def, &filter)?;
            }
            Sought::Resources(def, filter) => persons = self.persons_with(def, filter)?,
        }
        Ok(persons)
    }

    fn persons_with(&self, def: &'static TypeDef, filter: &Filter) -> Result<BTreeSet<String>, Refusal> {
        let mut persons = BTreeSet::new();
        let view = View::new(self.repository(), None, &Everything);
        let report = Report::default();
        let rows = Search::new(&view, def, filter, &[], &report)?.page(None, Way::Onward, ALIKE_MAX)?;
        for row in rows {
            let current = self.repository().current_of_row(row)?;
            persons.extend(current.into_iter().flat_map(|current| current.facts.patients));
            if persons.len() > 1 {
                break;
            }
        }
        Ok(persons)
    }
}

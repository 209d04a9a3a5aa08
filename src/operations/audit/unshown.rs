//! Finds the patients whom an answered request concerned but did not show: those whose data it counted, and those whom one of its
//! values identifies alone. It runs after the answer; only readers of the record of accesses, which it adds to, wait for it.
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::audit::{Access, Concern, Due, Patients, RecordPlace, done, due, record, writes};
use crate::auth::{Party, Permission};
use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, ResourceId};
use crate::search::{Filter, PersonalValue, parse_query, sought};
use crate::store::{At, Batch, CommitError, Sequence, Snapshot};

use super::super::answer::{Refusal, RefusalKind};
use super::super::context::Context;
use super::super::place::Place;
use super::super::place::Route;
use super::super::request::{Request, decode_pairs};
use super::super::search::patients_found;
use super::super::session::Session;
use super::super::table::{Code, Interaction};

/// How many look-ups are read at once.
const LOOKED_UP_MAX: usize = 1_024;
/// When more bytes than this are to be written, they are committed.
const WRITTEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many resources with a value are read: if all are of one patient, the value counts as that patient's alone.
const ALIKE_MAX: usize = 1_000;
/// How many of them are read first.
const ALIKE_FIRST: usize = 16;
/// At most so many values of one request are looked up.
const VALUES_MAX: usize = 10_000;

/// Groups requests of the same party with the same query, so that each group is looked up once.
struct RequestKey {
    first: Access,
    /// The places of their records, the oldest first.
    places: Vec<RecordPlace>,
    due: Due,
    last: Millis,
    /// The sequence of the newest snapshot that one of them searched.
    searched: Option<u64>,
}

/// How long a reader of the record of accesses waits for look-ups that are due.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);

impl Context {
    /// Before accesses are read: waits until earlier ones are recorded, and for a few seconds until the look-ups for them are
    /// done.
    pub(in super::super) fn settle_accesses(&self, row: &Interaction, place: &Place) -> Result<(), Refusal> {
        let is_of_accesses = place.def().is_some_and(|def| def.rules.is_access_record)
            || matches!(row.name, "$who-saw" | "$accounting-of-disclosures");
        if !is_of_accesses {
            return Ok(());
        }
        self.kv.settle();
        let now = self.kv.snapshot(At::Latest)?.sequence();
        if let Err(refusal) = self.look_up_unshown(now, Some(Instant::now() + LOOK_UP_MAX)) {
            // The reader still gets what is recorded already.
            let cause = refusal.outcome.internal.as_deref().unwrap_or("the store takes no writes");
            tracing::error!(cause, "whom requests concerned could not be looked up");
        }
        Ok(())
    }

    /// Does the look-ups that are due for records up to a commit, until a deadline, and adds their results to the record of
    /// accesses. Returns the number of requests looked up. A failed look-up stays due, and holds up no other.
    ///
    /// # Errors
    /// If the store takes no writes, or a look-up failed.
    pub fn look_up_unshown(&self, up_to: Sequence, until: Option<Instant>) -> Result<usize, Refusal> {
        let Some(_one_at_a_time) = self.only_one(up_to, until) else { return Ok(0) };
        let (mut looked_up, mut failed) = (0, None);
        // Done look-ups leave removed keys behind, so what is known to be done is not read again.
        let before = self.looked_up_before.load(Ordering::Acquire);
        let mut after = before.checked_sub(1).map(|last| (Sequence(last), u32::MAX));
        let mut is_first = true;
        loop {
            let snapshot = self.kv.snapshot(At::Latest)?;
            let mut found = due(&*snapshot, after, LOOKED_UP_MAX)?;
            if std::mem::take(&mut is_first) {
                // A note of a later commit has a later place.
                let next = found.first().map_or(snapshot.sequence().0 + 1, |(place, _)| place.0.0);
                self.looked_up_before.fetch_max(next, Ordering::AcqRel);
            }
            found.retain(|(place, _)| place.0 <= up_to);
            let Some((last, _)) = found.last() else {
                if failed.is_none() {
                    let done = snapshot.sequence().min(up_to).0.saturating_add(1);
                    self.looked_up_before.fetch_max(done, Ordering::AcqRel);
                }
                return failed.map_or(Ok(looked_up), Err);
            };
            after = Some(*last);
            let mut batch = Batch::default();
            let mut number = 0;
            for alike in alike(&*snapshot, found)? {
                if until.is_some_and(|until| Instant::now() >= until) {
                    self.commit_additions(batch)?;
                    return Ok(looked_up);
                }
                match self.additions(&*snapshot, &alike, &mut number) {
                    Ok(added) => {
                        looked_up += alike.places.len();
                        batch.writes.extend(added.writes);
                        batch.expectations.extend(added.expectations);
                    }
                    Err(refusal) => failed = Some(refusal),
                }
                if batch.bytes() > WRITTEN_BYTES_MAX {
                    self.commit_additions(std::mem::take(&mut batch))?;
                    number = 0;
                }
            }
            self.commit_additions(batch)?;
        }
    }

    /// The lock under which look-ups run; `None` if another thread holds it until the deadline, or has meanwhile done all of them
    /// up to the commit.
    fn only_one(&self, up_to: Sequence, until: Option<Instant>) -> Option<MutexGuard<'_, ()>> {
        const PAUSE: Duration = Duration::from_millis(2);
        let Some(until) = until else {
            return Some(self.looking_up.lock().unwrap_or_else(PoisonError::into_inner));
        };
        loop {
            if self.looked_up_before.load(Ordering::Acquire) > up_to.0 {
                return None;
            }
            match self.looking_up.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn commit_additions(&self, batch: Batch) -> Result<(), Refusal> {
        if batch.writes.is_empty() {
            return Ok(());
        }
        match self.kv.commit(batch).wait() {
            // On a conflict another server over the same database has done these look-ups.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The additions for a group of requests, and the notes that its look-ups are done; `number` counts the batch's records.
    fn additions(
        &self,
        snapshot: &dyn Snapshot,
        alike: &RequestKey,
        number: &mut u32,
    ) -> Result<Batch, Refusal> {
        let RequestKey { first, places, due, last, searched } = alike;
        let mut batch = Batch::default();
        for place in places {
            let (write, expectation) = done(snapshot, *place)?;
            batch.writes.push(write);
            batch.expectations.push(expectation);
        }
        // Held open, because to open it again may take a round trip.
        let then = self.searched(due)?;
        let mut counted = self.counted(first, due)?;
        if *searched != due.searched {
            // Between the first search and the last, resources may have come or gone.
            let newest = self.counted(first, &Due { searched: *searched, ..due.clone() })?;
            counted.rows |= newest.rows;
            counted.ids.extend(newest.ids);
        }
        let mut told = first.patients.clone();
        let sought = self.sought(first, due, &*then)?;
        let Some(place) = places.first() else { return Ok(batch) };
        for (concern, mut patients) in [(Concern::Counted, counted), (Concern::Sought, sought)] {
            patients.remove(snapshot, &told)?;
            if patients.is_empty() {
                continue;
            }
            let of = (concern, places.len(), *last);
            let added = first.added(of, *place, &patients, (snapshot, self.now()))?;
            told.extend(added.patients.iter().cloned());
            batch.writes.extend(writes(&added, *number));
            *number += 1;
        }
        Ok(batch)
    }

    /// The patients whose data a search counted, as its party saw them.
    fn counted(&self, access: &Access, due: &Due) -> Result<Patients, Refusal> {
        let (Some(party), Some((row, place, request))) = (&due.party, search_of(access)) else {
            return Ok(Patients::default());
        };
        if !due.counted {
            return Ok(Patients::default());
        }
        let party = Arc::new(party.clone());
        let found_in = |snapshot: &dyn Snapshot| {
            let session = Session::new(self, party.clone(), snapshot)?.for_reading(row, &place);
            patients_found(&session, &place, &request)
        };
        let mut found = found_in(&*self.searched(due)?);
        if found.as_ref().is_err_and(|refusal| refusal.kind == RefusalKind::Gone) {
            // That snapshot has expired in the meantime.
            found = found_in(&*self.kv.snapshot(At::Latest)?);
        }
        match found {
            // If the party may no longer ask this, nothing can be counted for it.
            Err(refusal) if refusal.kind.status() < 500 => Ok(Patients::default()),
            found => found,
        }
    }

    /// The snapshot that was searched, or the newest one if that has expired.
    fn searched(&self, due: &Due) -> Result<Box<dyn Snapshot>, Refusal> {
        let then = due.searched.and_then(|sequence| self.kv.snapshot(At::Sequence(Sequence(sequence))).ok());
        then.map_or_else(|| Ok(self.kv.snapshot(At::Latest)?), Ok)
    }

    /// The patients whom a value of the request identifies alone, whether or not the request found anything of theirs.
    fn sought(&self, access: &Access, due: &Due, snapshot: &dyn Snapshot) -> Result<Patients, Refusal> {
        let session = Session::new(self, Arc::new(Party::nobody()), snapshot)?;
        let mut found = Patients::default();
        let mut left = VALUES_MAX;
        let mut tell = |values: Vec<PersonalValue>| -> Result<(), Refusal> {
            for value in values {
                if left == 0 {
                    break;
                }
                left -= 1;
                let persons = session.persons_of(&value)?;
                if let (1, Some(id)) = (persons.len(), persons.first()) {
                    found.add(snapshot, id)?;
                }
            }
            Ok(())
        };
        if let Some((_, place, request)) = search_of(access) {
            if let Place::Compartment(def, id, _) = &place {
                tell(vec![PersonalValue::Resource(vec![&*def.name], id.to_string())])?;
            }
            for def in types_of(&place, &request, due.party.as_ref()) {
                tell(session.values_of(def, &request.query))?;
            }
        }
        for criteria in &access.criteria {
            let (name, query) = criteria.split_once('?').unwrap_or((criteria, ""));
            if let Some(def) = r4().resource(name) {
                tell(session.values_of(def, &decode_pairs(query)))?;
            }
        }
        Ok(found)
    }
}

/// The requests in groups of equal ones, ordered by the first request of each group.
fn alike(snapshot: &dyn Snapshot, found: Vec<(RecordPlace, Due)>) -> Result<Vec<RequestKey>, Refusal> {
    let mut groups: Vec<RequestKey> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (place, due) in found {
        let Some(access) = record(snapshot, place)? else { continue };
        let likeness = likeness(&access, &due);
        if let Some(group) = known.get(&likeness).and_then(|at| groups.get_mut(*at)) {
            group.places.push(place);
            group.last = group.last.max(access.time);
            group.searched = group.searched.max(due.searched);
            continue;
        }
        known.insert(likeness, groups.len());
        let (last, searched) = (access.time, due.searched);
        groups.push(RequestKey { first: access, places: vec![place], due, last, searched });
    }
    Ok(groups)
}

/// What the requests of a group have in common.
fn likeness(access: &Access, due: &Due) -> String {
    let who = (&access.issuer, &access.subject, &access.client, &access.role, &access.organization);
    let how = (&access.fhir_user, &access.purposes, &access.reason, &due.party, &access.patients);
    serde_json::json!([who, how, access.request, access.criteria]).to_string()
}

/// The search that a record is about, if it is about one.
fn search_of(access: &Access) -> Option<(&'static Interaction, Place, Request)> {
    let mut request = Request::of_line(&access.request)?;
    let Route { row, place } = request.route.clone().ok()?;
    // A page is counted like the whole search.
    request.query.retain(|(name, _)| !matches!(name.as_str(), "_cursor" | "_count" | "_total"));
    matches!(row.code, Code::Search | Code::SearchByPost).then_some((row, place, request))
}

/// The types of a search; of a search of several types those that its party's scopes reach.
fn types_of(place: &Place, request: &Request, party: Option<&Party>) -> Vec<&'static TypeDef> {
    let is_reached =
        |def: &TypeDef| party.is_some_and(|party| party.scopes.permit(Permission::Search, Some(&def.name)));
    if let Some(def) = place.def() {
        return vec![def];
    }
    let named =
        request.query.iter().filter(|(name, _)| name == "_type").flat_map(|(_, value)| value.split(','));
    let named: BTreeSet<&str> = named.collect();
    let is_meant = |def: &&'static TypeDef| named.is_empty() || named.contains(&*def.name);
    r4().resources().filter(is_meant).filter(|def| is_reached(def)).collect()
}

impl Session<'_> {
    /// The values of a query that may identify one person.
    fn values_of(&self, def: &'static TypeDef, pairs: &[(String, String)]) -> Vec<PersonalValue> {
        // A query that cannot be parsed has found nothing.
        let query = parse_query(&self.reading(self.context.now(), true), def, pairs).unwrap_or_default();
        query.filters.iter().flat_map(|filter| sought(&self.params, def, filter)).collect()
    }

    /// The ids of the patients whom a value belongs to, among everything stored; if there are several, not all of them.
    fn persons_of(&self, value: &PersonalValue) -> Result<BTreeSet<String>, Refusal> {
        let mut persons = BTreeSet::new();
        match value {
            PersonalValue::Resource(types, id) => {
                let Some(id) = ResourceId::parse(id) else { return Ok(persons) };
                for def in types.iter().filter_map(|name| r4().resource(name)) {
                    if let Some(current) = self.repository().current(def, &id)? {
                        persons.extend(self.patients_of(&current)?);
                        persons.extend((&*def.name == "Patient").then(|| id.to_string()));
                    }
                }
            }
            PersonalValue::Identifier(system, value) => {
                let def = r4().resource("Patient").ok_or_else(Refusal::not_found)?;
                let Some(param) = self.params.find(def, "identifier") else { return Ok(persons) };
                let filter = Filter::codes(param, &[(system.clone(), value.clone())]);
                persons = self.persons_with(def, &filter)?;
            }
            PersonalValue::Resources(def, filter) => persons = self.persons_with(def, filter)?,
        }
        Ok(persons)
    }

    fn persons_with(&self, def: &'static TypeDef, filter: &Filter) -> Result<BTreeSet<String>, Refusal> {
        let persons = |most| -> Result<(BTreeSet<String>, bool), Refusal> {
            let mut persons = BTreeSet::new();
            let stored = self.stored(def, filter, most)?;
            for current in &stored {
                persons.extend(self.patients_of(current)?);
                if persons.len() > 1 {
                    break;
                }
            }
            Ok((persons, stored.len() < most))
        };
        // A value of several persons mostly shows to be one with the first resources already.
        let (first, is_all) = persons(ALIKE_FIRST)?;
        if is_all || first.len() > 1 { Ok(first) } else { Ok(persons(ALIKE_MAX)?.0) }
    }
}

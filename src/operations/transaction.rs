//! transaction (R4 http.html#transaction): all entries in one commit, or none. First ids are chosen, then references rewritten,
//! then everything is checked, then one batch is committed; reads among the entries see its result.
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::Action;
use crate::auth::{Party, Permission};
use crate::consent::{BundleEntry, BundleKind};
use crate::model::{Issue, IssueCode, Node, Outcome, ResourceId, Severity};
use crate::store::{At, Draft, Expectation};

use super::answer::{Answer, Refusal, RefusalKind};
use super::attempts::Attempts;
use super::batch::{answer, response_entry};
use super::bundle_entry::Entry;
use super::bundle_references::{BundleReferences, ReferenceMeaning, ReferenceSite, rewritten};
use super::commit::{add_to_record, finish};
use super::conditional::matches;
use super::conditional_reference::{ConditionalReferences, IncomingResource};
use super::context::Context;
use super::interactions::{answer_read, prepare_write};
use super::matches::Matches;
use super::operation::{Operation, operation_at};
use super::own_base::OwnBase;
use super::place::{Place, Route, permit};
use super::prepared::{Input, InputBody, Planned, Prepared};
use super::provenance_header;
use super::request::{Headers, Request, RequestForRecord, decode_pairs, query_text};
use super::session::{Session, Writable};
use super::table::{Code, Interaction};
use super::verb::Verb;

/// An entry with the row of the table that answers it.
struct Routed<'t> {
    entry: Entry<'t>,
    row: &'static Interaction,
    place: Place,
}

/// All entries, and the ids of what they write.
#[derive(Clone, Copy)]
struct Entries<'e, 't> {
    routed: &'e [Routed<'t>],
    ids: &'e EntryIds,
}

/// A write of the transaction.
struct PlannedWrite {
    index: usize,
    input: Input,
}

pub(super) async fn transaction(
    context: &Context,
    party: &Arc<Party>,
    root: Node<'_>,
    headers: &Headers,
) -> Result<Answer, Refusal> {
    let mut routed = Vec::new();
    for (node, index) in root.items_at("entry").zip(0_usize..) {
        let entry =
            Entry::parse(node, &context.options.base_url).map_err(|refusal| at_entry(refusal, index))?;
        let Route { row, place } = entry.route.clone().map_err(|refusal| at_entry(refusal, index))?;
        if row.code == Code::Bundle {
            let refusal =
                Refusal::bad_request(IssueCode::Invalid, "a Bundle holds no other batch or transaction");
            return Err(at_entry(refusal, index));
        }
        permit(party, row, &place).map_err(|refusal| at_entry(refusal, index))?;
        if row.code == Code::Operation && operation_at(&place, row.name).is_some_and(Operation::changes) {
            // The operation has a commit of its own, so it could not succeed or fail together with the rest.
            let message = format!("`{}` is for a request of its own, or for an entry of a batch", row.name);
            return Err(at_entry(Refusal::not_supported(message), index));
        }
        routed.push(Routed { entry, row, place });
    }
    let provenance = provenance_header::read(headers)?;
    let mut attempts = Attempts::within(context.options.overtaken_for);
    loop {
        let attempt = on_newest(context, party, &routed, (headers, provenance.as_ref())).await;
        if let ControlFlow::Break(settled) = attempts.settled(attempt).await {
            return settled;
        }
    }
}

/// Carries out the entries on the newest snapshot.
async fn on_newest(
    context: &Context,
    party: &Arc<Party>,
    routed: &[Routed<'_>],
    headers: (&Headers, Option<&serde_json::Value>),
) -> Result<Answer, Refusal> {
    let snapshot = context.kv.snapshot(At::Latest)?;
    let mut session = Session::new(context, party.clone(), &*snapshot)?;
    let answer = attempt(&mut session, routed, headers).await;
    answer.map_err(|refusal| refusal.withholding(&session))
}

/// Adds to a refusal which entry it is about.
fn at_entry(mut refusal: Refusal, index: usize) -> Refusal {
    for issue in &mut refusal.outcome.issues {
        let within = match issue.expression.as_deref().map(|text| text.split_once('.').unwrap_or((text, "")))
        {
            Some((name, "")) => format!("Bundle.entry[{index}].resource.ofType({name})"),
            Some((name, rest)) => format!("Bundle.entry[{index}].resource.ofType({name}).{rest}"),
            None => format!("Bundle.entry[{index}]"),
        };
        issue.expression = Some(within);
    }
    refusal
}

/// Carries out the entries on one snapshot.
async fn attempt(
    session: &mut Session<'_>,
    routed: &[Routed<'_>],
    (headers, provenance): (&Headers, Option<&serde_json::Value>),
) -> Result<Answer, Refusal> {
    let (context, snapshot) = (session.context, session.snapshot());
    let party = &Arc::new(session.lens.party().clone());
    let ids = choose_ids(session, routed)?;
    for (index, id) in &ids.by_index {
        let Some(Routed { entry, row, place }) = routed.get(*index) else { continue };
        let Some(def) = place.def() else { continue };
        // A PUT writes something only if the party may choose ids or sees the resource.
        let comes = row.code != Code::Update
            || party.assign_ids
            || !matches!(session.look_to_write(&[Permission::Update], def, id)?, Writable::Nothing { .. });
        if comes {
            session.coming.insert(format!("{}/{id}", def.name));
            let patient = entry.resource.filter(|_| &*def.name == "Patient");
            for identifier in patient.into_iter().flat_map(|patient| patient.items_at("identifier")) {
                let (system, value) = (identifier.str_at("system"), identifier.str_at("value"));
                if let (Some(system), Some(value)) = (system, value) {
                    let known = (system.to_owned(), value.to_owned());
                    session.coming_identifiers.entry(known).or_default().push(id.to_string());
                }
            }
        }
    }
    for (Routed { entry, row, place }, index) in routed.iter().zip(0_usize..) {
        if let (Code::ConditionalDelete, Some(def), Some(criteria)) =
            (row.code, place.def(), ids.criteria.get(&index))
            && let Matches::One { id, .. } =
                matches(session, def, criteria).map_err(|refusal| at_entry(refusal, index))?
        {
            session.going.insert(format!("{}/{id}", def.name));
        }
        if let (Code::Delete, Place::Instance(def, id)) = (row.code, place) {
            session.going.insert(format!("{}/{id}", def.name));
            if entry.query.iter().any(|(name, _)| name == "_cascade") {
                let message = "`_cascade` is for a request of its own, or of a batch";
                return Err(at_entry(Refusal::bad_request(IssueCode::NotSupported, message), index));
            }
        }
    }
    let (steps, references) = read_bodies(session, routed, &ids)?;
    for step in &steps {
        // Other entries may name this resource and take their subjects from it.
        let reference = routed.get(step.index).and_then(|routed| ids.reference(step.index, routed));
        if let (Some(reference), InputBody::Valid(valid)) = (reference, &step.input.body) {
            session.lens.expect(reference, valid.root());
        }
    }
    let asked = RequestForRecord {
        named: Vec::new(),
        line: "POST /".to_owned(),
        request_id: headers.request_id.clone(),
        peer: headers.peer.clone(),
    };
    let mut access = context.begin_record(party, ("transaction", Action::Execute), asked)?;
    let mut draft = Draft::packed(&context.packing);
    references.into_iter().for_each(|expectation| draft.expect(expectation));
    let mut answers: HashMap<usize, Answer> = HashMap::new();
    let mut planned: Vec<(usize, u64, Box<Planned>, Headers)> = Vec::new();
    let mut targets = HashSet::new();
    let mut needed: Vec<(usize, String)> = Vec::new();
    let mut deleted = HashSet::new();
    for PlannedWrite { index, input } in steps {
        let Some(Routed { row, place, .. }) = routed.get(index) else { continue };
        let prepared = prepare_write(session, row, place, &input)
            .map_err(|refusal| at_entry(refusal.withholding(session), index))?;
        match prepared {
            Prepared::Nothing(answer, expectations) => {
                expectations.into_iter().for_each(|expectation| draft.expect(expectation));
                if let Some(location) = &answer.location {
                    let base = format!("{}/", context.options.base_url);
                    let path = location.strip_prefix(&base).unwrap_or(location);
                    needed.push((index, path.split("/_history/").next().unwrap_or(path).to_owned()));
                }
                answers.insert(index, *answer);
            }
            Prepared::Change(mut plan) => {
                let target = format!("{}/{}", plan.change.def.name, plan.change.id);
                if plan.change.body.is_none() {
                    deleted.insert(target.clone());
                }
                if !targets.insert(target) {
                    let message = "another entry of the transaction writes the same resource";
                    return Err(at_entry(Refusal::bad_request(IssueCode::Duplicate, message), index));
                }
                plan.expectations.iter().for_each(|expectation| draft.expect(expectation.clone()));
                let number = draft.batch.rows;
                draft.push(snapshot, &mut plan.change)?;
                let mut headers_of_entry = input.headers;
                headers_of_entry.preference = headers.preference;
                planned.push((index, number, plan, headers_of_entry));
            }
        }
    }
    // Planned after all entries, so that it does not shift their rows in the batch.
    if let Some(provenance) = provenance {
        let plans = planned.iter().map(|(_, _, plan, _)| &**plan);
        let written: Vec<&Planned> = plans.filter(|plan| plan.tree.is_some()).collect();
        if !written.is_empty() {
            let mut with_it = provenance_header::plan(session, provenance, &written)?;
            with_it.expectations.drain(..).for_each(|expectation| draft.expect(expectation));
            if let Some((_, _, plan, _)) = planned.first_mut() {
                plan.bring(with_it);
            }
        }
    }
    for change in planned.iter_mut().flat_map(|(_, _, plan, _)| plan.others()) {
        draft.push(snapshot, change)?;
    }
    if let Some((index, _)) = needed.iter().find(|(_, reference)| deleted.contains(reference)) {
        let message = "the match of this entry is deleted by another entry of the transaction";
        return Err(at_entry(Refusal::bad_request(IssueCode::Conflict, message), *index));
    }
    let all = Entries { routed, ids: &ids };
    reads_succeed(session, all, &deleted)?;
    let on_record = planned.iter().flat_map(|(_, _, plan, _)| plan.on_record());
    on_record.for_each(|change| super::audit::add_change(&mut access, change));
    answers.values().for_each(|answer| add_to_record(&mut access, answer));
    access.withhold(&session.lens.take_withheld());
    access.criteria = session.take_criteria();
    draft.batch.writes.extend(context.record_writes(&access, None, Some(snapshot.sequence())));
    let committed = context.kv.commit(draft.batch).await?;
    for (index, number, plan, headers) in planned {
        answers.insert(index, finish(session, *plan, committed, number, headers.preference)?);
    }
    let entries = respond(context, party, all, answers, headers).await?;
    let mut answer = answer(context, BundleKind::TransactionResponse, entries)?;
    answer.recorded = true;
    Ok(answer)
}

/// Checks that no read among the entries fails, since then the transaction fails (R4 http.html#transaction). Reads are tried on
/// the state before the commit; what the transaction writes counts as existing, what it deletes as gone.
fn reads_succeed(
    session: &Session<'_>,
    Entries { routed, ids }: Entries<'_, '_>,
    deleted: &HashSet<String>,
) -> Result<(), Refusal> {
    for (Routed { entry, row, place }, index) in routed.iter().zip(0_usize..) {
        if row.code.is_write() || matches!(row.code, Code::Capabilities) {
            continue;
        }
        let target = match place {
            Place::Instance(def, id) | Place::Version(def, id, _) => Some(format!("{}/{id}", def.name)),
            Place::System | Place::Type(_) | Place::Compartment(..) => None,
        };
        if target.as_ref().is_some_and(|target| deleted.contains(target)) {
            return Err(at_entry(Refusal::gone(), index));
        }
        if target.is_some_and(|target| session.coming.contains(&target)) {
            continue;
        }
        let party = Arc::new(session.lens.party().clone());
        let trial = Session::new(session.context, party, session.snapshot())?.for_reading(row, place);
        let mut request = ids
            .request(&session.context.options.base_url, index, entry)
            .map_err(|refusal| at_entry(refusal, index))?;
        session
            .context
            .resume(session.lens.party(), &mut request)
            .map_err(|refusal| at_entry(refusal, index))?;
        answer_read(&trial, row, place, &request)
            .map_err(|refusal| at_entry(refusal.withholding(&trial), index))?;
    }
    Ok(())
}

/// Makes the response entries. Reads come last and see the state after the commit.
async fn respond(
    context: &Context,
    party: &Arc<Party>,
    Entries { routed, ids }: Entries<'_, '_>,
    mut answers: HashMap<usize, Answer>,
    headers: &Headers,
) -> Result<Vec<BundleEntry>, Refusal> {
    for Routed { row, place, .. } in routed.iter().filter(|routed| !routed.row.code.is_write()) {
        context.settle_accesses(row, place)?;
    }
    let snapshot = context.kv.snapshot(At::Latest)?;
    let mut entries = Vec::new();
    for (Routed { entry, row, place }, index) in routed.iter().zip(0_usize..) {
        let answer = match answers.remove(&index) {
            Some(answer) => Ok(answer),
            None if row.code == Code::Capabilities => {
                super::capabilities::capabilities(context, party, &entry.request(None)?)
            }
            None => {
                let session = Session::new(context, party.clone(), &*snapshot)?.for_reading(row, place);
                let mut request = ids.request(&context.options.base_url, index, entry)?;
                context.resume(party, &mut request)?;
                let (asked, answer) = read(&session, row, place, request, headers);
                drop(session);
                // It is recorded before it is released.
                context.record(party, row, asked, &answer).await?;
                answer
            }
        };
        entries.push(response_entry(answer, headers.preference));
    }
    Ok(entries)
}

/// A read among the entries, and what the access record says of its request.
fn read(
    session: &Session<'_>,
    row: &Interaction,
    place: &Place,
    mut request: Request,
    headers: &Headers,
) -> (RequestForRecord, Result<Answer, Refusal>) {
    request.headers.request_id.clone_from(&headers.request_id);
    request.headers.peer.clone_from(&headers.peer);
    let answer = answer_read(session, row, place, &request).map_err(|refusal| refusal.withholding(session));
    // What a successful answer left out is not recorded as withheld, neither here nor with the next entry.
    drop(session.lens.take_withheld());
    (request.asked(), answer)
}

/// The ids of what entries write, chosen before anything is written; by fullUrl as `Type/id`.
struct EntryIds {
    by_full_url: HashMap<String, String>,
    by_index: HashMap<usize, ResourceId>,
    /// The criteria of entries, with the fullUrls of other entries in them resolved.
    criteria: HashMap<usize, Vec<(String, String)>>,
}

impl EntryIds {
    /// The `Type/id` of what an entry writes, if it is known beforehand.
    fn reference(&self, index: usize, routed: &Routed<'_>) -> Option<String> {
        Some(format!("{}/{}", routed.place.def()?.name, self.by_index.get(&index)?))
    }

    /// The request of an entry, with fullUrls of other entries resolved in its criteria and in an operation's input.
    fn request(&self, base_url: &str, index: usize, entry: &Entry<'_>) -> Result<Request, Refusal> {
        let bundled = BundleReferences { by_full_url: &self.by_full_url, own: OwnBase::of(base_url) };
        let mut replace = |_: ReferenceSite, text: &str, _: &str| match bundled.meaning(text, entry.full_url)
        {
            ReferenceMeaning::Text(text) => Some(text),
            ReferenceMeaning::AsWritten | ReferenceMeaning::Conditional(_) | ReferenceMeaning::UnknownUrn => {
                None
            }
        };
        let given = entry.resource.filter(|_| entry.verb == Verb::Post);
        let mut request = entry.request(given.map(|resource| rewritten(resource, &mut replace)))?;
        if let Some(criteria) = self.criteria.get(&index) {
            request.query.clone_from(criteria);
        }
        Ok(request)
    }
}

fn choose_ids(session: &Session<'_>, routed: &[Routed<'_>]) -> Result<EntryIds, Refusal> {
    let mut ids =
        EntryIds { by_full_url: HashMap::new(), by_index: HashMap::new(), criteria: HashMap::new() };
    let mut criteria_seen = HashSet::new();
    let mut left: Vec<usize> = (0..routed.len()).collect();
    while !left.is_empty() {
        // Criteria may name later entries: then they wait until those entries have their ids.
        let waiting: HashSet<&str> = left
            .iter()
            .filter_map(|index| routed.get(*index))
            .filter_map(|routed| routed.entry.full_url)
            .collect();
        let (before, mut waits) = (left.len(), Vec::new());
        for index in std::mem::take(&mut left) {
            let Some(one) = routed.get(index) else { continue };
            let known = |url: &str| ids.by_full_url.get(url).cloned();
            match criteria_of(one).map(|criteria| placed(criteria, &known, &waiting)) {
                Some(None) => waits.push(index),
                Some(Some(criteria)) => {
                    choose_id(session, (index, one), Some(&criteria), &mut ids, &mut criteria_seen)?;
                    ids.criteria.insert(index, criteria);
                }
                None => choose_id(session, (index, one), None, &mut ids, &mut criteria_seen)?,
            }
        }
        if let (Some(index), true) = (waits.first(), waits.len() == before) {
            let message = "the criteria name an entry whose id depends on them";
            return Err(at_entry(Refusal::bad_request(IssueCode::Invalid, message), *index));
        }
        left = waits;
    }
    Ok(ids)
}

/// The criteria of a conditional write or of a search.
fn criteria_of(Routed { entry, row, .. }: &Routed<'_>) -> Option<Vec<(String, String)>> {
    match row.code {
        Code::Create => {
            let criteria = entry.headers.if_none_exist.as_deref()?;
            Some(decode_pairs(criteria.rsplit('?').next().unwrap_or_default()))
        }
        Code::ConditionalUpdate | Code::ConditionalPatch | Code::ConditionalDelete | Code::Search => {
            Some(entry.query.clone())
        }
        _ => None,
    }
}

/// Criteria with the fullUrls in their values replaced by `Type/id`; `None` if one of those entries has no id yet.
fn placed(
    criteria: Vec<(String, String)>,
    known: &dyn Fn(&str) -> Option<String>,
    waiting: &HashSet<&str>,
) -> Option<Vec<(String, String)>> {
    let mut placed = Vec::new();
    for (name, value) in criteria {
        let mut parts = Vec::new();
        for part in value.split(',') {
            match known(part) {
                Some(target) => parts.push(target),
                None if waiting.contains(part) => return None,
                None => parts.push(part.to_owned()),
            }
        }
        placed.push((name, parts.join(",")));
    }
    Some(placed)
}

/// Chooses the id of what an entry writes.
fn choose_id(
    session: &Session<'_>,
    (index, Routed { entry, row, place }): (usize, &Routed<'_>),
    criteria: Option<&Vec<(String, String)>>,
    ids: &mut EntryIds,
    criteria_seen: &mut HashSet<(String, Vec<(String, String)>)>,
) -> Result<(), Refusal> {
    let Some(def) = place.def() else { return Ok(()) };
    if let (Code::Create | Code::ConditionalUpdate, Some(criteria)) = (row.code, criteria)
        && !criteria_seen.insert((def.name.to_string(), criteria.clone()))
    {
        // Both entries would find nothing and create the resource twice.
        let refusal = Refusal::bad_request(IssueCode::Duplicate, "another entry has the same criteria");
        return Err(at_entry(refusal, index));
    }
    let id = match (row.code, place, criteria) {
        (Code::Create | Code::ConditionalUpdate, _, Some(criteria)) => {
            match matches(session, def, criteria).map_err(|refusal| at_entry(refusal, index))? {
                Matches::One { id, .. } => id,
                Matches::None { .. } | Matches::Several => session.context.fresh_id()?,
            }
        }
        (Code::Create, _, None) => session.context.fresh_id()?,
        (Code::Update, Place::Instance(_, id), _) => id.clone(),
        _ => return Ok(()),
    };
    if let Some(url) = entry.full_url {
        let earlier = ids.by_full_url.insert(url.to_owned(), format!("{}/{id}", def.name));
        if earlier.is_some() {
            let refusal = Refusal::bad_request(IssueCode::Duplicate, "another entry has the same fullUrl");
            return Err(at_entry(refusal, index));
        }
    }
    ids.by_index.insert(index, id);
    Ok(())
}

/// The resources that the transaction writes, without those that a conditional create finds stored already.
fn coming<'t>(
    session: &Session<'_>,
    routed: &'t [Routed<'t>],
    ids: &EntryIds,
) -> Result<Vec<IncomingResource<'t>>, Refusal> {
    let mut found = Vec::new();
    for (Routed { entry, row, place }, index) in routed.iter().zip(0_usize..) {
        let is_written = matches!(row.code, Code::Create | Code::Update | Code::ConditionalUpdate);
        let (Some(def), Some(resource), Some(id)) = (place.def(), entry.resource, ids.by_index.get(&index))
        else {
            continue;
        };
        let is_there = row.code == Code::Create && session.repository().current(def, id)?.is_some();
        if is_written && !is_there {
            found.push(IncomingResource { def, resource, target: format!("{}/{id}", def.name) });
        }
    }
    Ok(found)
}

/// The order of work within a transaction (R4 http.html#trules): deletions, creations, updates; reads come after.
fn order(row: &Interaction) -> u8 {
    match row.verb {
        Verb::Delete => 0,
        Verb::Post => 1,
        Verb::Put | Verb::Patch => 2,
        Verb::Get | Verb::Head => 3,
    }
}

/// The writes with their bodies, and what the commit expects because of conditional references.
fn read_bodies(
    session: &Session<'_>,
    routed: &[Routed<'_>],
    ids: &EntryIds,
) -> Result<(Vec<PlannedWrite>, Vec<Expectation>), Refusal> {
    let own = OwnBase::of(&session.context.options.base_url);
    let bundled = BundleReferences { by_full_url: &ids.by_full_url, own };
    let mut conditional = ConditionalReferences::new(session, coming(session, routed, ids)?);
    let mut findings: Vec<Issue> = Vec::new();
    let mut steps = Vec::new();
    for (Routed { entry, row, .. }, index) in routed.iter().zip(0_usize..) {
        if !row.code.is_write() {
            continue;
        }
        let mut failed: Vec<Refusal> = Vec::new();
        let mut replace =
            |at: ReferenceSite, text: &str, path: &str| match bundled.meaning(text, entry.full_url) {
                ReferenceMeaning::AsWritten => None,
                ReferenceMeaning::Text(text) => Some(text),
                ReferenceMeaning::Conditional(criteria) if at == ReferenceSite::Reference => {
                    conditional.target(&criteria, path).unwrap_or_else(|refusal| {
                        failed.push(refusal);
                        None
                    })
                }
                ReferenceMeaning::UnknownUrn if at == ReferenceSite::Reference => {
                    let message = format!("no entry has the fullUrl `{text}`");
                    failed.push(Refusal::new(
                        RefusalKind::Unprocessable,
                        Issue::error(IssueCode::NotFound, message).at(path),
                    ));
                    None
                }
                ReferenceMeaning::Conditional(_) | ReferenceMeaning::UnknownUrn => None,
            };
        let text = entry.resource.map(|resource| rewritten(resource, &mut replace));
        for refusal in failed {
            // A failure of the store or a missing scope is no finding about the Bundle.
            if refusal.kind.status() >= 500 || refusal.kind == RefusalKind::Forbidden {
                return Err(at_entry(refusal, index));
            }
            findings.extend(at_entry(refusal, index).outcome.issues);
        }
        let request = entry.request(text).map_err(|refusal| at_entry(refusal, index))?;
        match Input::new(request) {
            Ok(mut input) => {
                input.assigned = ids.by_index.get(&index).cloned();
                if let Some(criteria) = ids.criteria.get(&index) {
                    match row.code {
                        Code::Create => input.headers.if_none_exist = Some(query_text(criteria)),
                        _ => input.query.clone_from(criteria),
                    }
                }
                steps.push(PlannedWrite { index, input });
            }
            Err(refusal) => findings.extend(at_entry(refusal, index).outcome.issues),
        }
    }
    if conditional.has_failed && findings.iter().any(|issue| issue.severity >= Severity::Error) {
        return Err(Refusal::new(RefusalKind::PreconditionFailed, Outcome::from(findings)));
    }
    if findings.iter().any(|issue| issue.severity >= Severity::Error) {
        return Err(Refusal::new(RefusalKind::Unprocessable, Outcome::from(findings)));
    }
    steps.sort_by_key(|step| routed.get(step.index).map_or(u8::MAX, |routed| order(routed.row)));
    Ok((steps, conditional.expectations))
}

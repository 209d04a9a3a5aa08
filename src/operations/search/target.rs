//! What a search covers: one type, several types, or the members of a compartment.
use crate::audit::Patients;
use crate::auth::Permission;
use crate::definitions::{TypeDef, r4};
use crate::model::{IssueCode, ResourceId};
use crate::search::{Query, QueryError, compartment, parse_query};

use super::super::answer::{Answer, Refusal};
use super::super::place::Place;
use super::super::request::{Payload, Request};
use super::super::session::{Seen, Session};
use super::audit_events::AuditSearch;
use super::page::Page;
use super::part::Part;
use super::searching::PreparedSearch;

/// The types that have compartments (R4 compartmentdefinition.html).
const COMPARTMENTS: [&str; 5] = ["Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"];

/// What to do with a search once it is parsed.
type Then<'t, T> = &'t dyn Fn(PreparedSearch<'_, '_>) -> Result<T, Refusal>;

/// Answers a search.
pub(in super::super) fn search(
    session: &Session<'_>,
    place: &Place,
    request: &Request,
) -> Result<Answer, Refusal> {
    at(session, place, request, &|searching| searching.answer())
}

/// The patients whom all matches of a search are about, on all pages, as the party sees them.
pub(in super::super) fn patients_found(
    session: &Session<'_>,
    place: &Place,
    request: &Request,
) -> Result<Patients, Refusal> {
    at(session, place, request, &|searching| searching.patients())
}

fn at<T>(session: &Session<'_>, place: &Place, request: &Request, then: Then<'_, T>) -> Result<T, Refusal> {
    match place {
        Place::Type(def) => search_type(session, def, request, then),
        Place::System => several(session, request, String::new(), (&|_| true, &|_, part| Some(part)), then),
        Place::Compartment(def, id, member) => search_compartment(session, (def, id, *member), request, then),
        Place::Instance(..) | Place::Version(..) => Err(Refusal::not_found()),
    }
}

fn search_type<T>(
    session: &Session<'_>,
    def: &'static TypeDef,
    request: &Request,
    then: Then<'_, T>,
) -> Result<T, Refusal> {
    let query = read(session, def, &def.name, &pairs(request), request)?;
    if !query.types.is_empty() {
        let message = "`_type` is for a search of the whole server or of a compartment";
        return Err(Refusal::bad_request(IssueCode::Invalid, message));
    }
    if def.rules.is_access_record {
        let (path, filters) = (&*def.name, query.filters.as_slice());
        let search = AuditSearch { session, def, path, filters, compartment: None, query: &query };
        return then(PreparedSearch::Accesses(search));
    }
    let parts = vec![part_of(session, def, &query)];
    then(PreparedSearch::Resources(Box::new(Page::new(session, def.name.to_string(), parts, query)?)))
}

/// R4 search.html#variant2: the members of a resource's compartment, of one type or of all.
fn search_compartment<T>(
    session: &Session<'_>,
    (of, id, member): (&'static TypeDef, &ResourceId, Option<&'static TypeDef>),
    request: &Request,
    then: Then<'_, T>,
) -> Result<T, Refusal> {
    if !COMPARTMENTS.contains(&&*of.name) {
        let message = format!("{} has no compartment; {} have", of.name, COMPARTMENTS.join(", "));
        return Err(Refusal::not_supported(message));
    }
    // A hidden resource's compartment answers 404, as if the resource had never existed.
    if !matches!(session.look_to(&Permission::SEEING, of, id)?, Seen::Resource { .. }) {
        return Err(Refusal::not_found());
    }
    let path = format!("{}/{id}/{}", of.name, member.map_or("*", |def| &def.name));
    let is_member = |def: &'static TypeDef| compartment(&session.params, of, id, def).is_some();
    let inside = |def: &'static TypeDef, mut part: Part| {
        part.filters.insert(0, compartment(&session.params, of, id, def)?);
        Some(part)
    };
    let Some(def) = member else { return several(session, request, path, (&is_member, &inside), then) };
    let query = read(session, def, &path, &pairs(request), request)?;
    let part = part_of(session, def, &query);
    let Some(part) = inside(def, part) else {
        let message = format!("the compartment of a {} has no {}", of.name, def.name);
        return Err(Refusal::not_supported(message));
    };
    if def.rules.is_access_record {
        let compartment = Some(id).filter(|_| &*of.name == "Patient");
        let (path, filters) = (path.as_str(), part.filters.as_slice());
        let search = AuditSearch { session, def, path, filters, compartment, query: &query };
        return then(PreparedSearch::Accesses(search));
    }
    then(PreparedSearch::Resources(Box::new(Page::new(session, path, vec![part], query)?)))
}

/// Which types are meant, and the conditions that each adds to the query; `None` if a type cannot have them.
type TypesMeant<'m> =
    (&'m dyn Fn(&'static TypeDef) -> bool, &'m dyn Fn(&'static TypeDef, Part) -> Option<Part>);

/// A search of several types: those asked for, as far as the token's scopes reach (R4 http.html#search, the whole system: the
/// parameters are those that all types have).
fn several<T>(
    session: &Session<'_>,
    request: &Request,
    path: String,
    (is_meant, make): TypesMeant<'_>,
    then: Then<'_, T>,
) -> Result<T, Refusal> {
    let pairs = pairs(request);
    let scopes = &session.lens.party().scopes;
    let named: Vec<(String, String)> = pairs.iter().filter(|(name, _)| name == "_type").cloned().collect();
    let any = r4().resource("Basic").ok_or_else(Refusal::not_found)?;
    let types = read(session, any, &path, &named, request)?.types;
    let is_asked = |def: &&'static TypeDef| {
        let is_named = types.is_empty() || types.iter().any(|named| named.id == def.id);
        // AuditEvents are searched separately, because they are made when they are asked for.
        is_named && is_meant(def) && !def.rules.is_access_record
    };
    let asked: Vec<&'static TypeDef> = r4().resources().filter(is_asked).collect();
    let permitted = |def: &&'static TypeDef| scopes.permit(Permission::Search, Some(&def.name));
    let reached: Vec<&'static TypeDef> = asked.into_iter().filter(permitted).collect();
    if reached.is_empty() {
        return Err(Refusal::forbidden("the token's scopes do not permit this"));
    }
    let mut parts = Vec::new();
    let mut first: Option<Query> = None;
    for def in reached {
        let query = read(session, def, &path, &pairs, request)?;
        let part = part_of(session, def, &query);
        parts.extend(make(def, part));
        first.get_or_insert(query);
    }
    then(PreparedSearch::Resources(Box::new(Page::new(session, path, parts, first.unwrap_or_default())?)))
}

/// The search of one type. The scopes' search constraints become conditions; otherwise the lens would drop the other rows one by
/// one.
pub(super) fn part_of(session: &Session<'_>, def: &'static TypeDef, query: &Query) -> Part {
    let scope = session.lens.party().scopes.search_filter(&def.name);
    let filters = query.filters.iter().cloned().chain(scope).collect();
    Part { def, filters, sort: query.sort.clone() }
}

fn pairs(request: &Request) -> Vec<(String, String)> {
    let mut pairs = request.query.clone();
    if let Payload::Form(form) = &request.payload {
        pairs.extend(form.iter().cloned());
    }
    pairs
}

pub(super) fn read(
    session: &Session<'_>,
    def: &'static TypeDef,
    path: &str,
    pairs: &[(String, String)],
    request: &Request,
) -> Result<Query, Refusal> {
    let read_at = |now| {
        let lenient = request.headers.lenient || session.lens.party().lenient;
        let reading = session.reading(now, lenient);
        parse_query(&reading, def, pairs).map_err(refusal)
    };
    let query = read_at(session.context.now())?;
    let Some(cursor) = &query.cursor else { return Ok(query) };
    // Approximate dates (`ap`) stay relative to the time of the first page.
    read_at(session.context.cursor(cursor, session.lens.party(), path)?.first_asked)
}

fn refusal(error: QueryError) -> Refusal {
    let code = if error.is_unknown { IssueCode::NotSupported } else { IssueCode::Invalid };
    let message =
        if error.is_unknown { error.message } else { format!("`{}`: {}", error.parameter, error.message) };
    Refusal::bad_request(code, message)
}

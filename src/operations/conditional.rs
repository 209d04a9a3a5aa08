//! Conditional interactions (R4 http.html#cond-update): a search within the party's view finds the resource. The commit expects
//! that no range that the search read has changed, so that two concurrent requests cannot both find nothing.
use crate::auth::Permission;
use crate::consent::SearchPart;
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, ResourceId};
use crate::search::{Filter, PersonalValue, parse_query, sought};
use crate::store::{Expectation, Report, Search, View, Way};

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::matches::Matches;
use super::prepared::{Input, Prepared};
use super::request::query_text;
use super::search::finding;
use super::session::Session;
use super::terminology::looked_up;
use super::{delete, patch, update};

/// The resources that match the criteria of a conditional interaction. A transaction asks several times; its session, which is of
/// one snapshot, searches once.
pub(super) fn matches(
    session: &Session<'_>,
    def: &'static TypeDef,
    criteria: &[(String, String)],
) -> Result<Matches, Refusal> {
    let key = (def.id, criteria.to_vec());
    if let Some(known) = session.matched.borrow().get(&key) {
        return Ok(known.clone());
    }
    let found = searched(session, def, criteria)?;
    session.matched.borrow_mut().insert(key, found.clone());
    Ok(found)
}

fn searched(
    session: &Session<'_>,
    def: &'static TypeDef,
    criteria: &[(String, String)],
) -> Result<Matches, Refusal> {
    if !session.lens.party().scopes.permit(Permission::Search, Some(&def.name)) {
        return Err(Refusal::forbidden("the token's scopes do not permit to search for this"));
    }
    // Never lenient: an ignored criterion would widen the set of resources that is written.
    if let Some((name, _)) =
        criteria.iter().find(|(_, value)| value.split(',').all(|part| part.trim().is_empty()))
    {
        return Err(Refusal::bad_request(
            IssueCode::Required,
            format!("the criterion `{name}` has no value"),
        ));
    }
    let reading = session.reading(session.context.now(), false);
    let query = parse_query(&reading, def, criteria)
        .map_err(|error| Refusal::bad_request(IssueCode::Invalid, error.message))?;
    if query.filters.is_empty() {
        let issue = Issue::error(IssueCode::Required, "a conditional interaction needs criteria");
        return Err(Refusal::new(RefusalKind::PreconditionFailed, issue));
    }
    // A record keeper searches hidden resources, too, so that it does not create duplicates of them.
    let finding = if session.lens.keeps_record() {
        SearchPart::Stored
    } else {
        finding(&session.params, &query.filters, &query.sort)
    };
    let sight = session.lens.finding(finding);
    let view = View::new(session.repository(), None, &sight);
    // Whatever is done with the match, finding it is a search, so the search scopes apply.
    let scope = session.lens.party().scopes.search_filter(&def.name);
    let values: Vec<PersonalValue> =
        query.filters.iter().flat_map(|filter| sought(&session.params, def, filter)).collect();
    let filter = Filter::all(query.filters.into_iter().chain(scope).collect());
    let filter = looked_up(session, &view, def, filter)?;
    let report = Report::default();
    let rows = Search::new(&view, def, &filter, &[], &report)?.page(None, Way::Onward, 2)?;
    // If a record keeper's search by names or identifiers of this very type finds nothing, they are nobody's and not recorded.
    let is_nobodys = rows.is_empty()
        && finding == SearchPart::Stored
        && values.iter().all(|value| matches!(value, PersonalValue::Resources(of, _) if of.id == def.id));
    if !is_nobodys {
        session.looked_for(format!("{}?{}", def.name, query_text(criteria)));
    }
    let since = session.snapshot().sequence();
    let read = session.repository().ranges_read(def, &filter);
    let expectations: Vec<Expectation> =
        read.into_iter().map(|range| Expectation::Unchanged { range, since }).collect();
    match rows.as_slice() {
        [] => Ok(Matches::None { expectations }),
        [row] => {
            let current = session.repository().current_of_row(*row)?.ok_or_else(Refusal::not_found)?;
            let mut expectations = expectations;
            expectations.push(session.repository().unchanged(&current));
            Ok(Matches::One { id: current.id, expectations })
        }
        _ => Ok(Matches::Several),
    }
}

pub(super) fn update(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let valid = input.resource(def)?;
    let given = valid.root().str_at("id").and_then(ResourceId::parse);
    let (id, expectations) = match matches(session, def, &input.query)? {
        Matches::Several => return Err(several()),
        Matches::One { id, expectations } => {
            if given.is_some_and(|given| given != id) {
                return Err(Refusal::bad_request(
                    IssueCode::Invalid,
                    "the id of the body is not that of the match",
                ));
            }
            (id, expectations)
        }
        Matches::None { expectations } => {
            let assigns = session.lens.party().assign_ids;
            let fresh = match (given.filter(|_| assigns), &input.assigned) {
                (Some(given), None) => {
                    return Ok(with(update::planned(session, def, &given, valid, input)?, expectations));
                }
                (_, Some(assigned)) => assigned.clone(),
                (None, None) => session.context.fresh_id()?,
            };
            let mut planned = super::prepared::put(session, valid, fresh, None)?;
            planned.expectations.extend(expectations);
            return Ok(Prepared::Change(Box::new(planned)));
        }
    };
    Ok(with(update::planned(session, def, &id, valid, input)?, expectations))
}

pub(super) fn patch(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    on_match(session, def, input, patch::prepare)?.ok_or_else(Refusal::not_found)
}

pub(super) fn delete(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let nothing = || Prepared::Nothing(Box::new(Answer::new(Kind::NoContent, Body::None)), Vec::new());
    Ok(on_match(session, def, input, delete::prepare)?.unwrap_or_else(nothing))
}

/// Prepares an interaction with one resource.
type Prepare = fn(&Session<'_>, &'static TypeDef, &ResourceId, &Input) -> Result<Prepared, Refusal>;

/// Prepares the interaction with the only match; `None` if nothing matches.
fn on_match(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
    prepare: Prepare,
) -> Result<Option<Prepared>, Refusal> {
    match matches(session, def, &input.query)? {
        Matches::Several => Err(several()),
        Matches::None { .. } => Ok(None),
        Matches::One { id, expectations } => {
            prepare(session, def, &id, input).map(|prepared| Some(with(prepared, expectations)))
        }
    }
}

fn several() -> Refusal {
    let issue = Issue::error(IssueCode::MultipleMatches, "several resources match the criteria");
    Refusal::new(RefusalKind::PreconditionFailed, issue)
}

fn with(prepared: Prepared, expectations: Vec<Expectation>) -> Prepared {
    match prepared {
        Prepared::Change(mut planned) => {
            planned.expectations.extend(expectations);
            Prepared::Change(planned)
        }
        Prepared::Nothing(answer, mut others) => {
            others.extend(expectations);
            Prepared::Nothing(answer, others)
        }
    }
}

//! Conditional interactions (R4 http.html#cond-update): the resource is named by a search, which sees what the party
//! sees. The commit expects every range that the search has read, so that two at once cannot both find nothing.
use crate::definitions::TypeDef;
use crate::model::{Issue, IssueCode, ResourceId};
use crate::search::{Filter, Query, parse_query};
use crate::store::Expectation;

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::session::Session;
use super::write::{Input, Prepared};
use super::{delete, patch, update};

/// What the criteria find.
pub(super) enum Matches {
    None { expectations: Vec<Expectation> },
    One { id: ResourceId, expectations: Vec<Expectation> },
    Several,
}

/// The resources that a conditional interaction's criteria find.
pub(super) fn matches(
    session: &Session<'_>,
    def: &'static TypeDef,
    criteria: &[(String, String)],
) -> Result<Matches, Refusal> {
    // Never lenient: a criterion that is passed over would widen what is written.
    let query = parse_query(def, criteria, false)
        .map_err(|error| Refusal::bad_request(IssueCode::Invalid, error.message))?;
    if query.filters.is_empty() {
        let issue = Issue::error(IssueCode::Required, "a conditional interaction needs criteria");
        return Err(Refusal::new(RefusalKind::PreconditionFailed, issue));
    }
    let rows = session.repository().rows(def, &query, &session.lens)?;
    let expectations = expected(session, def, &query);
    match rows.as_slice() {
        [] => Ok(Matches::None { expectations }),
        [row] => {
            let current = session.repository().current_of_row(*row)?.ok_or_else(Refusal::not_found)?;
            Ok(Matches::One { id: current.id, expectations })
        }
        _ => Ok(Matches::Several),
    }
}

fn expected(session: &Session<'_>, def: &'static TypeDef, query: &Query) -> Vec<Expectation> {
    let since = session.snapshot().sequence();
    let mut ranges = Vec::new();
    for filter in &query.filters {
        match filter {
            Filter::Term(term) => ranges.extend(session.repository().term_ranges(def, term)),
            // Ids and times are of resources that are found by the other criteria, or by their own key.
            Filter::Id(ids) => ranges.extend(ids.iter().map(|id| session.repository().id_range(def, id))),
            Filter::LastUpdated(_) => ranges.push(session.repository().type_range(def)),
        }
    }
    ranges.into_iter().map(|range| Expectation::Unchanged { range, since }).collect()
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
            let id = match (&input.assigned, given.filter(|_| assigns)) {
                (Some(id), _) => id.clone(),
                (None, Some(given)) => given,
                (None, None) => {
                    let mut planned = super::write::put(session, valid, session.engine.fresh_id()?, None)?;
                    planned.expectations = expectations;
                    return Ok(Prepared::Change(Box::new(planned)));
                }
            };
            (id, expectations)
        }
    };
    let mut planned = update::planned(session, def, &id, valid, input)?;
    planned.expectations = expectations;
    Ok(Prepared::Change(Box::new(planned)))
}

pub(super) fn patch(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    match matches(session, def, &input.query)? {
        Matches::Several => Err(several()),
        Matches::None { .. } => Err(Refusal::not_found()),
        Matches::One { id, expectations } => {
            patch::prepare(session, def, &id, input).map(|prepared| with(prepared, expectations))
        }
    }
}

pub(super) fn delete(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    match matches(session, def, &input.query)? {
        Matches::Several => Err(several()),
        Matches::None { .. } => Ok(Prepared::Nothing(Box::new(Answer::new(Kind::NoContent, Body::None)))),
        Matches::One { id, expectations } => {
            delete::prepare(session, def, &id, input).map(|prepared| with(prepared, expectations))
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
            planned.expectations = expectations;
            Prepared::Change(planned)
        }
        Prepared::Nothing(answer) => Prepared::Nothing(answer),
    }
}

//! Functions on whole collections: existence, subsets, combination.
use crate::fhirpath::equality::equal;
use crate::fhirpath::operators::{boolean, single};
use crate::fhirpath::value::{Collection, Value};

use super::super::evaluator::{Evaluated, EvaluationError};
use super::call::{Answer, Call};
use super::iteration::truths;

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    let truth = |value: bool| Ok(vec![Value::Boolean(value)]);
    Some(match call.name {
        "empty" => truth(call.focus.is_empty()),
        "not" => {
            boolean(&call.focus).map(|truth| truth.map(|truth| Value::Boolean(!truth)).into_iter().collect())
        }
        "count" => Ok(vec![Value::Integer(i64::try_from(call.focus.len()).unwrap_or(i64::MAX))]),
        "allTrue" => truths(&call.focus).and_then(|all| truth(all.iter().all(|one| *one))),
        "anyTrue" => truths(&call.focus).and_then(|all| truth(all.iter().any(|one| *one))),
        "allFalse" => truths(&call.focus).and_then(|all| truth(all.iter().all(|one| !one))),
        "anyFalse" => truths(&call.focus).and_then(|all| truth(all.iter().any(|one| !one))),
        "distinct" => only_distinct(call),
        "isDistinct" => {
            let len = call.focus.len();
            only_distinct(call).and_then(|kept| truth(kept.len() == len))
        }
        "subsetOf" => compared(call).and_then(|other| truth(is_subset(&call.focus, &other))),
        "supersetOf" => compared(call).and_then(|other| truth(is_subset(&other, &call.focus))),
        "single" => single(&call.focus).map(|value| value.cloned().into_iter().collect()),
        "first" => Ok(call.take().into_iter().next().into_iter().collect()),
        "last" => Ok(call.take().into_iter().next_back().into_iter().collect()),
        "tail" => Ok(call.take().into_iter().skip(1).collect()),
        "skip" => skip(call),
        "take" => take(call),
        "intersect" => compared(call).and_then(|other| {
            call.focus.retain(|value| is_in(value, &other));
            only_distinct(call)
        }),
        "exclude" => compared(call)
            .map(|other| call.take().into_iter().filter(|value| !is_in(value, &other)).collect()),
        "union" => combine(call).and_then(|both| {
            call.focus = both;
            only_distinct(call)
        }),
        "combine" => combine(call),
        _ => return None,
    })
}

fn is_in(value: &Value<'_>, list: &[Value<'_>]) -> bool {
    list.iter().any(|other| equal(value, other) == Some(true))
}

fn is_subset(small: &[Value<'_>], large: &[Value<'_>]) -> bool {
    small.iter().all(|value| is_in(value, large))
}

/// The argument, after charging for the comparison of each of its values with each value of the focus.
fn compared<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let other = call.argument(0)?;
    call.evaluator.pairs_step(&call.focus, &other)?;
    Ok(other)
}

fn only_distinct<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let values = call.take();
    call.evaluator.distinct(values.into_iter())
}

fn combine<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let other = call.argument(0)?;
    call.evaluator.collection_step(call.focus.len().saturating_add(other.len()))?;
    Ok(call.take().into_iter().chain(other).collect())
}

fn count(call: &mut Call<'_, '_, '_, '_>) -> Result<Option<i64>, EvaluationError> {
    call.integer(0)
}

fn skip<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let count = count(call)?.unwrap_or(0).max(0);
    let focus: Collection<'t> = call.take();
    Ok(focus.into_iter().skip(usize::try_from(count).unwrap_or(usize::MAX)).collect())
}

fn take<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let count = count(call)?.unwrap_or(0).max(0);
    let focus: Collection<'t> = call.take();
    Ok(focus.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)).collect())
}

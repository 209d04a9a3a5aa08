//! Functions that evaluate an argument on each item: `where`, `select`, `all`, `exists`, `repeat`, `aggregate`, `iif`, `sort`,
//! `trace`.
use std::cmp::Ordering;

use crate::fhirpath::ast::Expr;
use crate::fhirpath::cost::collection_fits;
use crate::fhirpath::equality::{equal, order};
use crate::fhirpath::operators::boolean;
use crate::fhirpath::value::{Collection, Value};

use super::super::evaluator::{Evaluated, EvaluationError, Scope};
use super::call::{Answer, Call};

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    Some(match call.name {
        "where" => filter(call),
        "select" => select(call),
        "all" => all(call),
        "exists" => exists(call),
        "repeat" => repeat(call),
        "aggregate" => aggregate(call),
        "iif" => iif(call),
        "sort" => sort(call),
        // A trace would write patient data to the log, so `trace` is accepted and writes nothing.
        "trace" => Ok(call.take()),
        _ => return None,
    })
}

fn filter<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut kept = Vec::new();
    for (item, index) in call.take().into_iter().zip(0..) {
        if call.holds(&item, index)? {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn select<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut out = Vec::new();
    for (item, index) in call.take().iter().zip(0..) {
        out.extend(call.on_item(0, item, index)?);
        collection_fits(out.len())?;
    }
    Ok(out)
}

fn all<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    for (item, index) in call.take().iter().zip(0..) {
        if !call.holds(item, index)? {
            return Ok(vec![Value::Boolean(false)]);
        }
    }
    Ok(vec![Value::Boolean(true)])
}

fn exists<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let found = if call.arguments.is_empty() { call.take() } else { filter(call)? };
    Ok(vec![Value::Boolean(!found.is_empty())])
}

fn repeat<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut found: Collection<'t> = Vec::new();
    let mut queue: std::collections::VecDeque<Value<'t>> = call.take().into();
    while let Some(item) = queue.pop_front() {
        for next in call.on_item(0, &item, 0)? {
            call.evaluator.pairs_step(std::slice::from_ref(&next), &found)?;
            call.evaluator.collection_step(found.len())?;
            if !found.iter().any(|other| is_same(other, &next)) {
                found.push(next.clone());
                queue.push_back(next);
            }
        }
    }
    Ok(found)
}

/// Whether two values are the same: elements by their position in the tree, other values by equality.
fn is_same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Element(a), Value::Element(b)) => {
            let place = |element: &crate::fhirpath::Element<'_>| {
                element.node.or(element.sibling).map(|node| node.index())
            };
            place(a) == place(b)
        }
        (left, right) => equal(left, right) == Some(true),
    }
}

fn aggregate<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let mut total = call.optional(1)?.unwrap_or_default();
    let Some(expr) = call.arguments.first() else { return Err("`aggregate` lacks an argument".into()) };
    for (item, index) in call.take().into_iter().zip(0..) {
        let this = [item];
        let scope = Scope { this: &this, index: Some(index), total: Some(&total) };
        total = call.evaluator.expr(expr, &scope)?;
    }
    Ok(total)
}

fn iif<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let focus = call.take();
    if focus.len() > 1 {
        return Err("`iif` takes at most one item".into());
    }
    let scope = Scope { this: &focus, index: call.scope.index, total: call.scope.total };
    let [criterion, then, ..] = call.arguments else { return Err("`iif` lacks an argument".into()) };
    let met = match call.evaluator.expr(criterion, &scope)?.as_slice() {
        [] => false,
        [value] => match value.system() {
            Value::Boolean(value) => value,
            _ => return Err("the criterion of `iif` is no boolean".into()),
        },
        _ => return Err("the criterion of `iif` is one boolean".into()),
    };
    match (met, call.arguments.get(2)) {
        (true, _) => call.evaluator.expr(then, &scope),
        (false, Some(otherwise)) => call.evaluator.expr(otherwise, &scope),
        (false, None) => Ok(Vec::new()),
    }
}

/// A sort key: an expression, and whether a minus sign before it reverses the order.
struct Key<'t> {
    expr: &'t Expr,
    descending: bool,
}

fn sort<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let keys: Vec<Key<'t>> = call
        .arguments
        .iter()
        .map(|argument| match argument {
            Expr::Sign { negative: true, of } => Key { expr: of, descending: true },
            expr => Key { expr, descending: false },
        })
        .collect();
    let mut rows: Vec<(Vec<Option<Value<'t>>>, Value<'t>)> = Vec::new();
    for (item, index) in call.take().into_iter().zip(0..) {
        let this = [item];
        let scope = Scope { this: &this, index: Some(index), total: None };
        let mut row = Vec::new();
        for key in &keys {
            row.push(call.evaluator.expr(key.expr, &scope)?.into_iter().next());
        }
        let [item] = this;
        if keys.is_empty() {
            row.push(Some(item.clone()));
        }
        rows.push((row, item));
    }
    let mut fault: Option<EvaluationError> = None;
    rows.sort_by(|(a, _), (b, _)| {
        for ((a, b), number) in a.iter().zip(b).zip(0_usize..) {
            let descending = keys.get(number).is_some_and(|key| key.descending);
            let found = match (a, b) {
                (Some(a), Some(b)) => order(a, b).map(|order| order.unwrap_or(Ordering::Equal)),
                (a, b) => Ok(a.is_none().cmp(&b.is_none())),
            };
            match found {
                Ok(Ordering::Equal) => {}
                Ok(order) => return if descending { order.reverse() } else { order },
                Err(message) => fault = Some(message.into()),
            }
        }
        Ordering::Equal
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(rows.into_iter().map(|(_, item)| item).collect()),
    }
}

/// The booleans of a collection, for `allTrue` and similar functions.
pub(super) fn truths(values: &[Value<'_>]) -> Result<Vec<bool>, EvaluationError> {
    values
        .iter()
        .map(|value| match value.system() {
            Value::Boolean(_) => boolean(std::slice::from_ref(value)).map(|truth| truth.unwrap_or(false)),
            _ => Err("expected booleans".into()),
        })
        .collect()
}

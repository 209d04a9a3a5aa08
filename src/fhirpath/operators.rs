//! The operators: arithmetic, comparison, three-valued logic, membership and union.
use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::model::{Precision, Temporal};

use super::ast::{Expr, Operator};
use super::equality::{equal, equivalent, number, order};
use super::evaluator::{Evaluated, EvaluationError, Evaluator, Scope};
use super::quantity::Quantity;
use super::value::{Collection, Value};

pub(super) fn binary<'t>(
    evaluator: &mut Evaluator<'_, 't>,
    operator: Operator,
    left: &'t Expr,
    right: &'t Expr,
    scope: &Scope<'_, 't>,
) -> Evaluated<'t> {
    let left = evaluator.expr(left, scope)?;
    let right = evaluator.expr(right, scope)?;
    evaluator.step(left.len().saturating_add(right.len()))?;
    match operator {
        Operator::Implies | Operator::Or | Operator::Xor | Operator::And => {
            let (left, right) = (boolean(&left)?, boolean(&right)?);
            Ok(logic(operator, left, right).map(Value::Boolean).into_iter().collect())
        }
        Operator::In | Operator::Contains => {
            evaluator.pairs_step(&left, &right)?;
            if operator == Operator::In { membership(&left, &right) } else { membership(&right, &left) }
        }
        Operator::Equal | Operator::NotEqual | Operator::Equivalent | Operator::NotEquivalent => {
            equality(evaluator, operator, &left, &right)
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            compare(operator, &left, &right)
        }
        Operator::Union => evaluator.distinct(left.into_iter().chain(right)),
        Operator::Concatenate => {
            let (left, right) = (string_or_empty(&left)?, string_or_empty(&right)?);
            evaluator.text_step(left.len().saturating_add(right.len()))?;
            Ok(vec![Value::text(format!("{left}{right}"))])
        }
        Operator::Plus
        | Operator::Minus
        | Operator::Times
        | Operator::Divide
        | Operator::Div
        | Operator::Mod => match (single(&left)?, single(&right)?) {
            (Some(left), Some(right)) => arithmetic(operator, &left.system(), &right.system()),
            _ => Ok(Vec::new()),
        },
    }
}

fn equality<'t>(
    evaluator: &mut Evaluator<'_, 't>,
    operator: Operator,
    left: &[Value<'t>],
    right: &[Value<'t>],
) -> Evaluated<'t> {
    match operator {
        // Item by item: the steps charged for both sides cover this, except for elements, which have subtrees.
        Operator::Equal | Operator::NotEqual if left.len() == right.len() => {
            for (left, right) in left.iter().zip(right) {
                evaluator.pairs_step(std::slice::from_ref(left), std::slice::from_ref(right))?;
            }
        }
        Operator::Equal | Operator::NotEqual => {}
        _ => evaluator.likeness_step(left, right)?,
    }
    Ok(match operator {
        Operator::Equal => answer(equal_collections(left, right)),
        Operator::NotEqual => answer(equal_collections(left, right).map(|equal| !equal)),
        Operator::Equivalent => vec![Value::Boolean(equivalent_collections(left, right))],
        _ => vec![Value::Boolean(!equivalent_collections(left, right))],
    })
}

fn answer<'t>(known: Option<bool>) -> Collection<'t> {
    known.map(Value::Boolean).into_iter().collect()
}

/// The only value of a collection, if there is one.
pub(super) fn single<'v, 't>(values: &'v [Value<'t>]) -> Result<Option<&'v Value<'t>>, EvaluationError> {
    match values {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        _ => Err("an operator or function that takes one value was given several".into()),
    }
}

/// The truth of a collection: its single boolean; any other single value counts as true ("singleton evaluation of collections").
pub(super) fn boolean(values: &[Value<'_>]) -> Result<Option<bool>, EvaluationError> {
    Ok(single(values)?.map(|value| match value.system() {
        Value::Boolean(value) => value,
        _ => true,
    }))
}

pub(super) fn single_integer(values: &[Value<'_>]) -> Result<Option<i64>, EvaluationError> {
    match single(values)?.map(Value::system) {
        None => Ok(None),
        Some(Value::Integer(value)) => Ok(Some(value)),
        Some(_) => Err("expected an integer".into()),
    }
}

pub(super) fn single_string<'t>(values: &[Value<'t>]) -> Result<Option<Cow<'t, str>>, EvaluationError> {
    match single(values)?.map(Value::system) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("expected a string".into()),
    }
}

fn string_or_empty<'t>(values: &[Value<'t>]) -> Result<Cow<'t, str>, EvaluationError> {
    match single(values)? {
        None => Ok(Cow::Borrowed("")),
        Some(value) => value.to_text().ok_or_else(|| "`&` takes strings".into()),
    }
}

fn logic(operator: Operator, left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (operator, left, right) {
        (Operator::And, Some(false), _) | (Operator::And, _, Some(false)) => Some(false),
        (Operator::And, Some(true), Some(true)) => Some(true),
        (Operator::Or, Some(true), _) | (Operator::Or, _, Some(true)) => Some(true),
        (Operator::Or, Some(false), Some(false)) => Some(false),
        (Operator::Xor, Some(left), Some(right)) => Some(left != right),
        (Operator::Implies, Some(false), _) | (Operator::Implies, _, Some(true)) => Some(true),
        (Operator::Implies, Some(true), right) => right,
        _ => None,
    }
}

fn membership<'t>(item: &[Value<'t>], list: &[Value<'t>]) -> Evaluated<'t> {
    let Some(item) = single(item)? else { return Ok(Vec::new()) };
    Ok(vec![Value::Boolean(list.iter().any(|other| equal(item, other) == Some(true)))])
}

pub(super) fn equal_collections(left: &[Value<'_>], right: &[Value<'_>]) -> Option<bool> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    if left.len() != right.len() {
        return Some(false);
    }
    let pairs: Vec<Option<bool>> = left.iter().zip(right).map(|(a, b)| equal(a, b)).collect();
    if pairs.contains(&Some(false)) {
        return Some(false);
    }
    pairs.into_iter().collect::<Option<Vec<bool>>>().map(|_| true)
}

fn equivalent_collections(left: &[Value<'_>], right: &[Value<'_>]) -> bool {
    left.len() == right.len()
        && left.iter().all(|a| right.iter().any(|b| equivalent(a, b)))
        && right.iter().all(|b| left.iter().any(|a| equivalent(a, b)))
}

fn compare<'t>(operator: Operator, left: &[Value<'t>], right: &[Value<'t>]) -> Evaluated<'t> {
    let (Some(left), Some(right)) = (single(left)?, single(right)?) else { return Ok(Vec::new()) };
    let holds = order(left, right)?.map(|order| match operator {
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    });
    Ok(answer(holds))
}

pub(super) fn sign(negative: bool, values: Collection<'_>) -> Evaluated<'_> {
    let Some(value) = single(&values)? else { return Ok(Vec::new()) };
    let value = value.system();
    let signed = match (negative, value) {
        (false, value @ (Value::Integer(_) | Value::Decimal(_) | Value::Quantity(_))) => value,
        // The lowest integer has no negative, and overflow yields an empty collection.
        (true, Value::Integer(value)) => {
            return Ok(value.checked_neg().map(Value::Integer).into_iter().collect());
        }
        (true, Value::Decimal(value)) if value.is_zero() => Value::Decimal(value),
        (true, Value::Decimal(value)) => Value::Decimal(-value),
        (true, Value::Quantity(quantity)) => {
            Value::Quantity(Quantity { value: -quantity.value, unit: quantity.unit })
        }
        _ => return Err("a sign stands before a number".into()),
    };
    Ok(vec![signed])
}

fn arithmetic<'t>(operator: Operator, left: &Value<'t>, right: &Value<'t>) -> Evaluated<'t> {
    let result = match (left, right) {
        (Value::Integer(a), Value::Integer(b)) => integers(operator, *a, *b),
        (Value::String(a), Value::String(b)) if operator == Operator::Plus => {
            // INVARIANT: each text is within the text limit, so the result has at most twice that length; the evaluator charges
            // results.
            Some(Value::text(format!("{a}{b}")))
        }
        (Value::Date(date), Value::Quantity(by)) => shift(operator, date, by, true)?.map(Value::Date),
        (Value::DateTime(date), Value::Quantity(by)) => {
            shift(operator, date, by, false)?.map(Value::DateTime)
        }
        (Value::Time(time), Value::Quantity(by)) => shift_time(operator, time, by)?.map(Value::Time),
        (Value::Quantity(a), Value::Quantity(b)) => quantities(operator, a, b)?.map(Value::Quantity),
        (Value::Quantity(a), b)
            if number(b).is_some() && matches!(operator, Operator::Times | Operator::Divide) =>
        {
            let value = number(b).and_then(|b| decimals(operator, a.value, b));
            value.map(|value| Value::Quantity(Quantity { value, unit: a.unit.clone() }))
        }
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => decimals(operator, a, b).map(|value| match operator {
                Operator::Div => value.to_i64().map_or(Value::Decimal(value), Value::Integer),
                _ => Value::Decimal(value),
            }),
            _ => return Err("the operator does not take these types".into()),
        },
    };
    Ok(result.into_iter().collect())
}

/// Overflow and division by zero yield an empty collection, as the specification requires.
fn integers<'t>(operator: Operator, a: i64, b: i64) -> Option<Value<'t>> {
    let result = match operator {
        Operator::Plus => a.checked_add(b),
        Operator::Minus => a.checked_sub(b),
        Operator::Times => a.checked_mul(b),
        Operator::Div => a.checked_div(b),
        Operator::Mod => a.checked_rem(b),
        _ => return decimals(operator, Decimal::from(a), Decimal::from(b)).map(Value::Decimal),
    };
    result.map(Value::Integer)
}

fn decimals(operator: Operator, a: Decimal, b: Decimal) -> Option<Decimal> {
    match operator {
        Operator::Plus => a.checked_add(b),
        Operator::Minus => a.checked_sub(b),
        Operator::Times => a.checked_mul(b),
        Operator::Divide => a.checked_div(b).map(|value| value.normalize()),
        Operator::Div => a.checked_div(b).map(|value| value.trunc()),
        Operator::Mod => a.checked_rem(b),
        _ => None,
    }
}

fn quantities(operator: Operator, a: &Quantity, b: &Quantity) -> Result<Option<Quantity>, EvaluationError> {
    let unit = match operator {
        Operator::Plus | Operator::Minus if a.unit == b.unit => a.unit.clone(),
        Operator::Times if b.unit == "1" => a.unit.clone(),
        Operator::Times if a.unit == "1" => b.unit.clone(),
        Operator::Times if a.unit == b.unit => format!("{}2", a.unit),
        Operator::Divide if a.unit == b.unit => "1".to_owned(),
        Operator::Divide => format!("{}/{}", a.unit, b.unit),
        Operator::Plus | Operator::Minus if !a.comparable(b) => {
            return Err("quantities of different dimensions have no sum".into());
        }
        _ => return Ok(None),
    };
    Ok(decimals(operator, a.value, b.value).map(|value| Quantity { value, unit }))
}

/// The milliseconds in a unit of fixed length.
fn unit_millis(unit: &str) -> Option<i64> {
    Some(match unit {
        "week" => 604_800_000,
        "day" => 86_400_000,
        "hour" => 3_600_000,
        "minute" => 60_000,
        "second" => 1_000,
        "millisecond" => 1,
        _ => return None,
    })
}

fn amount(operator: Operator, by: &Quantity) -> Result<(Decimal, &'static str), EvaluationError> {
    let unit = by.calendar_unit().ok_or("a date is moved by a calendar duration")?;
    match operator {
        Operator::Plus => Ok((by.value, unit)),
        Operator::Minus => Ok((-by.value, unit)),
        _ => Err("the operator does not take these types".into()),
    }
}

fn shift(
    operator: Operator,
    date: &Temporal,
    by: &Quantity,
    is_date: bool,
) -> Result<Option<Temporal>, EvaluationError> {
    let (value, unit) = amount(operator, by)?;
    let whole = value.trunc().to_i64().ok_or("the duration is too long")?;
    let months = match unit {
        "year" => Some(whole.saturating_mul(12)),
        "month" => Some(whole),
        _ => None,
    };
    if let Some(months) = months {
        // A date with only a year moves by whole years of months.
        let months = if date.precision == Precision::Year { months / 12 * 12 } else { months };
        return Ok(date.plus_months(months));
    }
    let length = unit_millis(unit).ok_or("the duration has no length")?;
    let millis = match unit {
        "second" => (value * Decimal::from(1_000)).trunc().to_i64().ok_or("the duration is too long")?,
        _ => whole.checked_mul(length).ok_or("the duration is too long")?,
    };
    // Dates with less than a day, and values of type date, move by whole units of their own precision.
    Ok(match date.precision {
        Precision::Year => date.plus_months(millis / (365 * 86_400_000) * 12),
        Precision::Month => date.plus_months(millis / (30 * 86_400_000)),
        _ if is_date => date.plus_millis(millis / 86_400_000 * 86_400_000),
        _ => date.plus_millis(millis),
    })
}

fn shift_time(
    operator: Operator,
    time: &Temporal,
    by: &Quantity,
) -> Result<Option<Temporal>, EvaluationError> {
    let (value, unit) = amount(operator, by)?;
    let length = unit_millis(unit).ok_or("a time is moved by hours, minutes and seconds")?;
    let millis = value.checked_mul(Decimal::from(length)).and_then(|millis| millis.trunc().to_i64());
    let millis = millis.ok_or("the duration is too long")?;
    // A time of day wraps around at midnight; the day is arbitrary.
    let on_a_day = Temporal { year: 2000, month: 6, day: 15, ..*time };
    let moved = on_a_day.plus_millis(millis % 86_400_000);
    Ok(moved.map(|moved| Temporal { year: 0, month: 0, day: 0, ..moved }))
}

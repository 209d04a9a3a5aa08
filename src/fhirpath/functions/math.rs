//! Functions on numbers.
use rust_decimal::prelude::{FromPrimitive as _, ToPrimitive as _};
use rust_decimal::{Decimal, MathematicalOps as _, RoundingStrategy};

use crate::fhirpath::equality::number;
use crate::fhirpath::operators::single;
use crate::fhirpath::quantity::Quantity;
use crate::fhirpath::value::Value;

use super::super::evaluator::{Evaluated, EvaluationError};
use super::call::{Answer, Call};
use super::conversion::whole;

pub(super) fn call<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    const NAMES: [&str; 10] =
        ["abs", "ceiling", "floor", "truncate", "round", "exp", "ln", "log", "power", "sqrt"];
    NAMES.contains(&call.name).then(|| math(call))
}

fn math<'t>(call: &mut Call<'_, '_, '_, 't>) -> Evaluated<'t> {
    let Some(value) = single(&call.focus)?.map(Value::system) else { return Ok(Vec::new()) };
    if let (Value::Quantity(quantity), "abs") = (&value, call.name) {
        return Ok(vec![Value::Quantity(Quantity {
            value: quantity.value.abs(),
            unit: quantity.unit.clone(),
        })]);
    }
    let x = number(&value).ok_or("expected a number")?;
    let is_integer = matches!(value, Value::Integer(_));
    let result = match call.name {
        "abs" if is_integer => whole(x.abs()),
        "abs" => Some(Value::Decimal(x.abs())),
        "ceiling" => whole(x.ceil()),
        "floor" => whole(x.floor()),
        "truncate" => whole(x.trunc()),
        "round" => round(call, x)?,
        "exp" => x.checked_exp().map(rounded),
        "ln" => x.checked_ln().map(rounded),
        "sqrt" => x.sqrt().map(rounded),
        "log" => {
            let base = argument(call)?;
            base.and_then(|base| x.checked_ln()?.checked_div(base.checked_ln()?).map(rounded))
        }
        _ => argument(call)?.and_then(|exponent| power(x, exponent, is_integer)),
    };
    Ok(result.into_iter().collect())
}

/// Results of transcendental functions are rounded to 8 decimal places, the precision of FHIRPath decimals.
fn rounded<'t>(value: Decimal) -> Value<'t> {
    Value::Decimal(value.round_dp(8).normalize())
}

fn argument(call: &mut Call<'_, '_, '_, '_>) -> Result<Option<Decimal>, EvaluationError> {
    let values = call.argument(0)?;
    Ok(single(&values)?.map(Value::system).as_ref().and_then(number))
}

fn round<'t>(call: &mut Call<'_, '_, '_, 't>, x: Decimal) -> Result<Option<Value<'t>>, EvaluationError> {
    let digits = if call.arguments.is_empty() { Some(0) } else { call.integer(0)? };
    let digits =
        digits.and_then(|digits| u32::try_from(digits).ok()).ok_or("the precision is not negative")?;
    Ok(Some(Value::Decimal(x.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero))))
}

fn power<'t>(x: Decimal, exponent: Decimal, is_integer: bool) -> Option<Value<'t>> {
    if let Some(exponent) = exponent.to_i64().filter(|_| exponent.fract().is_zero()) {
        let power = x.checked_powi(exponent)?;
        return if is_integer && exponent >= 0 {
            whole(power)
        } else {
            Some(Value::Decimal(power.normalize()))
        };
    }
    let power = x.to_f64()?.powf(exponent.to_f64()?);
    if power.is_finite() { Decimal::from_f64(power).map(rounded) } else { None }
}

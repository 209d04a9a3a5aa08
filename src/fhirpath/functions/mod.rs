//! The functions, one file per group of the specification, and the dispatch by name.

mod boundary;
mod call;
mod collection;
mod conversion;
mod iteration;
mod math;
pub(super) mod pattern;
pub(super) mod text;
mod tree;

use super::ast::{Expr, TypeOperator};
use super::evaluator::{Evaluated, Evaluator, Scope};
use super::parser::as_type_name;
use super::types::{is_exact_type, type_operator};
use super::value::Collection;
use call::{Answer, Call};

/// Calls a function by name.
///
/// # Errors
/// If no function has that name, its arguments do not fit, or it fails.
pub(super) fn call<'t>(
    evaluator: &mut Evaluator<'_, 't>,
    name: &str,
    focus: Collection<'t>,
    arguments: &'t [Expr],
    scope: &Scope<'_, 't>,
) -> Evaluated<'t> {
    let focus = evaluator.yielded(focus)?;
    let mut call = Call { evaluator, name, focus, arguments, scope };
    let groups = [
        iteration::call,
        collection::call,
        type_functions,
        tree::call,
        text::call,
        conversion::call,
        math::call,
        boundary::call,
    ];
    for group in groups {
        if let Some(answer) = group(&mut call) {
            return answer;
        }
    }
    Err(format!("there is no function `{name}`").into())
}

fn type_functions<'t>(call: &mut Call<'_, '_, '_, 't>) -> Answer<'t> {
    let wanted = match call.name {
        "is" | "as" | "ofType" => call.arguments.first().and_then(as_type_name),
        _ => return None,
    };
    let Some(wanted) = wanted else { return Some(Err("expected the name of a type".into())) };
    let focus = call.take();
    Some(match call.name {
        "is" => type_operator(TypeOperator::Is, focus, &wanted),
        "as" => type_operator(TypeOperator::As, focus, &wanted),
        _ => focus
            .into_iter()
            .map(|value| Ok(is_exact_type(&value, &wanted)?.then_some(value)))
            .filter_map(Result::transpose)
            .collect(),
    })
}

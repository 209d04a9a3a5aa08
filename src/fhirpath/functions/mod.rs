//! The functions, one file per group of the specification, and the table by which a call finds them.

mod boundary;
mod collection;
mod conversion;
mod iteration;
mod math;
pub(super) mod text;
mod tree;

use super::ast::{Expr, TypeOperator};
use super::evaluate::{Evaluated, EvaluationError, Evaluator, Scope, is_exact_type, type_operator};
use super::operators::{self, single_integer, single_string};
use super::parser::as_type_name;
use super::value::{Collection, Value};

/// A call with its focus: arguments are evaluated when a function asks for them, on the scope of the caller.
pub(super) struct Call<'c, 'e, 's, 't> {
    pub(super) evaluator: &'c mut Evaluator<'e, 't>,
    pub(super) name: &'c str,
    pub(super) focus: Collection<'t>,
    pub(super) arguments: &'t [Expr],
    pub(super) scope: &'c Scope<'s, 't>,
}

/// A function's answer; `None` where the file has no function of that name.
pub(super) type Answer<'t> = Option<Evaluated<'t>>;

/// Calls a function by name.
///
/// # Errors
/// If there is none, its arguments do not fit, or it fails.
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

impl<'t> Call<'_, '_, '_, 't> {
    /// The focus, once.
    pub(super) fn take(&mut self) -> Collection<'t> {
        std::mem::take(&mut self.focus)
    }

    pub(super) fn argument(&mut self, number: usize) -> Evaluated<'t> {
        let missing = || EvaluationError::Invalid(format!("`{}` lacks an argument", self.name));
        let expr = self.arguments.get(number).ok_or_else(missing)?;
        self.evaluator.expr(expr, self.scope)
    }

    /// An argument that may be left out.
    pub(super) fn optional(&mut self, number: usize) -> Result<Option<Collection<'t>>, EvaluationError> {
        if self.arguments.len() > number { self.argument(number).map(Some) } else { Ok(None) }
    }

    pub(super) fn integer(&mut self, number: usize) -> Result<Option<i64>, EvaluationError> {
        single_integer(&self.argument(number)?)
    }

    pub(super) fn string(&mut self, number: usize) -> Result<Option<String>, EvaluationError> {
        Ok(single_string(&self.argument(number)?)?.map(std::borrow::Cow::into_owned))
    }

    /// An argument evaluated on one item of the focus, as `where` and its kin do.
    pub(super) fn on_item(&mut self, number: usize, item: &Value<'t>, index: usize) -> Evaluated<'t> {
        let missing = || EvaluationError::Invalid(format!("`{}` lacks an argument", self.name));
        let expr = self.arguments.get(number).ok_or_else(missing)?;
        let this = [item.clone()];
        let scope = Scope { this: &this, index: i64::try_from(index).ok(), total: self.scope.total };
        self.evaluator.expr(expr, &scope)
    }

    /// Whether the criterion holds for an item.
    pub(super) fn holds(&mut self, item: &Value<'t>, index: usize) -> Result<bool, EvaluationError> {
        Ok(operators::boolean(&self.on_item(0, item, index)?)?.unwrap_or(false))
    }
}

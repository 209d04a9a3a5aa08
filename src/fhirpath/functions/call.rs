//! A function call with its focus and arguments.
use crate::fhirpath::ast::Expr;
use crate::fhirpath::evaluator::{Evaluated, EvaluationError, Evaluator, Scope};
use crate::fhirpath::operators::{self, single_integer, single_string};
use crate::fhirpath::value::{Collection, Value};

/// A function call. An argument is evaluated when the function asks for it, in the scope of the caller.
pub(super) struct Call<'c, 'e, 's, 't> {
    pub(super) evaluator: &'c mut Evaluator<'e, 't>,
    pub(super) name: &'c str,
    pub(super) focus: Collection<'t>,
    pub(super) arguments: &'t [Expr],
    pub(super) scope: &'c Scope<'s, 't>,
}

/// A function's result; `None` if the group has no function of that name.
pub(super) type Answer<'t> = Option<Evaluated<'t>>;

impl<'t> Call<'_, '_, '_, 't> {
    /// Moves the focus out of the call.
    pub(super) fn take(&mut self) -> Collection<'t> {
        std::mem::take(&mut self.focus)
    }

    pub(super) fn argument(&mut self, number: usize) -> Evaluated<'t> {
        let missing = || EvaluationError::Invalid(format!("`{}` lacks an argument", self.name));
        let expr = self.arguments.get(number).ok_or_else(missing)?;
        self.evaluator.expr(expr, self.scope)
    }

    /// An argument that may be omitted.
    pub(super) fn optional(&mut self, number: usize) -> Result<Option<Collection<'t>>, EvaluationError> {
        if self.arguments.len() > number { self.argument(number).map(Some) } else { Ok(None) }
    }

    pub(super) fn integer(&mut self, number: usize) -> Result<Option<i64>, EvaluationError> {
        single_integer(&self.argument(number)?)
    }

    pub(super) fn string(&mut self, number: usize) -> Result<Option<String>, EvaluationError> {
        Ok(single_string(&self.argument(number)?)?.map(std::borrow::Cow::into_owned))
    }

    /// An argument, evaluated on one item of the focus, as for `where` and similar functions.
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

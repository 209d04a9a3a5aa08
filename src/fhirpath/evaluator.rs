//! The state of an evaluation: its environment, the scope of the current function, the remaining steps, and its errors.

use crate::model::Temporal;

use super::element::Element;
use super::functions::pattern::Pattern;
use super::value::{Collection, Value};

/// The most steps (visited nodes, applied operators, made values and texts) of one evaluation.
pub const STEPS_MAX: u64 = 1_000_000;

/// Why an evaluation stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The limit of steps, or the size limit of a text or collection, is exceeded.
    #[error("the expression takes more steps than the limit")]
    TooCostly,
    /// The language does not allow the operation on these values.
    #[error("{0}")]
    Invalid(String),
}

impl From<&str> for EvaluationError {
    fn from(message: &str) -> Self {
        Self::Invalid(message.to_owned())
    }
}

impl From<String> for EvaluationError {
    fn from(message: String) -> Self {
        Self::Invalid(message)
    }
}

pub(super) type Evaluated<'t> = Result<Collection<'t>, EvaluationError>;

/// What an expression can refer to besides its focus.
#[derive(Clone, Debug)]
pub struct Environment<'t> {
    /// `%resource`: the resource that holds the focus.
    pub resource: Element<'t>,
    /// `%rootResource`: the resource that contains `%resource`, or `%resource` itself.
    pub root: Element<'t>,
    /// `now()`, in UTC.
    pub now: Temporal,
    pub steps_max: u64,
    /// Whether the name of an element that the type does not have is an error.
    pub strict: bool,
}

impl<'t> Environment<'t> {
    /// The environment of a resource that is not contained in another.
    #[must_use]
    pub fn of(resource: Element<'t>, now: Temporal) -> Self {
        Self { resource, root: resource, now, steps_max: STEPS_MAX, strict: false }
    }
}

/// The values of `$this`, `$index` and `$total`.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 't> {
    pub(super) this: &'s [Value<'t>],
    pub(super) index: Option<i64>,
    pub(super) total: Option<&'s [Value<'t>]>,
}

pub(super) struct Evaluator<'e, 't> {
    pub(super) environment: &'e Environment<'t>,
    /// The last compiled regular expression, because a criterion uses the same one for each item.
    pub(super) pattern: Option<Pattern>,
    pub(super) steps_left: u64,
}

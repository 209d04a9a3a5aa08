//! The state of an evaluation: its environment, the scope of the function at hand, the steps that are left, and its errors.
use std::fmt;

use crate::model::Temporal;

use super::element::Element;
use super::functions::pattern::Pattern;
use super::value::{Collection, Value};

/// How many steps (nodes visited, operators applied, values and texts made) one evaluation may take.
pub const STEPS_MAX: u64 = 1_000_000;

/// Why an evaluation stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationError {
    /// The limit of steps was reached.
    TooCostly,
    /// The expression asks for something that the language forbids of these values.
    Invalid(String),
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooCostly => f.write_str("the expression takes more steps than the limit"),
            Self::Invalid(message) => f.write_str(message),
        }
    }
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

/// What an expression can ask for beside its focus.
#[derive(Clone, Debug)]
pub struct Environment<'t> {
    /// `%resource`: the resource that holds the focus.
    pub resource: Element<'t>,
    /// `%rootResource`: the container, where the resource is contained.
    pub root: Element<'t>,
    /// `now()`, in UTC.
    pub now: Temporal,
    pub steps_max: u64,
    /// Whether the name of an element that a type does not have is an error.
    pub strict: bool,
}

impl<'t> Environment<'t> {
    /// The environment of a resource by itself.
    #[must_use]
    pub fn of(resource: Element<'t>, now: Temporal) -> Self {
        Self { resource, root: resource, now, steps_max: STEPS_MAX, strict: false }
    }
}

/// What `$this`, `$index` and `$total` stand for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 't> {
    pub(super) this: &'s [Value<'t>],
    pub(super) index: Option<i64>,
    pub(super) total: Option<&'s [Value<'t>]>,
}

pub(super) struct Evaluator<'e, 't> {
    pub(super) environment: &'e Environment<'t>,
    /// The regular expression compiled last: a criterion asks the same one of item after item.
    pub(super) pattern: Option<Pattern>,
    pub(super) steps_left: u64,
}

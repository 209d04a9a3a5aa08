//! The evaluator: walks the syntax tree over a focus. Every step counts against a limit, so that an expression from a
//! client cannot take the server's time.
use std::fmt;

use crate::definitions::r4;
use crate::model::Temporal;

use super::ast::{Expr, Literal, TypeName, TypeOperator};
use super::element::Element;
use super::functions::text::Pattern;
use super::parser::{ParseError, parse};
use super::quantity::Quantity;
use super::value::{Collection, Value};
use super::{functions, operators};

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

/// An expression, parsed once and evaluated often.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    root: Expr,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`ParseError`] with the place at which the text stops being FHIRPath.
    pub fn compile(text: &str) -> Result<Self, ParseError> {
        Ok(Self { text: text.to_owned(), root: parse(text)? })
    }

    /// An expression from a part of another's syntax tree.
    #[must_use]
    pub fn from_expr(text: String, root: Expr) -> Self {
        Self { text, root }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn root(&self) -> &Expr {
        &self.root
    }

    /// Evaluates on an element.
    ///
    /// # Errors
    /// [`EvaluationError`] if a limit is reached or the expression does not fit the values.
    pub fn evaluate<'t>(&'t self, environment: &Environment<'t>, focus: Element<'t>) -> Evaluated<'t> {
        let mut evaluator = Evaluator { environment, pattern: None, steps_left: environment.steps_max };
        let focus = [Value::Element(focus)];
        evaluator.expr(&self.root, &Scope { this: &focus, index: None, total: None })
    }
}

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
    steps_left: u64,
}

impl<'t> Evaluator<'_, 't> {
    pub(super) fn step(&mut self, count: usize) -> Result<(), EvaluationError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        self.steps_left = self.steps_left.checked_sub(count).ok_or(EvaluationError::TooCostly)?;
        Ok(())
    }

    pub(super) fn expr(&mut self, expr: &'t Expr, scope: &Scope<'_, 't>) -> Evaluated<'t> {
        self.step(1)?;
        let values = self.values(expr, scope)?;
        self.yielded(values)
    }

    fn values(&mut self, expr: &'t Expr, scope: &Scope<'_, 't>) -> Evaluated<'t> {
        match expr {
            Expr::Literal(literal) => Ok(vec![literal_value(literal)]),
            Expr::Empty => Ok(Vec::new()),
            Expr::This => Ok(scope.this.to_vec()),
            Expr::Index => Ok(scope.index.map(Value::Integer).into_iter().collect()),
            Expr::Total => Ok(scope.total.map(<[Value<'t>]>::to_vec).unwrap_or_default()),
            Expr::External(name) => self.external(name),
            Expr::Member { base: None, name } => self.first_member(name, scope),
            Expr::Member { base: Some(base), name } => {
                let focus = self.expr(base, scope)?;
                self.member(&focus, name)
            }
            Expr::Call { base, name, arguments } => {
                let focus = match base {
                    Some(base) => self.expr(base, scope)?,
                    None => scope.this.to_vec(),
                };
                functions::call(self, name, focus, arguments, scope)
            }
            Expr::Item { base, index } => {
                let focus = self.expr(base, scope)?;
                let index = operators::single_integer(&self.expr(index, scope)?)?;
                let at = index.and_then(|index| usize::try_from(index).ok());
                Ok(at.and_then(|at| focus.into_iter().nth(at)).into_iter().collect())
            }
            Expr::Sign { negative, of } => {
                let values = self.expr(of, scope)?;
                operators::sign(*negative, values)
            }
            Expr::Binary { operator, left, right } => operators::binary(self, *operator, left, right, scope),
            Expr::Type { operator, of, type_name } => {
                let values = self.expr(of, scope)?;
                type_operator(*operator, values, type_name)
            }
        }
    }

    /// A path may begin with the type of its focus, which selects the focus itself (R4 fhirpath.html).
    fn first_member(&mut self, name: &str, scope: &Scope<'_, 't>) -> Evaluated<'t> {
        if name.starts_with(char::is_uppercase)
            && let Some(named) = r4().find(name)
        {
            let is_named = |value: &Value<'t>| match value {
                Value::Element(element) => r4().is_a(element.def.id, named.id),
                Value::Target(def) => r4().is_a(def.id, named.id),
                _ => false,
            };
            let found: Collection<'t> = scope.this.iter().filter(|value| is_named(value)).cloned().collect();
            if found.is_empty() && self.environment.strict && !scope.this.is_empty() {
                return Err(format!("the focus is no {name}").into());
            }
            return Ok(found);
        }
        self.member(scope.this, name)
    }

    pub(super) fn member(&mut self, focus: &[Value<'t>], name: &str) -> Evaluated<'t> {
        let mut found = Vec::new();
        for value in focus {
            match value {
                Value::Element(element) => {
                    if self.environment.strict && !element.has(name) {
                        return Err(format!("{} has no element `{name}`", element.def.name).into());
                    }
                    element.children_named(name, &mut found);
                }
                Value::Type { namespace, name: of } => return Ok(type_member(namespace, of, name)),
                _ => {}
            }
        }
        Ok(found.into_iter().map(Value::Element).collect())
    }

    fn external(&self, name: &str) -> Evaluated<'t> {
        let fixed = match name {
            "resource" | "context" => return Ok(vec![Value::Element(self.environment.resource)]),
            "rootResource" => return Ok(vec![Value::Element(self.environment.root)]),
            "sct" => "http://snomed.info/sct".to_owned(),
            "loinc" => "http://loinc.org".to_owned(),
            "ucum" => "http://unitsofmeasure.org".to_owned(),
            _ => match (name.strip_prefix("vs-"), name.strip_prefix("ext-")) {
                (Some(name), _) => format!("http://hl7.org/fhir/ValueSet/{name}"),
                (_, Some(name)) => format!("http://hl7.org/fhir/StructureDefinition/{name}"),
                (None, None) => return Err(format!("there is no variable `%{name}`").into()),
            },
        };
        Ok(vec![Value::text(fixed)])
    }
}

fn type_member<'t>(namespace: &'static str, of: &str, name: &str) -> Collection<'t> {
    match name {
        "namespace" => vec![Value::text(namespace)],
        "name" => vec![Value::text(of.to_owned())],
        _ => Vec::new(),
    }
}

fn literal_value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Boolean(value) => Value::Boolean(*value),
        Literal::Integer(value) => Value::Integer(*value),
        Literal::Decimal(value) => Value::Decimal(*value),
        Literal::String(value) => Value::text(value.as_str()),
        Literal::Date(value) => Value::Date(*value),
        Literal::DateTime(value) => Value::DateTime(*value),
        Literal::Time(value) => Value::Time(*value),
        Literal::Quantity(value, unit) => Value::Quantity(Quantity { value: *value, unit: unit.clone() }),
    }
}

/// Whether a value is of a type or of one derived from it.
///
/// # Errors
/// If there is no type of that name.
pub(super) fn is_type(value: &Value<'_>, wanted: &TypeName) -> Result<bool, EvaluationError> {
    let system = wanted.namespace.as_deref() != Some("FHIR");
    let fhir = wanted.namespace.as_deref() != Some("System");
    let def = if fhir { r4().find(&wanted.name) } else { None };
    const SYSTEM: [&str; 8] =
        ["Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"];
    let is_system = system && SYSTEM.contains(&wanted.name.as_str());
    if def.is_none() && !is_system && wanted.namespace.as_deref() != Some("System") {
        return Err(format!("there is no type `{}`", wanted.name).into());
    }
    Ok(match value {
        Value::Element(element) => def.is_some_and(|def| r4().is_a(element.def.id, def.id)),
        Value::Target(target) => def.is_some_and(|def| r4().is_a(target.id, def.id)),
        other => is_system && other.system_type() == Some(wanted.name.as_str()),
    })
}

/// `as` and `ofType` take a primitive only as the very type that it is: a `code` is no `string` there.
pub(super) fn is_exact_type(value: &Value<'_>, wanted: &TypeName) -> Result<bool, EvaluationError> {
    use crate::definitions::Kind;
    let is = is_type(value, wanted)?;
    Ok(match value {
        Value::Element(element) if element.def.kind == Kind::Primitive => {
            is && *element.def.name == wanted.name
        }
        _ => is,
    })
}

pub(super) fn type_operator<'t>(
    operator: TypeOperator,
    values: Collection<'t>,
    type_name: &TypeName,
) -> Evaluated<'t> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    match operator {
        TypeOperator::Is if values.len() > 0 => Err("`is` takes one value".into()),
        TypeOperator::Is => Ok(vec![Value::Boolean(is_type(&value, type_name)?)]),
        // CHOICE: search parameters of R4 apply `as` to elements that repeat, as the first FHIRPath permitted; there it
        // filters as ofType() does.
        TypeOperator::As => {
            let mut kept = Vec::new();
            for value in std::iter::once(value).chain(values) {
                if is_exact_type(&value, type_name)? {
                    kept.push(value);
                }
            }
            Ok(kept)
        }
    }
}

//! Evaluates a syntax tree on a focus. Every step counts against a limit, so that a client's expression cannot use up the
//! server's time.

use crate::definitions::r4;

use super::ast::{Expr, Literal};
use super::element::Element;
use super::evaluator::{Environment, Evaluated, EvaluationError, Evaluator, Scope};
use super::parser::{ParseError, parse};
use super::quantity::Quantity;
use super::types::type_operator;
use super::value::{Collection, Value};
use super::{functions, operators};

/// An expression that is parsed once and evaluated often.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    root: Expr,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`ParseError`] with the place of the syntax error.
    pub fn compile(text: &str) -> Result<Self, ParseError> {
        Ok(Self { text: text.to_owned(), root: parse(text)? })
    }

    /// An expression from a part of another syntax tree.
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

    /// Evaluates the expression on an element.
    ///
    /// # Errors
    /// [`EvaluationError`] if a limit is exceeded or the expression does not fit the values.
    pub fn evaluate<'t>(&'t self, environment: &Environment<'t>, focus: Element<'t>) -> Evaluated<'t> {
        let mut evaluator = Evaluator { environment, pattern: None, steps_left: environment.steps_max };
        let focus = [Value::Element(focus)];
        evaluator.expr(&self.root, &Scope { this: &focus, index: None, total: None })
    }
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

    /// A path may begin with the type of the focus, which selects the focus itself (R4 fhirpath.html).
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

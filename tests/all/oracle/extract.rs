//! Evaluates a parameter's expression on a resource.
use chartward::definitions::{ParamType, SearchParamRow, r4};
use chartward::fhirpath::{Collection, Element, Environment, Expr, Expression, Operator, Value};
use chartward::model::{NANOS_PER_MILLI, Nanos, Span, Temporal};

use super::condition::is_phonetic;
use super::corpus::Resource;
use super::elements::occurrences;
use super::fold::{fold, soundex};
use super::occurrence::Occurrence;
use super::text::Written;

/// A parameter with its compiled expressions.
pub struct Extractor {
    row: &'static SearchParamRow,
    expression: Union,
    components: Vec<(ParamType, Union)>,
    now: i64,
}

impl Extractor {
    pub fn new(row: &'static SearchParamRow, now: i64) -> Self {
        let expressions = component_expressions(row);
        let components = row.components.iter().zip(&expressions);
        Self {
            row,
            expression: Union::compile(row.expression.as_deref().unwrap()),
            components: components
                .map(|(component, text)| (component_row(&component.definition).kind, Union::compile(text)))
                .collect(),
            now,
        }
    }

    /// The values of the parameter in the resource.
    pub fn occurrences(&self, resource: &Resource) -> Vec<Occurrence> {
        if self.row.code == "_lastUpdated" {
            if resource.container.is_some() {
                return Vec::new();
            }
            let start = Nanos::from(resource.updated) * NANOS_PER_MILLI;
            return vec![Occurrence::Date(Span { start, end: start + NANOS_PER_MILLI })];
        }
        let focus = resource.element();
        let environment = Environment::of(focus, Temporal::from_millis(self.now));
        let values = self.expression.evaluate(&environment, focus);
        if self.row.kind == ParamType::Composite {
            values.iter().filter_map(|value| self.composite(&environment, value)).collect()
        } else {
            let found = values.iter().flat_map(|value| occurrences(self.row.kind, value));
            found.filter(|one| self.is_searchable(one)).map(|one| self.as_name(one)).collect()
        }
    }

    /// R4 search.html#string: each word of a part of a name is searched by itself.
    fn as_name(&self, one: Occurrence) -> Occurrence {
        match one {
            Occurrence::Text(parts) if matches!(self.row.code.as_str(), "family" | "given") => {
                Occurrence::Text(parts.into_iter().map(Written::of_name).collect())
            }
            other => other,
        }
    }

    /// Names without a sound, and entries of a Bundle that are not of a target type, cannot be found.
    fn is_searchable(&self, one: &Occurrence) -> bool {
        match one {
            Occurrence::Text(parts) if is_phonetic(self.row) => {
                parts.iter().any(|part| fold(&part.text).split(' ').any(|word| soundex(word).is_some()))
            }
            Occurrence::Reference(pointer) if self.row.base == ["Bundle"] => {
                pointer.type_name().is_some_and(|name| self.row.targets.iter().any(|target| target == name))
            }
            _ => true,
        }
    }

    /// One occurrence of a composite, if every component has a value in it.
    fn composite<'t>(&'t self, environment: &Environment<'t>, value: &Value<'t>) -> Option<Occurrence> {
        let Value::Element(focus) = value else { return None };
        let parts: Vec<Vec<Occurrence>> = self
            .components
            .iter()
            .map(|(kind, expression)| {
                let values = expression.evaluate(environment, *focus);
                let found = values.iter().flat_map(|value| occurrences(*kind, value));
                // In a composite, a token is searched by its code only.
                let is_asked =
                    |one: &Occurrence| !matches!(one, Occurrence::Token(token) if token.code.is_none());
                found.filter(is_asked).collect()
            })
            .collect();
        parts.iter().all(|part| !part.is_empty()).then_some(Occurrence::Composite(parts))
    }
}

/// The parameter that a component of a composite refers to.
pub fn component_row(url: &str) -> &'static SearchParamRow {
    r4().search_param(url).unwrap()
}

/// The expressions of the components, with two errors of the standard corrected.
fn component_expressions(row: &SearchParamRow) -> Vec<String> {
    let mut expressions: Vec<String> = row
        .components
        .iter()
        .map(|component| component.expression.replace("as(DateTime)", "as(dateTime)"))
        .collect();
    // The standard swaps the expressions of the two components.
    if row.url.ends_with("/DocumentReference-relationship") {
        expressions.reverse();
    }
    expressions
}

/// The operands of a union. They are evaluated one by one, because `|` would drop values that FHIRPath considers equal but a
/// search distinguishes, such as `5 mg` and `<5 mg`.
struct Union(Vec<Expression>);

impl Union {
    fn compile(text: &str) -> Self {
        let whole = Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let operands = operands(whole.root());
        Self(operands.into_iter().map(|part| Expression::from_expr(text.to_owned(), part.clone())).collect())
    }

    fn evaluate<'t>(&'t self, environment: &Environment<'t>, focus: Element<'t>) -> Collection<'t> {
        let values = self.0.iter().map(|operand| operand.evaluate(environment, focus).unwrap_or_default());
        values.flatten().collect()
    }
}

fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Binary { operator: Operator::Union, left, right } => {
            operands(left).into_iter().chain(operands(right)).collect()
        }
        other => vec![other],
    }
}

//! The search parameters of every resource type, compiled: the expressions of the standard cut down to the branches that
//! concern the type.
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::definitions::{ParamType, Registry, SearchParamRow, TypeDef, TypeId, r4};
use crate::fhirpath::{Expr, Expression};

/// A search parameter of one resource type.
#[derive(Debug)]
pub struct Param {
    pub code: Box<str>,
    pub url: Box<str>,
    pub kind: ParamType,
    /// What stands for it in keys: a hash of its code, the same in every release.
    pub id: u32,
    pub expressions: Vec<Expression>,
    /// The resource types that a reference may lead to.
    pub targets: Vec<&'static str>,
}

/// All parameters, by type.
#[derive(Debug)]
pub struct SearchParams {
    by_type: HashMap<TypeId, Vec<Param>>,
}

/// The kinds of parameters that are indexed.
const SERVED: [ParamType; 5] =
    [ParamType::Token, ParamType::Reference, ParamType::String, ParamType::Date, ParamType::Uri];

/// What the store itself knows of a resource is no index entry.
const BY_THE_STORE: [&str; 2] = ["_id", "_lastUpdated"];

/// The parameters of R4.
pub fn search_params() -> &'static SearchParams {
    static PARAMS: LazyLock<SearchParams> = LazyLock::new(|| SearchParams::new(r4()));
    &PARAMS
}

impl SearchParams {
    /// Compiles the parameters of a registry.
    #[must_use]
    pub fn new(registry: &'static Registry) -> Self {
        let mut by_type: HashMap<TypeId, Vec<Param>> = HashMap::new();
        let rows: Vec<(&SearchParamRow, Vec<&TypeDef>, Option<Expression>)> = registry
            .search_params()
            .iter()
            .filter(|row| SERVED.contains(&row.kind) && row.usage.is_none())
            .filter(|row| !BY_THE_STORE.contains(&row.code.as_str()))
            .map(|row| {
                let bases = row.base.iter().filter_map(|base| registry.find(base)).collect();
                (row, bases, row.expression.as_deref().and_then(|text| Expression::compile(text).ok()))
            })
            .collect();
        for def in registry.resources() {
            let params = by_type.entry(def.id).or_default();
            for (row, bases, expression) in &rows {
                let Some(expression) = expression else { continue };
                if bases.iter().any(|base| registry.is_a(def.id, base.id)) {
                    params.extend(param(registry, def, row, expression));
                }
            }
            params.sort_by(|a, b| a.code.cmp(&b.code));
        }
        Self { by_type }
    }

    /// The parameters of a resource type, by code.
    #[must_use]
    pub fn of(&self, def: &TypeDef) -> &[Param] {
        self.by_type.get(&def.id).map_or(&[], Vec::as_slice)
    }

    /// The parameter of that code.
    #[must_use]
    pub fn find(&self, def: &TypeDef, code: &str) -> Option<&Param> {
        self.of(def).iter().find(|param| &*param.code == code)
    }
}

fn param(
    registry: &'static Registry,
    def: &TypeDef,
    row: &SearchParamRow,
    expression: &Expression,
) -> Option<Param> {
    let mut expressions = Vec::new();
    branches(expression.root(), &mut |branch| {
        let concerns = match leading_type(branch).and_then(|name| registry.find(name)) {
            Some(named) => registry.is_a(def.id, named.id),
            None => true,
        };
        if concerns {
            expressions.push(Expression::from_expr(row.code.clone(), branch.clone()));
        }
    });
    let targets =
        row.targets.iter().filter_map(|target| registry.resource(target).map(|def| &*def.name)).collect();
    (!expressions.is_empty()).then(|| Param {
        code: row.code.as_str().into(),
        url: row.url.as_str().into(),
        kind: row.kind,
        id: param_id(&row.code),
        expressions,
        targets,
    })
}

/// FNV-1a of the code. Stored in keys: it must never change.
fn param_id(code: &str) -> u32 {
    code.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The parts of a union, each by itself.
fn branches<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    match expr {
        Expr::Binary { operator: crate::fhirpath::Operator::Union, left, right } => {
            branches(left, visit);
            branches(right, visit);
        }
        expr => visit(expr),
    }
}

/// The type that a path begins with: `Patient` in `Patient.name.family` or `(Patient.deceased as boolean)`.
fn leading_type(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Member { base: Some(base), .. } | Expr::Call { base: Some(base), .. } => leading_type(base),
        Expr::Member { base: None, name } => name.starts_with(char::is_uppercase).then_some(name.as_str()),
        Expr::Item { base, .. } => leading_type(base),
        Expr::Type { of, .. } | Expr::Sign { of, .. } => leading_type(of),
        Expr::Binary { left, .. } => leading_type(left),
        Expr::Call { base: None, .. }
        | Expr::Literal(_)
        | Expr::Empty
        | Expr::This
        | Expr::Index
        | Expr::Total
        | Expr::External(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::search_params;
    use crate::definitions::r4;

    #[test]
    fn every_type_has_its_parameters_with_distinct_numbers() {
        for def in r4().resources() {
            let params = search_params().of(def);
            let ids: HashSet<u32> = params.iter().map(|param| param.id).collect();
            assert_eq!(ids.len(), params.len(), "{}", def.name);
        }
        let patient = r4().resource("Patient").unwrap();
        for code in [
            "name",
            "family",
            "gender",
            "birthdate",
            "identifier",
            "organization",
            "_tag",
            "_profile",
            "deceased",
        ] {
            assert!(search_params().find(patient, code).is_some(), "{code}");
        }
        assert!(search_params().find(patient, "code").is_none());
    }

    #[test]
    fn every_expression_of_the_standard_compiles() {
        for row in r4().search_params() {
            if let Some(text) = &row.expression {
                assert!(crate::fhirpath::Expression::compile(text).is_ok(), "{}: {text}", row.url);
            }
        }
    }
}

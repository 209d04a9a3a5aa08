//! The search parameters of every resource type, compiled: the standard's expressions reduced to the branches that apply to the
//! type.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use crate::definitions::{ComponentRow, Max, ParamType, Registry, SearchParamRow, TypeDef, TypeId, r4};
use crate::fhirpath::{Expr, Expression, TypeOperator};

/// A search parameter of one resource type.
#[derive(Debug)]
pub struct Param {
    pub code: Box<str>,
    pub url: Box<str>,
    pub kind: ParamType,
    /// Identifies the parameter in index keys: a hash of its code, stable across releases.
    pub id: u32,
    /// Where its values come from.
    pub source: Source,
    /// The resource types that a reference parameter may point to.
    pub targets: Vec<&'static str>,
    /// The components of a composite.
    pub components: Vec<Component>,
    /// Whether a resource has at most one value, a single date or period.
    pub is_single_date: bool,
    /// Whether it selects strings or ContactPoints; token values are then compared without case.
    pub may_be_string: bool,
    /// Whether it selects parts of people's names, whose later words are indexed too (R4 search.html#string).
    pub is_name_part: bool,
    /// Whether it selects names, addresses or parts of names, whose words a query may give in any order.
    pub is_of_parts: bool,
    /// Whether it selects media types, which form a hierarchy by their names.
    pub is_media_type: bool,
    /// Whether its values are compared by sound.
    pub is_phonetic: bool,
    /// Whether all resources are indexed by it; until then it cannot be searched.
    pub is_ready: bool,
    /// A hash of its definition; entries made under another definition must be made again.
    pub fingerprint: u64,
}

/// Where the values of a parameter come from.
#[derive(Debug)]
pub enum Source {
    Expressions(Vec<Expression>),
    /// The words of the narrative.
    Narrative,
    /// The words of all texts.
    Content,
}

/// One component of a composite, evaluated on each element that the composite selects.
#[derive(Debug)]
pub struct Component {
    pub param: Arc<Param>,
    pub expressions: Vec<Expression>,
}

/// All search parameters, by resource type.
#[derive(Debug)]
pub struct SearchParams {
    by_type: HashMap<TypeId, Vec<Arc<Param>>>,
    /// The parameters of stored SearchParameters whose values masking may remove from an answer.
    masked: HashSet<u32>,
}

/// Parameters that the store answers without index entries.
const NOT_INDEXED: [&str; 2] = ["_id", "_lastUpdated"];

/// Errors in the standard's tables: expressions of composite components that do not fit their types. R4's
/// DocumentReference-relationship gives each component the expression of the other.
const COMPONENT_ERRATA: [(&str, &str); 2] = [
    ("http://hl7.org/fhir/SearchParameter/DocumentReference-relatesto", "target"),
    ("http://hl7.org/fhir/SearchParameter/DocumentReference-relation", "code"),
];

/// The search parameters of R4.
pub fn search_params() -> &'static Arc<SearchParams> {
    static PARAMS: LazyLock<Arc<SearchParams>> = LazyLock::new(|| Arc::new(SearchParams::new(r4())));
    &PARAMS
}

impl SearchParams {
    /// Compiles the parameters of a registry.
    #[must_use]
    pub fn new(registry: &'static Registry) -> Self {
        let none = Self { by_type: HashMap::new(), masked: HashSet::new() };
        Self::extended(&none, registry, registry.search_params(), &|_, _| true)
    }

    /// These parameters and some more; an added parameter never replaces one that is there. `is_ready` says whether an added
    /// parameter is completely indexed for a type.
    #[must_use]
    pub fn extended(
        &self,
        registry: &'static Registry,
        more: &[SearchParamRow],
        is_ready: &dyn Fn(&TypeDef, &Param) -> bool,
    ) -> Self {
        let rows = more.iter().filter(|row| !NOT_INDEXED.contains(&row.code.as_str()));
        let mut compiled: Vec<Compiled<'_>> = rows.filter_map(|row| Compiled::new(registry, row)).collect();
        // Composites last, because they are made of other parameters.
        compiled.sort_by_key(|compiled| compiled.row.kind == ParamType::Composite);
        let mut by_type: HashMap<TypeId, Vec<Arc<Param>>> = HashMap::new();
        for def in registry.resources() {
            let mut params: Vec<Arc<Param>> = self.of(def).to_vec();
            for compiled in &compiled {
                let concerns = compiled.bases.iter().any(|base| registry.is_a(def.id, base.id));
                let is_taken = |param: &Arc<Param>| {
                    *param.code == *compiled.row.code || param.id == param_id(&compiled.row.code)
                };
                if !concerns || params.iter().any(is_taken) {
                    continue;
                }
                if let Some(mut param) = compiled.param(registry, def, &params) {
                    param.is_ready = is_ready(def, &param);
                    params.push(Arc::new(param));
                }
            }
            params.sort_by(|a, b| a.code.cmp(&b.code));
            by_type.insert(def.id, params);
        }
        let mut masked = self.masked.clone();
        // Of R4's own parameters, entries with a reference's identifier are recognized by their form, so only added ones are
        // listed.
        let is_own = !self.by_type.is_empty();
        let tells = compiled.iter().filter(|compiled| is_own && may_tell(compiled.row));
        masked.extend(tells.map(|compiled| param_id(&compiled.row.code)));
        Self { by_type, masked }
    }

    /// Whether the parameter's values may be content that masking removes from an answer: displays and identifiers of references,
    /// texts of narratives.
    #[must_use]
    pub fn is_masked(&self, id: u32) -> bool {
        self.masked.contains(&id)
    }

    /// The parameters of a resource type, by code.
    #[must_use]
    pub fn of(&self, def: &TypeDef) -> &[Arc<Param>] {
        self.by_type.get(&def.id).map_or(&[], Vec::as_slice)
    }

    /// The parameter with that code.
    #[must_use]
    pub fn find(&self, def: &TypeDef, code: &str) -> Option<&Arc<Param>> {
        let params = self.of(def);
        params.binary_search_by(|param| (*param.code).cmp(code)).ok().and_then(|at| params.get(at))
    }
}

/// Whether an expression may select content that masking removes, judged by the element names in it.
fn may_tell(row: &SearchParamRow) -> bool {
    const WORDS: [&str; 8] =
        ["display", "identifier", "text", "div", "descendants", "children", "repeat", "extension"];
    row.expression.as_deref().is_some_and(|text| WORDS.iter().any(|word| text.contains(word)))
}

/// A row of the definitions with its expression compiled.
struct Compiled<'r> {
    row: &'r SearchParamRow,
    bases: Vec<&'r TypeDef>,
    expression: Option<Expression>,
}

impl<'r> Compiled<'r> {
    fn new(registry: &'static Registry, row: &'r SearchParamRow) -> Option<Self> {
        let expression = row.expression.as_deref().map(Expression::compile).transpose().ok()?;
        let is_words = WORDS.iter().any(|(code, _)| *code == row.code);
        let bases = row.base.iter().filter_map(|base| registry.find(base)).collect();
        (expression.is_some() || is_words).then_some(Self { row, bases, expression })
    }

    fn param(&self, registry: &'static Registry, def: &TypeDef, others: &[Arc<Param>]) -> Option<Param> {
        let row = self.row;
        let source = match &self.expression {
            Some(expression) => Source::Expressions(concerning(registry, def, &row.code, expression)),
            None => WORDS.iter().find(|(code, _)| *code == row.code).map(|(_, source)| source())?,
        };
        if matches!(&source, Source::Expressions(expressions) if expressions.is_empty()) {
            return None;
        }
        let is_single_date = match &source {
            Source::Expressions(expressions) => {
                matches!(expressions.as_slice(), [only] if is_single_date(registry, def, only.root()))
            }
            Source::Narrative | Source::Content => false,
        };
        let any = |is_so: fn(&'static Registry, &TypeDef, &Expr) -> bool| match &source {
            Source::Expressions(expressions) => {
                expressions.iter().any(|expression| is_so(registry, def, expression.root()))
            }
            Source::Narrative | Source::Content => false,
        };
        let (may_be_string, is_name_part) = (any(may_be_string), any(is_name_part));
        let is_of_parts = is_name_part || any(is_of_parts);
        let is_media_type =
            any(|_, _, expr| matches!(expr, Expr::Member { name, .. } if name == "contentType"));
        let components: Vec<Component> =
            row.components.iter().filter_map(|part| component(registry, part, others)).collect();
        if components.len() != row.components.len()
            || (row.kind == ParamType::Composite && components.is_empty())
        {
            return None;
        }
        let targets =
            row.targets.iter().filter_map(|target| registry.resource(target).map(|def| &*def.name)).collect();
        Some(Param {
            code: row.code.as_str().into(),
            url: row.url.as_str().into(),
            kind: row.kind,
            id: param_id(&row.code),
            source,
            targets,
            components,
            is_single_date,
            may_be_string,
            is_name_part,
            is_of_parts,
            is_media_type,
            is_phonetic: row.usage.as_deref() == Some("phonetic"),
            is_ready: true,
            fingerprint: fingerprint(row),
        })
    }
}

type MakeSource = fn() -> Source;

/// The parameters whose values are not selected by an expression.
const WORDS: [(&str, MakeSource); 2] = [("_text", || Source::Narrative), ("_content", || Source::Content)];

fn component(registry: &'static Registry, part: &ComponentRow, others: &[Arc<Param>]) -> Option<Component> {
    let row = registry.search_param(&part.definition);
    let code = row.map(|row| row.code.as_str());
    let of_url = |param: &&Arc<Param>| *param.url == *part.definition;
    let of_code = |param: &&Arc<Param>| Some(&*param.code) == code;
    let param = others.iter().find(of_url).or_else(|| others.iter().find(of_code))?;
    let erratum = COMPONENT_ERRATA.iter().find(|(url, _)| *url == part.definition);
    let text = erratum.map_or(part.expression.as_str(), |(_, expression)| expression);
    // The tables misspell FHIRPath's name of the type.
    let text = text.replace("as(DateTime)", "as(dateTime)");
    let expression = Expression::compile(&text).ok()?;
    let mut expressions = Vec::new();
    branches(expression.root(), &mut |branch| {
        expressions.push(Expression::from_expr(text.clone(), branch.clone()));
    });
    Some(Component { param: param.clone(), expressions })
}

/// The branches of an expression that apply to a type.
fn concerning(
    registry: &'static Registry,
    def: &TypeDef,
    code: &str,
    expression: &Expression,
) -> Vec<Expression> {
    let mut expressions = Vec::new();
    branches(expression.root(), &mut |branch| {
        let concerns = match leading_type(branch).and_then(|name| registry.find(name)) {
            Some(named) => registry.is_a(def.id, named.id),
            None => true,
        };
        if concerns {
            expressions.push(Expression::from_expr(code.to_owned(), branch.clone()));
        }
    });
    expressions
}

/// Whether a path selects one element that is at most one date or period in any resource of the type.
fn is_single_date(registry: &'static Registry, def: &TypeDef, expr: &Expr) -> bool {
    const DATES: [&str; 5] = ["date", "dateTime", "instant", "Period", "Timing"];
    let element = match expr {
        Expr::Type { of, .. } => return is_single_date(registry, def, of),
        Expr::Member { base: Some(base), name } if matches!(&**base, Expr::Member { base: None, .. }) => {
            def.element(name)
        }
        _ => None,
    };
    element.is_some_and(|element| {
        let is_date = |(id, _): &(TypeId, Box<[TypeId]>)| {
            registry.get(*id).is_some_and(|of| DATES.contains(&&*of.name))
        };
        element.max == Max::Times(1) && element.types.iter().all(is_date)
    })
}

/// Whether a path may select a string or a ContactPoint; true for a path whose types cannot be resolved.
fn may_be_string(registry: &'static Registry, def: &TypeDef, expr: &Expr) -> bool {
    selected(registry, def, expr).is_none_or(|types| {
        types.iter().any(|of| ["string", "markdown", "ContactPoint"].contains(&&*of.name))
    })
}

/// Whether a path leads to a part of a HumanName.
fn is_name_part(registry: &'static Registry, def: &TypeDef, expr: &Expr) -> bool {
    let Expr::Member { base: Some(base), .. } = expr else { return false };
    selected(registry, def, base).is_some_and(|types| types.iter().any(|of| &*of.name == "HumanName"))
}

/// Whether a path may select whole names or addresses; true for a path whose types cannot be resolved.
fn is_of_parts(registry: &'static Registry, def: &TypeDef, expr: &Expr) -> bool {
    selected(registry, def, expr)
        .is_none_or(|types| types.iter().any(|of| ["HumanName", "Address"].contains(&&*of.name)))
}

/// The types selected by a path of element names, filters and casts; `None` for other paths.
fn selected<'r>(registry: &'static Registry, def: &'r TypeDef, expr: &Expr) -> Option<Vec<&'r TypeDef>> {
    match expr {
        Expr::Member { base: None, name } if registry.find(name).is_some() => Some(vec![def]),
        Expr::Member { base, name } => {
            let of = match base {
                Some(base) => selected(registry, def, base)?,
                None => vec![def],
            };
            let mut types = Vec::new();
            for of in of {
                for (id, _) in of.element(name).iter().flat_map(|element| element.types.iter()) {
                    types.push(registry.get(*id)?);
                }
            }
            Some(types)
        }
        Expr::Call { base: Some(base), name, .. } if name == "where" => selected(registry, def, base),
        Expr::Type { operator: TypeOperator::As, type_name, .. } => {
            Some(vec![registry.find(&type_name.name)?])
        }
        _ => None,
    }
}

/// FNV-1a over the parts of a definition that determine the entries of the parameter.
fn fingerprint(row: &SearchParamRow) -> u64 {
    let text =
        format!("{:?} {:?} {:?} {:?} {:?}", row.kind, row.expression, row.targets, row.components, row.usage);
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// FNV-1a of the code. It is stored in index keys and must never change.
#[must_use]
pub fn param_id(code: &str) -> u32 {
    code.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Visits each operand of a union.
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

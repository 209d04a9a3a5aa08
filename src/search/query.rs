//! A query string, read against the parameters of its type. What it does not know is an error that names it and the
//! nearest thing that it knows.
use crate::definitions::{TypeDef, r4};
use crate::model::{Interval, ResourceId};

use super::control::{CONTROLS, Control};
use super::params::{Param, search_params};
use super::term::{Term, alternatives, conditions, date_interval, modifiers, prefixed};

/// What a search asks for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
    pub count: Option<usize>,
    pub includes: Vec<Include>,
    pub rev_includes: Vec<Include>,
    pub summary: Summary,
    pub elements: Vec<String>,
    pub total: Option<TotalMode>,
    pub cursor: Option<String>,
    /// The parameters that were used, as they were given, for the self link.
    pub used: Vec<(String, String)>,
    /// What was ignored, if the caller asked for leniency.
    pub ignored: Vec<String>,
}

/// One condition that every match fulfils.
#[derive(Clone, Debug)]
pub enum Filter {
    Term(Term),
    Id(Vec<ResourceId>),
    /// Any of these: a prefix and the interval asked for.
    LastUpdated(Vec<(String, Interval)>),
}

/// A key to sort by.
#[derive(Clone, Debug)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum SortKey {
    Param(&'static Param),
    Id,
    LastUpdated,
}

/// `Type:parameter[:Target]`; the parameter `*` stands for every reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub source: &'static str,
    pub param: Option<u32>,
    pub target: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    #[default]
    False,
    True,
    Text,
    Data,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalMode {
    None,
    Estimate,
    Accurate,
}

/// What is wrong with a query. `parameter` is its name as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    pub parameter: String,
    pub message: String,
    /// Leniency may pass over unknown parameters, never over malformed ones.
    pub is_unknown: bool,
}

/// Reads a query on a type. Parameters without a value are passed over (R4 search.html#errors).
///
/// # Errors
/// The first parameter that is unknown (unless `lenient`) or malformed.
pub fn parse_query(
    def: &'static TypeDef,
    pairs: &[(String, String)],
    lenient: bool,
) -> Result<Query, QueryError> {
    let mut query = Query::default();
    for (name, value) in pairs {
        if value.is_empty() {
            continue;
        }
        match parameter(def, &mut query, name, value) {
            Ok(()) => query.used.push((name.clone(), value.clone())),
            Err(error) if error.is_unknown && lenient => query.ignored.push(name.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(query)
}

fn parameter(def: &'static TypeDef, query: &mut Query, name: &str, value: &str) -> Result<(), QueryError> {
    let malformed = |message: String| QueryError { parameter: name.to_owned(), message, is_unknown: false };
    if let Some(control) = Control::find(name) {
        return control_parameter(def, query, control, value).map_err(malformed);
    }
    let (code, modifier) = match name.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (name, None),
    };
    match (code, modifier) {
        ("_id", None) => {
            let ids = alternatives(value).iter().filter_map(|id| ResourceId::parse(id)).collect();
            query.filters.push(Filter::Id(ids));
            return Ok(());
        }
        ("_lastUpdated", None) => {
            let mut intervals = Vec::new();
            for value in alternatives(value) {
                let (prefix, text) = prefixed(&value);
                intervals.push((prefix.to_owned(), date_interval(text).map_err(malformed)?));
            }
            query.filters.push(Filter::LastUpdated(intervals));
            return Ok(());
        }
        _ => {}
    }
    let Some(param) = search_params().find(def, code) else { return Err(unknown(def, name, code)) };
    let modifier = modifier.map(|modifier| known_modifier(param, modifier)).transpose().map_err(malformed)?;
    let term = Term { param, modifier, values: alternatives(value) };
    conditions(&term).map_err(malformed)?;
    query.filters.push(Filter::Term(term));
    Ok(())
}

fn known_modifier(param: &Param, modifier: &str) -> Result<String, String> {
    let is_target = !param.targets.is_empty() && r4().resource(modifier).is_some();
    if is_target || modifiers(param.kind).contains(&modifier) {
        return Ok(modifier.to_owned());
    }
    Err(format!("the modifier `:{modifier}` is not served for `{}`", param.code))
}

fn unknown(def: &TypeDef, name: &str, code: &str) -> QueryError {
    let known = search_params().of(def).iter().map(|param| &*param.code);
    let known = known.chain(["_id", "_lastUpdated"]).chain(CONTROLS.iter().map(|(name, ..)| *name));
    let nearest = known.map(|known| (distance(known, code), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= 3 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    };
    let message = format!("unknown parameter `{name}` for {}{hint}", def.name);
    QueryError { parameter: name.to_owned(), message, is_unknown: true }
}

/// How many letters are to be changed, added or left out between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (number, letter) in a.chars().enumerate() {
        let mut next = vec![number + 1];
        for (column, other) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&row, column) + usize::from(letter != *other);
            next.push(changed.min(at(&row, column + 1) + 1).min(at(&next, column) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn control_parameter(
    def: &'static TypeDef,
    query: &mut Query,
    control: Control,
    value: &str,
) -> Result<(), String> {
    let bad = |what: &str| format!("`{value}` is not {what}");
    match control {
        Control::Count => query.count = Some(value.parse().map_err(|_| bad("a number of matches"))?),
        Control::Sort => {
            for key in alternatives(value) {
                query.sort.push(sort(def, &key)?);
            }
        }
        Control::Include => query.includes.push(include(value)?),
        Control::RevInclude => query.rev_includes.push(include(value)?),
        Control::Summary => {
            query.summary = match value {
                "true" => Summary::True,
                "false" => Summary::False,
                "text" => Summary::Text,
                "data" => Summary::Data,
                "count" => Summary::Count,
                _ => return Err(bad("one of true, text, data, count, false")),
            };
        }
        Control::Elements => query.elements = alternatives(value),
        Control::Total => {
            query.total = Some(match value {
                "none" => TotalMode::None,
                "estimate" => TotalMode::Estimate,
                "accurate" => TotalMode::Accurate,
                _ => return Err(bad("one of none, estimate, accurate")),
            });
        }
        Control::Cursor => query.cursor = Some(value.to_owned()),
        Control::Format | Control::Pretty => {}
    }
    Ok(())
}

fn sort(def: &'static TypeDef, key: &str) -> Result<Sort, String> {
    let (code, descending) = key.strip_prefix('-').map_or((key, false), |code| (code, true));
    let key = match code {
        "_id" => SortKey::Id,
        "_lastUpdated" => SortKey::LastUpdated,
        code => SortKey::Param(
            search_params()
                .find(def, code)
                .ok_or_else(|| format!("unknown parameter `{code}` to sort by"))?,
        ),
    };
    Ok(Sort { key, descending })
}

fn include(value: &str) -> Result<Include, String> {
    if value == "*" {
        return Err("`*` needs the type it is of, as in `Patient:*`".to_owned());
    }
    let mut parts = value.split(':');
    let resource = |name: &str| r4().resource(name).ok_or_else(|| format!("`{name}` is no resource type"));
    let source = resource(parts.next().unwrap_or_default())?;
    let code = parts.next().ok_or_else(|| "an include names a type and a parameter".to_owned())?;
    let target = parts.next().map(|name| resource(name).map(|def| &*def.name)).transpose()?;
    if parts.next().is_some() {
        return Err(format!("`{value}` has more than three parts"));
    }
    let param = match code {
        "*" => None,
        code => {
            let param = search_params().find(source, code);
            let param = param.filter(|param| param.kind == crate::definitions::ParamType::Reference);
            let wrong = || format!("`{code}` is no reference parameter of {}", source.name);
            Some(param.ok_or_else(wrong)?.id)
        }
    };
    Ok(Include { source: &source.name, param, target })
}

#[cfg(test)]
mod tests {
    use super::parse_query;
    use crate::definitions::r4;

    fn error(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse_query(r4().resource("Patient").unwrap(), &pairs, false).unwrap_err().message
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_near() {
        assert_eq!(
            error(&[("birthdat", "2020")]),
            "unknown parameter `birthdat` for Patient; did you mean `birthdate`?"
        );
        assert_eq!(error(&[("zzzzzzzzzz", "1")]), "unknown parameter `zzzzzzzzzz` for Patient");
        assert!(error(&[("birthdate", "soon")]).contains("`soon` is no date"));
        assert!(error(&[("name:blurry", "x")]).contains(":blurry"));
        assert!(error(&[("_count", "x")]).contains("number"));
        assert!(error(&[("_include", "Patient:name")]).contains("no reference parameter"));
        assert!(error(&[("_sort", "nam")]).contains("to sort by"));
    }

    #[test]
    fn leniency_passes_over_the_unknown_only() {
        let patient = r4().resource("Patient").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let query =
            parse_query(patient, &[pair("x", "1"), pair("name", "a"), pair("gender", "")], true).unwrap();
        assert_eq!(query.ignored, ["x"]);
        assert_eq!(query.used.len(), 1);
        assert!(parse_query(patient, &[pair("birthdate", "soon")], true).is_err());
    }
}

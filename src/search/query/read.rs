//! Parses the parameters of a query: filters, chains and reverse chains (R4 search.html#chaining, #has).
use std::sync::Arc;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{ResourceId, Span};
use crate::search::control::Control;
use crate::search::filter::{Filter, Link, Lookup, term};
use crate::search::filter_language::filter_language;
use crate::search::param::date_span;
use crate::search::params::{Param, Source};
use crate::search::text::{Prefix, alternatives, prefixed};
use crate::search::word_query::word_query;

use super::super::invalid_value::InvalidValue;
use super::control_values::control_value;
use super::reading::{Reading, chain_targets, id_of, last_updated};
use super::suggest;
use super::{Query, QueryError, Summary};

/// The maximum number of links of a chain or of nested reverse chains.
pub const CHAIN_DEPTH_MAX: usize = 8;

/// Parses a query on a type. Parameters with an empty value are ignored (R4 search.html#errors).
///
/// # Errors
/// The first parameter that is unknown (unless `lenient`) or malformed.
pub fn parse_query(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    pairs: &[(String, String)],
) -> Result<Query, QueryError> {
    let mut query = Query::default();
    let mut bounds = Bounds::default();
    for (name, value) in pairs {
        bounds.add(reading, def, name, value);
        if value.is_empty() {
            // The empty value adds no condition, but the name must be known: a misspelling must not widen the answer.
            if let Err(ParameterFault::Unknown(message)) =
                parameter(reading, def, &mut Query::default(), name, value)
            {
                if !reading.lenient {
                    return Err(QueryError { parameter: name.clone(), message, is_unknown: true });
                }
                query.ignored.push(name.clone());
            }
            continue;
        }
        match parameter(reading, def, &mut query, name, value) {
            Ok(()) => query.used.push((name.clone(), value.clone())),
            Err(ParameterFault::Unknown(_)) if reading.lenient => query.ignored.push(name.clone()),
            Err(wrong) => {
                let is_unknown = matches!(wrong, ParameterFault::Unknown(_));
                let (ParameterFault::Unknown(message) | ParameterFault::Malformed(message)) = wrong;
                return Err(QueryError { parameter: name.clone(), message, is_unknown });
            }
        }
    }
    if query.summary == Summary::Text && !(query.includes.is_empty() && query.rev_includes.is_empty()) {
        // R4 search.html#summary: `text` cannot be combined with includes.
        let message = "`text` cannot be asked for together with includes".to_owned();
        return Err(QueryError { parameter: "_summary".to_owned(), message, is_unknown: false });
    }
    query.filters.extend(bounds.filters());
    Ok(query)
}

/// Dates that a query bounds from both sides. If a resource has at most one date, both bounds apply to it, so it overlaps the
/// interval between them. That filter is selective where each bound alone finds many resources.
#[derive(Default)]
struct Bounds(Vec<(Arc<Param>, Span)>);

impl Bounds {
    fn add(&mut self, reading: &Reading<'_>, def: &TypeDef, name: &str, value: &str) {
        let param = reading.find(def, name).filter(|param| param.is_single_date);
        let (prefix, text) = prefixed(value);
        let (Some(param), Ok(asked)) = (param, date_span(text)) else { return };
        let Span { start: first, end: last } = Span::ALWAYS;
        let (start, end) = match prefix {
            Prefix::Gt | Prefix::Ge | Prefix::Sa => (asked.start, last),
            Prefix::Lt | Prefix::Le | Prefix::Eb => (first, asked.end),
            Prefix::Eq | Prefix::Ne | Prefix::Ap => return,
        };
        match self.0.iter_mut().find(|(known, _)| known.id == param.id) {
            Some((_, known)) => {
                (known.start, known.end) = (known.start.max(start), known.end.min(end));
            }
            None => self.0.push((param, Span { start, end })),
        }
    }

    fn filters(self) -> impl Iterator<Item = Filter> {
        let Span { start: first, end: last } = Span::ALWAYS;
        let both = self.0.into_iter().filter(move |(_, known)| known.start > first && known.end < last);
        both.map(|(param, known)| Filter::overlapping(&param, known))
    }
}

/// What is wrong with a parameter.
enum ParameterFault {
    Unknown(String),
    Malformed(String),
}

impl From<InvalidValue> for ParameterFault {
    fn from(error: InvalidValue) -> Self {
        Self::Malformed(error.into())
    }
}

impl From<String> for ParameterFault {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

fn parameter(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    query: &mut Query,
    name: &str,
    value: &str,
) -> Result<(), ParameterFault> {
    let (code, modifier) = match name.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (name, None),
    };
    match Control::find(code) {
        Some(control) => control_value(reading, def, query, (control, modifier), value)?,
        None => query.filters.push(named(reading, def, name, value, 0)?),
    }
    Ok(())
}

/// The filter for one parameter: a reverse chain, a chain, or a parameter of the type itself.
fn named(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    name: &str,
    value: &str,
    depth: usize,
) -> Result<Filter, ParameterFault> {
    if depth > CHAIN_DEPTH_MAX {
        return Err(ParameterFault::Malformed(format!("a chain has more than {CHAIN_DEPTH_MAX} links")));
    }
    if let Some(rest) = name.strip_prefix("_has:") {
        return reverse_chain(reading, def, rest, value, depth);
    }
    if let Some((head, rest)) = name.split_once('.') {
        return chain(reading, def, (head, rest), value, depth);
    }
    let (code, modifier) = match name.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (name, None),
    };
    if modifier == Some("missing") && matches!(code, "_id" | "_lastUpdated") {
        // Every resource has both parameters.
        return match value {
            "true" => Ok(Filter::never()),
            "false" => Ok(Filter::All(Vec::new())),
            _ => Err("`:missing` takes true or false".to_owned().into()),
        };
    }
    if code == "_query" {
        // Ignoring a named query would widen the answer.
        return Err(ParameterFault::Malformed(
            "named queries are not served (R4 search.html#query)".to_owned(),
        ));
    }
    if let Some(filter) = common(reading, def, code, value)? {
        return match modifier {
            None => Ok(filter),
            Some("not") if code == "_id" => Ok(filter.negated_if(true)),
            Some(modifier) => Err(format!("the modifier `:{modifier}` is not served for `{code}`").into()),
        };
    }
    let Some(param) = reading.find(def, code) else {
        return Err(ParameterFault::Unknown(suggest::unknown(reading.params, def, name, code)));
    };
    if !matches!(param.source, Source::Expressions(_)) && modifier.is_none() {
        let each: Result<Vec<Filter>, InvalidValue> =
            alternatives(value).iter().map(|text| word_query(&param, text)).collect();
        return Ok(Filter::any(each?));
    }
    Ok(term(&param, modifier, &alternatives(value), reading.asking)?)
}

/// The filters that every type has without index entries.
fn common(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    code: &str,
    value: &str,
) -> Result<Option<Filter>, InvalidValue> {
    Ok(Some(match code {
        "_id" => Filter::Id(alternatives(value).iter().filter_map(|value| id_of(value)).collect()),
        "_lastUpdated" => {
            let each = |value: &String| last_updated(value, reading.asking.now);
            let intervals: Result<Vec<Filter>, InvalidValue> = alternatives(value).iter().map(each).collect();
            Filter::any(intervals?)
        }
        "_list" => {
            let each = |value: &String| {
                let id = value.strip_prefix("List/").unwrap_or(value);
                let wrong = || {
                    InvalidValue::from(format!(
                        "`{value}` is no id of a List; functional lists are not served"
                    ))
                };
                ResourceId::parse(id).map(|id| Filter::Lookup(Lookup::List(id))).ok_or_else(wrong)
            };
            let lists: Result<Vec<Filter>, InvalidValue> = alternatives(value).iter().map(each).collect();
            Filter::any(lists?)
        }
        "_filter" => filter_language(reading, def, value)?,
        _ => return Ok(None),
    }))
}

fn chain(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    (head, rest): (&str, &str),
    value: &str,
    depth: usize,
) -> Result<Filter, ParameterFault> {
    let (code, type_name) = head.split_once(':').map_or((head, None), |(code, name)| (code, Some(name)));
    let Some(param) = reading.find(def, code) else {
        return Err(ParameterFault::Unknown(suggest::unknown(reading.params, def, code, code)));
    };
    let mut links = Vec::new();
    let mut refusal = None;
    for target in chain_targets(&param, type_name)? {
        match named(reading, target, rest, value, depth + 1) {
            Ok(filter) => links.push(Link { def: target, filter: Box::new(filter) }),
            // Some of the target types may lack the parameter, or have it with a type that does not accept the value.
            Err(wrong) if matches!(refusal, None | Some(ParameterFault::Unknown(_))) => refusal = Some(wrong),
            Err(_) => {}
        }
    }
    match refusal {
        Some(refusal) if links.is_empty() => Err(refusal),
        _ => Ok(Filter::Chain(param, links)),
    }
}

/// Parses `Type:reference:parameter`, the part after `_has:`.
fn reverse_chain(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    rest: &str,
    value: &str,
    depth: usize,
) -> Result<Filter, ParameterFault> {
    let mut parts = rest.splitn(3, ':');
    let (Some(type_name), Some(code), Some(inner)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a reverse chain is `_has:Type:reference:parameter`".to_owned().into());
    };
    let source = r4().resource(type_name).ok_or_else(|| format!("`{type_name}` is no resource type"))?;
    let Some(param) = reading.find(source, code) else {
        return Err(ParameterFault::Unknown(suggest::unknown(reading.params, source, code, code)));
    };
    if param.kind != ParamType::Reference || !param.targets.contains(&&*def.name) {
        return Err(format!("`{code}` of {type_name} does not lead to {}", def.name).into());
    }
    let filter = Box::new(named(reading, source, inner, value, depth + 1)?);
    Ok(Filter::Has(param, Link { def: source, filter }))
}

#[cfg(test)]
mod tests {
    use super::{Reading, parse_query};
    use crate::definitions::r4;
    use crate::search::param::ValueContext;
    use crate::search::params::search_params;

    fn reading(lenient: bool) -> Reading<'static> {
        Reading {
            params: search_params(),
            asking: ValueContext { now: 0, base_url: "http://here/fhir" },
            lenient,
        }
    }

    fn error(name: &str, value: &str) -> String {
        let pairs = [(name.to_owned(), value.to_owned())];
        parse_query(&reading(false), r4().resource("Patient").unwrap(), &pairs).unwrap_err().message
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_near() {
        assert_eq!(
            error("birthdat", "2020"),
            "unknown parameter `birthdat` for Patient; did you mean `birthdate`?"
        );
        assert_eq!(error("zzzzzzzzzz", "1"), "unknown parameter `zzzzzzzzzz` for Patient");
        for (name, value, says) in [
            ("birthdate", "soon", "`soon` is no date"),
            ("name:blurry", "x", ":blurry"),
            ("_count", "x", "number"),
            ("_include", "Patient:name", "no reference parameter"),
            ("_sort", "nam", "to sort by"),
            ("organization.nam", "x", "did you mean `name`?"),
            ("gender.name", "x", "no reference"),
            ("organization:Patient.name", "x", "does not lead to Patient"),
            ("_has:Observation:patient", "x", "_has:Type:reference:parameter"),
            ("_has:Observation:encounter:code", "x", "does not lead to Patient"),
            ("link.link.link.link.link.link.link.link.link.link", "x", "more than 8 links"),
            ("_filter", "name eq", "value"),
            ("_filter", &"active eq true and ".repeat(300), "more than 200"),
            ("_filter", "(name eq \"a\"", "`)` is missing"),
            ("_content", "(a", "not closed"),
        ] {
            assert!(error(name, value).contains(says), "{name}={value}: {}", error(name, value));
        }
    }

    #[test]
    fn leniency_passes_over_the_unknown_only() {
        let patient = r4().resource("Patient").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = [pair("x", "1"), pair("name", "a"), pair("gender", "")];
        let query = parse_query(&reading(true), patient, &pairs).unwrap();
        assert_eq!(query.ignored, ["x"]);
        assert_eq!(query.used.len(), 1);
        assert!(parse_query(&reading(true), patient, &[pair("birthdate", "soon")]).is_err());
    }
}

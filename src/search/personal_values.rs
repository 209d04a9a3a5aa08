//! Finds the values of a query that may identify one person: ids, references, identifiers, and names and contact details of
//! Patients. Whether a value does identify one person is decided from stored data elsewhere.
use crate::definitions::{ParamType, TypeDef};

use super::entry::{Form, text_end};
use super::filter::{Filter, Lookup};
use super::matcher::{Check, Matcher};
use super::params::{Param, SearchParams, param_id};

/// A value that may identify one person.
#[derive(Clone, Debug)]
pub enum PersonalValue {
    /// The id of a resource, and its possible types.
    Resource(Vec<&'static str>, String),
    /// The system, if given, and value of a Patient's identifier.
    Identifier(Option<String>, String),
    /// The resources of a type that fulfil the condition.
    Resources(&'static TypeDef, Filter),
}

/// Parameters of Patient, besides `identifier`, whose values may identify one person.
const OF_PERSONS: [&str; 7] = ["name", "family", "given", "phonetic", "telecom", "phone", "email"];

/// The values that may identify a person in a condition on resources of a type, at any depth of chains and alternatives.
#[must_use]
pub fn sought(params: &SearchParams, def: &'static TypeDef, filter: &Filter) -> Vec<PersonalValue> {
    let mut found = Vec::new();
    collect(params, def, filter, &mut found);
    found
}

fn collect(params: &SearchParams, def: &'static TypeDef, filter: &Filter, out: &mut Vec<PersonalValue>) {
    match filter {
        Filter::Entries(matchers) => {
            // A text is searched at the beginning of values and of words; both matchers come from one value in the query.
            let is_word = |matcher: &Matcher| matcher.start.first() == Some(&Form::Word.byte());
            for matcher in matchers.iter().filter(|matcher| !is_word(matcher)) {
                let same = |other: &&Matcher| {
                    is_word(other)
                        && other.param == matcher.param
                        && other.start.get(1..) == matcher.start.get(1..)
                };
                let param = params.of(def).iter().find(|param| param.id == matcher.param);
                out.extend(
                    param.and_then(|param| of_entry(def, param, (matcher, matchers.iter().find(same)))),
                );
            }
        }
        Filter::Id(ids) => {
            out.extend(ids.iter().map(|id| PersonalValue::Resource(vec![&*def.name], id.to_string())));
        }
        Filter::Lookup(Lookup::List(id)) => out.push(PersonalValue::Resource(vec!["List"], id.to_string())),
        Filter::Chain(_, links) => {
            links.iter().for_each(|link| collect(params, link.def, &link.filter, out));
        }
        Filter::Has(_, link) => collect(params, link.def, &link.filter, out),
        Filter::All(filters) | Filter::Any(filters) => {
            filters.iter().for_each(|filter| collect(params, def, filter, out));
            // The words of a name together may identify one person even if none of them does alone.
            if matches!(filter, Filter::All(_))
                && !filters.is_empty()
                && filters.iter().all(|filter| is_of_person(def, filter))
            {
                out.push(PersonalValue::Resources(def, filter.clone()));
            }
        }
        Filter::Not(filter) => collect(params, def, filter, out),
        Filter::Text(..) | Filter::LastUpdated(..) | Filter::Lookup(_) => {}
    }
}

/// Whether the condition is on names or contact details of a Patient only.
fn is_of_person(def: &TypeDef, filter: &Filter) -> bool {
    let is_of_persons = |matcher: &Matcher| OF_PERSONS.iter().any(|code| param_id(code) == matcher.param);
    matches!(filter, Filter::Entries(matchers) if &*def.name == "Patient" && matchers.iter().all(is_of_persons))
}

/// The value that a matcher looks for, together with the matcher for the same text at the beginning of words.
fn of_entry(
    def: &'static TypeDef,
    param: &Param,
    (matcher, of_words): (&Matcher, Option<&Matcher>),
) -> Option<PersonalValue> {
    let form = *matcher.start.first()?;
    // That a text is long identifies nobody.
    if form == Form::Cut.byte() {
        return None;
    }
    if param.kind == ParamType::Reference {
        let value = matcher.start.get(1..)?;
        let end = text_end(value)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let first = text(value.get(..end - 2)?)?;
        let second = value.get(end..).and_then(|rest| text(rest.strip_suffix(&[0, 0])?));
        if form == Form::Identifier.byte() {
            return Some(PersonalValue::Identifier(second, first));
        }
        let types = match second {
            // Without a type, the id may be of a resource of any target type.
            None => param.targets.clone(),
            Some(name) => param.targets.iter().copied().filter(|target| *target == name).collect(),
        };
        return (form == Form::Value.byte()).then_some(PersonalValue::Resource(types, first));
    }
    let is_of_persons = &*def.name == "Patient" && OF_PERSONS.contains(&&*param.code);
    // That a value exists at all identifies nobody.
    let has_value = matcher.start.len() > 1 || matcher.check != Check::None;
    (has_value && (is_of_persons || &*param.code == "identifier")).then(|| {
        PersonalValue::Resources(
            def,
            Filter::Entries([matcher].into_iter().chain(of_words).cloned().collect()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{PersonalValue, sought};
    use crate::definitions::r4;
    use crate::search::param::ValueContext;
    use crate::search::params::search_params;
    use crate::search::{Reading, parse_query};

    fn of(type_name: &str, query: &str) -> Vec<String> {
        let asking = ValueContext { now: 0, base_url: "http://here/fhir" };
        let reading = Reading { params: search_params(), asking, lenient: false };
        let def = r4().resource(type_name).unwrap();
        let query = parse_query(&reading, def, &crate::model::decode_pairs(query)).unwrap();
        let all = query.filters.iter().flat_map(|filter| sought(search_params(), def, filter));
        let mut texts: Vec<String> = all
            .map(|sought| match sought {
                PersonalValue::Resource(types, id) => format!("{}/{id}", types.join("|")),
                PersonalValue::Identifier(system, value) => format!("identifier {system:?} {value}"),
                PersonalValue::Resources(def, _) => format!("{} that fulfil", def.name),
            })
            .collect();
        texts.sort();
        texts.dedup();
        texts
    }

    #[test]
    fn values_of_persons_are_found_wherever_they_stand() {
        let check = |type_name: &str, query: &str, expected: &[&str]| {
            assert_eq!(of(type_name, query), expected, "{type_name}?{query}");
        };
        check("Patient", "_id=a,b", &["Patient/a", "Patient/b"]);
        check("Patient", "identifier=urn:s|1", &["Patient that fulfil"]);
        check("Patient", "family=Day&gender=female&birthdate=1970", &["Patient that fulfil"]);
        // Each word, and both together.
        check("Patient", "name=Ann Day", &["Patient that fulfil"]);
        check("Patient", "name:missing=true", &[]);
        check("Patient", "gender=female&birthdate=1970&address-city=Bonn", &[]);
        check("Patient", "_filter=_id eq \"a\" or family co \"b\"", &["Patient that fulfil", "Patient/a"]);
        check("Observation", "code=x&status=final", &[]);
        check("Observation", "identifier=x", &["Observation that fulfil"]);
        check("Observation", "_id=o", &["Observation/o"]);
        check("Observation", "subject=Patient/a", &["Patient/a"]);
        check("Observation", "patient=a", &["Patient|Group/a"]);
        check("Observation", "encounter=Encounter/e", &["Encounter/e"]);
        check("Observation", "encounter=e", &["Encounter|EpisodeOfCare/e"]);
        check("Observation", "patient.identifier=urn:s|1", &["Group that fulfil", "Patient that fulfil"]);
        check("Observation", "subject:identifier=urn:s|1", &["identifier Some(\"urn:s\") 1"]);
        check("Observation", "subject:identifier=1", &["identifier None 1"]);
        check("Observation", "subject:Patient.family=Day", &["Patient that fulfil"]);
        check("Patient", "_has:Observation:patient:_id=o", &["Observation/o"]);
        check("Patient", "_has:Coverage:beneficiary:identifier=1", &["Coverage that fulfil"]);
        check("Patient", "_id:not=a", &["Patient/a"]);
        check("Observation", "_list=l", &["List/l"]);
        check("Practitioner", "name=Day", &[]);
    }
}

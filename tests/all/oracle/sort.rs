//! `_sort`: the sort keys of resources.
use std::cmp::Ordering;
use std::collections::HashMap;

use chartward::definitions::ParamType;
use chartward::model::Nanos;
use octofhir_ucum::Number;

use super::corpus::{Oracle, Set, param};
use super::occurrence::{Occurrence, System};

/// The sort key of one value; a range without a low end sorts before every number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(Option<Number>),
    Date(Nanos),
    Commit(usize),
    Text(String, String),
}

/// One parameter of a `_sort`, with the keys of the resources that have a value.
struct Criterion {
    descending: bool,
    keys: HashMap<usize, Key>,
}

impl Criterion {
    fn compare(&self, left: usize, right: usize) -> Ordering {
        match (self.keys.get(&left), self.keys.get(&right)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(left), Some(right)) if self.descending => right.cmp(left),
            (Some(left), Some(right)) => left.cmp(right),
        }
    }
}

impl Oracle {
    /// The matches in the order of the answer.
    pub fn sorted(
        &self,
        types: &[&'static str],
        matches: Set,
        sort: Option<&str>,
    ) -> Result<Vec<usize>, String> {
        let criteria: Vec<Criterion> = sort
            .unwrap_or_default()
            .split(',')
            .filter(|field| !field.is_empty())
            .map(|field| self.criterion(types, field))
            .collect::<Result<_, String>>()?;
        let mut order: Vec<usize> = matches.into_iter().collect();
        order.sort_by(|left, right| {
            let first = criteria.iter().map(|criterion| criterion.compare(*left, *right));
            first.fold(Ordering::Equal, Ordering::then).then(left.cmp(right))
        });
        Ok(order)
    }

    fn criterion(&self, types: &[&'static str], field: &str) -> Result<Criterion, String> {
        let (descending, code) = match field.strip_prefix('-') {
            Some(code) => (true, code),
            None => (false, field),
        };
        let mut keys = HashMap::new();
        for &type_name in types {
            let row = param(type_name, code)?;
            if row.expression.is_none() || matches!(row.kind, ParamType::Composite | ParamType::Special) {
                return Err(format!("there is no order by `{code}`"));
            }
            if code == "_lastUpdated" {
                // Commits within one millisecond are ordered, too.
                let commit = |number: usize| {
                    let version =
                        self.resources[number].root().get("meta").unwrap().str_at("versionId").unwrap();
                    Key::Commit(version.parse().unwrap())
                };
                keys.extend(self.all(type_name).iter().map(|number| (*number, commit(*number))));
                continue;
            }
            for (number, found) in self.column(type_name, row).iter() {
                let values = found.iter().flat_map(keys_of);
                let key = if descending { values.max() } else { values.min() };
                keys.extend(key.map(|key| (*number, key)));
            }
        }
        Ok(Criterion { descending, keys })
    }
}

fn keys_of(occurrence: &Occurrence) -> Vec<Key> {
    let one = |key: Option<Key>| -> Vec<Key> { key.into_iter().collect() };
    match occurrence {
        Occurrence::Number(number) => vec![Key::Number(number.low)],
        Occurrence::Quantity(quantity) => {
            vec![Key::Number(quantity.low.as_ref().map(|amount| amount.number))]
        }
        Occurrence::Date(date) => vec![Key::Date(date.start)],
        Occurrence::Text(parts) => {
            parts.iter().map(|part| Key::Text(part.folded.clone(), part.text.clone())).collect()
        }
        Occurrence::Token(token) => {
            let system = match &token.system {
                System::Named(system) => system.clone(),
                System::None | System::Implied => String::new(),
            };
            let code = token.code.as_ref();
            let code = code.map(|code| if token.is_caseless { code.to_lowercase() } else { code.clone() });
            one(code.map(|code| Key::Text(code, system)))
        }
        Occurrence::Reference(pointer) => {
            let local = pointer.local.as_ref();
            one(local.map(|key| Key::Text(key.id.as_str().to_owned(), key.type_name.to_owned())))
        }
        Occurrence::Uri(uri) => vec![Key::Text(uri.clone(), String::new())],
        Occurrence::Composite(_) | Occurrence::Position(_) => Vec::new(),
    }
}

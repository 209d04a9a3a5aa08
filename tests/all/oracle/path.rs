//! Resolves where a parameter is evaluated: on the resource itself, on those it refers to, or on those that refer to it.
use chartward::definitions::{ParamType, SearchParamRow, r4};

use super::corpus::{Oracle, Set, param, resource_type};
use super::occurrence::{Occurrence, Pointer};

/// The maximum number of links in a chain.
const LINKS_MAX: usize = 8;

impl Oracle {
    /// The resources of a type that fulfil one condition, given as the name and value of a parameter.
    pub fn find(
        &self,
        type_name: &'static str,
        name: &str,
        value: &str,
        links: usize,
    ) -> Result<Set, String> {
        if links > LINKS_MAX {
            return Err(format!("`{name}` has more than {LINKS_MAX} links before it"));
        }
        if let Some(reversed) = name.strip_prefix("_has:") {
            return self.reversed(type_name, reversed, value, links);
        }
        if let Some((link, rest)) = name.split_once('.') {
            let (code, wanted) = cut_modifier(link);
            let row = reference_param(type_name, code)?;
            let reached = reach(row, wanted, |target| self.find(target, rest, value, links + 1))?;
            return Ok(self.referring(type_name, row, &reached));
        }
        let (code, modifier) = cut_modifier(name);
        self.condition(type_name, code, modifier.unwrap_or_default(), value)
    }

    /// Evaluates `Type:reference:parameter`: the resources that matching resources refer to.
    fn reversed(
        &self,
        type_name: &'static str,
        name: &str,
        value: &str,
        links: usize,
    ) -> Result<Set, String> {
        let parts: Vec<&str> = name.splitn(3, ':').collect();
        let [from, code, rest] = parts[..] else {
            return Err(format!("`_has:{name}` is not complete"));
        };
        let from = resource_type(from)?;
        let row = reference_param(from, code)?;
        let referring = self.find(from, rest, value, links + 1)?;
        let column = self.column(from, row);
        Ok(column
            .iter()
            .filter(|(number, _)| referring.contains(number))
            .flat_map(|(number, found)| {
                found.iter().filter_map(|occurrence| self.target(*number, occurrence))
            })
            .filter(|number| self.resources[*number].container.is_none())
            .filter(|number| self.resources[*number].key.type_name == type_name)
            .collect())
    }

    /// The resources of a type that refer to one of those in `reached`.
    pub fn referring(&self, type_name: &'static str, row: &'static SearchParamRow, reached: &Set) -> Set {
        let column = self.column(type_name, row);
        let refers = |from: usize, occurrence: &Occurrence| {
            self.target(from, occurrence).is_some_and(|number| reached.contains(&number))
        };
        let referring = column
            .iter()
            .filter(|(number, found)| found.iter().any(|occurrence| refers(*number, occurrence)));
        referring.map(|(number, _)| *number).collect()
    }

    /// The local resource that a reference points to, if it exists.
    pub fn target(&self, from: usize, occurrence: &Occurrence) -> Option<usize> {
        match occurrence {
            Occurrence::Reference(Pointer { fragment: Some(id), .. }) => self.within(from, id),
            Occurrence::Reference(pointer) => self.number(pointer.local.as_ref()?),
            _ => None,
        }
    }
}

/// Combines the results for every target type of a reference. Types without the parameter are skipped, unless all lack it.
pub fn reach(
    row: &SearchParamRow,
    wanted: Option<&str>,
    ask: impl Fn(&'static str) -> Result<Set, String>,
) -> Result<Set, String> {
    let mut reached: Option<Set> = None;
    let mut refusal = format!("`{}` leads nowhere", row.code);
    for target in targets(row, wanted)? {
        match ask(target) {
            Ok(found) => reached.get_or_insert_with(Set::new).extend(found),
            Err(error) => refusal = error,
        }
    }
    reached.ok_or(refusal)
}

fn targets(row: &SearchParamRow, wanted: Option<&str>) -> Result<Vec<&'static str>, String> {
    if let Some(wanted) = wanted {
        return Ok(vec![resource_type(wanted)?]);
    }
    if row.targets.is_empty() {
        return Ok(r4().resources().map(|def| &*def.name).collect());
    }
    Ok(row.targets.iter().filter_map(|target| resource_type(target).ok()).collect())
}

/// The parameter, if it is a reference and can be a link.
pub fn reference_param(type_name: &str, code: &str) -> Result<&'static SearchParamRow, String> {
    let row = param(type_name, code)?;
    if row.kind == ParamType::Reference { Ok(row) } else { Err(format!("`{code}` is no reference")) }
}

fn cut_modifier(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (name, None),
    }
}

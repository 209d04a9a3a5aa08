//! Evaluates `_filter`.
use chartward::definitions::{ParamType, SearchParamRow};

use super::condition::{Test, boxed, is_phonetic, on_text, truth};
use super::corpus::{Oracle, Set, param};
use super::date::AskedDate;
use super::filter_syntax::{Filter, Path};
use super::number::AskedNumber;
use super::occurrence::Occurrence;
use super::path::{reach, reference_param};
use super::prefix::Prefix;
use super::quantity::AskedQuantity;
use super::text::{AskedText, Manner};

/// Code systems that a filter may name by a short name.
const SHORT_NAMES: [(&str, &str); 4] = [
    ("loinc", "http://loinc.org"),
    ("snomed", "http://snomed.info/sct"),
    ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("ucum", "http://unitsofmeasure.org"),
];

impl Oracle {
    /// The resources of a type that a filter finds.
    pub fn filter(&self, type_name: &'static str, text: &str) -> Result<Set, String> {
        self.filtered(type_name, &Filter::parse(text)?)
    }

    fn filtered(&self, type_name: &'static str, filter: &Filter) -> Result<Set, String> {
        match filter {
            Filter::And(left, right) => {
                Ok(&self.filtered(type_name, left)? & &self.filtered(type_name, right)?)
            }
            Filter::Or(left, right) => {
                Ok(&self.filtered(type_name, left)? | &self.filtered(type_name, right)?)
            }
            Filter::Not(of) => {
                let found = self.filtered(type_name, of)?;
                Ok(self.all_and_contained(type_name).filter(|number| !found.contains(number)).collect())
            }
            Filter::Test { path, operator, value } => self.tested(type_name, path, operator, value),
        }
    }

    fn tested(
        &self,
        type_name: &'static str,
        path: &Path,
        operator: &str,
        value: &str,
    ) -> Result<Set, String> {
        let Some(rest) = &path.rest else { return self.compared(type_name, &path.code, operator, value) };
        let row = reference_param(type_name, &path.code)?;
        let reached = reach(row, None, |target| {
            let found = self.tested(target, rest, operator, value)?;
            match &path.filter {
                Some(filter) => Ok(&found & &self.filtered(target, filter)?),
                None => Ok(found),
            }
        })?;
        Ok(self.referring(type_name, row, &reached))
    }

    fn compared(
        &self,
        type_name: &'static str,
        code: &str,
        operator: &str,
        value: &str,
    ) -> Result<Set, String> {
        let row = param(type_name, code)?;
        if row.expression.is_none() {
            return Err(format!("`{code}` has no values to compare"));
        }
        if operator == "pr" {
            let present = truth(value)?;
            return Ok(self.keep(type_name, row, |found| found.is_empty() != present));
        }
        let test = self.filter_test(row, operator, value)?;
        let negated = is_negation(row.kind, operator);
        Ok(self.keep(type_name, row, |found| found.iter().any(&test) != negated))
    }

    fn filter_test(
        &self,
        row: &'static SearchParamRow,
        operator: &str,
        value: &str,
    ) -> Result<Test<'_>, String> {
        let unfit = || format!("`{}` cannot be compared by `{operator}`", row.code);
        match (row.kind, operator) {
            (ParamType::String, _) if is_phonetic(row) => Err(unfit()),
            (ParamType::String, _) => {
                let manner = manner(operator).ok_or_else(unfit)?;
                Ok(on_text(AskedText::new(manner, value)))
            }
            (ParamType::Token, _) => {
                let modifier = token_modifier(operator).ok_or_else(unfit)?;
                self.test(row, modifier, &with_full_system(value))
            }
            (ParamType::Reference, "re") => self.test(row, "", value),
            (ParamType::Reference | ParamType::Uri | ParamType::Composite, "eq" | "ne") => {
                self.test(row, "", value)
            }
            (ParamType::Date, "po") => {
                let asked = AskedDate::new(Prefix::Eq, value, self.now)?;
                Ok(boxed(move |found| matches!(found, Occurrence::Date(date) if asked.overlaps(*date))))
            }
            _ => self.ordered_test(row, Prefix::of(operator).ok_or_else(unfit)?, value),
        }
    }

    /// For ordered types, the operators have the meaning of the prefixes.
    fn ordered_test(&self, row: &SearchParamRow, prefix: Prefix, value: &str) -> Result<Test<'_>, String> {
        Ok(match row.kind {
            ParamType::Number => {
                let asked = AskedNumber::new(prefix, value)?;
                boxed(move |found| matches!(found, Occurrence::Number(number) if asked.finds(number)))
            }
            ParamType::Quantity => {
                let asked = AskedQuantity::new(prefix, &with_full_unit_system(value))?;
                boxed(move |found| matches!(found, Occurrence::Quantity(quantity) if asked.finds(quantity)))
            }
            ParamType::Date => {
                let asked = AskedDate::new(prefix, value, self.now)?;
                boxed(move |found| matches!(found, Occurrence::Date(date) if asked.finds(*date)))
            }
            _ => return Err(format!("the values of `{}` have no order", row.code)),
        })
    }
}

/// `ni` means not in the value set; `ne` negates where it is not a prefix.
fn is_negation(kind: ParamType, operator: &str) -> bool {
    let has_prefixes = matches!(kind, ParamType::Number | ParamType::Quantity | ParamType::Date);
    operator == "ni" || (operator == "ne" && !has_prefixes)
}

fn manner(operator: &str) -> Option<Manner> {
    Some(match operator {
        "eq" | "ne" => Manner::Whole,
        "co" => Manner::Contains,
        "sw" => Manner::Starts,
        "ew" => Manner::Ends,
        _ => return None,
    })
}

fn token_modifier(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "eq" | "ne" => "",
        "ss" => "below",
        "sb" => "above",
        "in" | "ni" => "in",
        _ => return None,
    })
}

fn full_name(system: &str) -> &str {
    SHORT_NAMES.iter().find(|(short, _)| *short == system).map_or(system, |(_, full)| *full)
}

fn with_full_system(value: &str) -> String {
    match value.split_once('|') {
        Some((system, code)) => format!("{}|{code}", full_name(system)),
        None => value.to_owned(),
    }
}

fn with_full_unit_system(value: &str) -> String {
    match value.split_once('|') {
        Some((number, unit)) => format!("{number}|{}", with_full_system(unit)),
        None => value.to_owned(),
    }
}

//! One parameter of a resource: a modifier and a value that the resource has.
use chartward::definitions::{ParamType, SearchParamRow};

use super::generator::{Generator, Pair};
use super::{ordered, text};
use crate::oracle::condition::is_phonetic;
use crate::oracle::corpus::params;
use crate::oracle::extract::component_row;
use crate::oracle::occurrence::Occurrence;

const STRING_MODIFIERS: [&str; 6] = ["", "", "", "exact", "contains", "contains"];
const TOKEN_MODIFIERS: [&str; 14] =
    ["", "", "", "", "", "", "not", "text", "in", "not-in", "below", "above", "of-type", "of-type"];
const REFERENCE_MODIFIERS: [&str; 9] = ["", "", "", "", "identifier", "below", "above", "type", "type"];
const URI_MODIFIERS: [&str; 5] = ["", "", "", "below", "above"];

impl Generator<'_> {
    /// Any parameter that has a value in the resource.
    pub fn plain(&mut self, number: usize) -> Option<Pair> {
        let rows = self.rows(number, |_| true);
        let row = *self.random.pick(&rows)?;
        self.parameter(number, row)
    }

    /// The parameter with a value of the resource, sometimes with alternatives.
    pub fn parameter(&mut self, number: usize, row: &'static SearchParamRow) -> Option<Pair> {
        let found = self.oracle.found(number, row);
        for _ in 0..8 {
            let occurrence = self.random.pick(&found)?;
            let modifier = self.modifier(row, occurrence);
            if let Some(value) = self.value(row, modifier, occurrence) {
                let value = self.with_alternatives(number, row, modifier, value);
                let colon = if modifier.is_empty() { "" } else { ":" };
                return Some((format!("{}{colon}{modifier}", row.code), value));
            }
        }
        None
    }

    fn modifier(&mut self, row: &SearchParamRow, occurrence: &Occurrence) -> &'static str {
        let random = &mut self.random;
        match occurrence {
            Occurrence::Text(_) if !is_phonetic(row) => random.word(&STRING_MODIFIERS),
            Occurrence::Token(_) => random.word(&TOKEN_MODIFIERS),
            Occurrence::Uri(_) => random.word(&URI_MODIFIERS),
            Occurrence::Reference(pointer) => match random.word(&REFERENCE_MODIFIERS) {
                "type" => pointer.type_name().filter(|name| may_lead_to(row, name)).unwrap_or_default(),
                modifier => modifier,
            },
            _ => "",
        }
    }

    /// A value that finds the occurrence, if there is one for the modifier.
    fn value(
        &mut self,
        row: &'static SearchParamRow,
        modifier: &str,
        occurrence: &Occurrence,
    ) -> Option<String> {
        let random = &mut self.random;
        match occurrence {
            Occurrence::Number(number) => {
                let end = number.low.or(number.high)?;
                Some(format!("{}{}", ordered::prefix(random), ordered::number(random, end)))
            }
            Occurrence::Quantity(quantity) => {
                Some(format!("{}{}", ordered::prefix(random), ordered::quantity(random, quantity)?))
            }
            Occurrence::Date(date) => {
                Some(format!("{}{}", ordered::prefix(random), ordered::date(random, *date)?))
            }
            Occurrence::Text(parts) if is_phonetic(row) => text::sound(random, parts),
            Occurrence::Text(parts) => text::string(random, modifier, parts),
            Occurrence::Uri(uri) => text::uri(random, modifier, uri),
            Occurrence::Position(position) => Some(ordered::place(random, *position)),
            Occurrence::Token(token) => self.token(modifier, token),
            Occurrence::Reference(pointer) => self.reference(row, modifier, pointer),
            Occurrence::Composite(parts) => self.composite(row, parts),
        }
    }

    fn composite(&mut self, row: &SearchParamRow, parts: &[Vec<Occurrence>]) -> Option<String> {
        let mut values = Vec::new();
        for (component, part) in row.components.iter().zip(parts) {
            let occurrence = self.random.pick(part)?;
            values.push(self.value(component_row(&component.definition), "", occurrence)?);
        }
        Some(values.join("$"))
    }

    /// Adds values of other resources of the type.
    fn with_alternatives(
        &mut self,
        number: usize,
        row: &'static SearchParamRow,
        modifier: &str,
        first: String,
    ) -> String {
        let mut values = vec![first];
        if self.random.chance(20) {
            for _ in 0..=self.random.below(2) {
                values.extend(self.another(number, row, modifier));
            }
        }
        values.join(",")
    }

    fn another(&mut self, number: usize, row: &'static SearchParamRow, modifier: &str) -> Option<String> {
        for _ in 0..5 {
            let other = self.resource_of(self.type_of(number))?;
            let found = self.oracle.found(other, row);
            if let Some(occurrence) = self.random.pick(&found) {
                return self.value(row, modifier, occurrence);
            }
        }
        None
    }

    /// `:missing` with a parameter that has a value, or with any.
    pub fn missing(&mut self, number: usize) -> Option<Pair> {
        let mut rows = params(self.type_of(number));
        rows.retain(|row| row.expression.is_some());
        if self.random.chance(60) {
            rows = self.rows(number, |_| true);
        }
        let row = *self.random.pick(&rows)?;
        let is_true = self.oracle.has(number, row) != self.random.chance(80);
        Some((format!("{}:missing", row.code), is_true.to_string()))
    }

    /// A parameter of a kind, with the resource whose value it uses.
    pub fn of_kind(&mut self, kind: ParamType) -> Option<(usize, Pair)> {
        let (number, row) = self.place_of(kind)?;
        Some((number, self.parameter(number, row)?))
    }
}

/// Whether the standard permits the reference to point to the type.
pub fn may_lead_to(row: &SearchParamRow, type_name: &str) -> bool {
    row.targets.is_empty() || row.targets.iter().any(|target| target == type_name)
}

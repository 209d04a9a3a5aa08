//! `_filter` expressions on a resource and the resources that it refers to.
use chartward::definitions::{ParamType, SearchParamRow};

use super::generator::{Generator, Pair};
use super::links::is_clear;
use super::{coded, ordered, text};
use crate::oracle::condition::is_phonetic;
use crate::oracle::escape::is_plain;
use crate::oracle::occurrence::Occurrence;

const ORDERED: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
const OF_DATES: [&str; 10] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "po"];
const OF_STRINGS: [&str; 5] = ["eq", "ne", "co", "sw", "ew"];
const OF_TOKENS: [&str; 9] = ["eq", "eq", "eq", "ne", "ss", "sb", "in", "in", "ni"];

/// A condition, and the code of its parameter.
struct Condition {
    code: String,
    text: String,
}

impl Generator<'_> {
    /// A filter that mostly finds the resource.
    pub fn filter(&mut self, number: usize) -> Option<Pair> {
        let first = self.condition(number)?;
        let filter = match self.random.below(7) {
            0..=2 => first,
            3 => format!("{first} and {}", self.condition(number)?),
            4 => format!("{first} or {}", self.condition_of_another(number)?),
            5 => {
                format!("({first} or {}) and {}", self.condition_of_another(number)?, self.condition(number)?)
            }
            _ => format!("not ({}) or {first}", self.condition(number)?),
        };
        Some(("_filter".to_owned(), filter))
    }

    fn condition_of_another(&mut self, number: usize) -> Option<String> {
        let other = self.resource_of(self.type_of(number))?;
        self.condition(other)
    }

    fn condition(&mut self, number: usize) -> Option<String> {
        if self.random.chance(25)
            && let Some(linked) = self.linked(number)
        {
            return Some(linked);
        }
        Some(self.own_condition(number)?.text)
    }

    /// A condition on a resource that this one refers to, sometimes with a filter in brackets.
    fn linked(&mut self, number: usize) -> Option<String> {
        let (row, target) = self.link(number)?;
        let end = self.own_condition(target)?;
        if !is_clear(row, &end.code) {
            return None;
        }
        if self.random.chance(40) {
            let inner = self.own_condition(target)?;
            if is_clear(row, &inner.code) {
                return Some(format!("{}[{}].{}", row.code, inner.text, end.text));
            }
        }
        Some(format!("{}.{}", row.code, end.text))
    }

    fn own_condition(&mut self, number: usize) -> Option<Condition> {
        let rows = self.rows(number, is_comparable);
        let row = *self.random.pick(&rows)?;
        if self.random.chance(8) {
            let present = self.random.chance(80).to_string();
            return Some(Condition { code: row.code.clone(), text: format!("{} pr {present}", row.code) });
        }
        let found = self.oracle.found(number, row);
        let occurrence = self.random.pick(&found)?;
        let (operator, value) = self.comparison(occurrence)?;
        let value = self.quoted(value);
        Some(Condition { code: row.code.clone(), text: format!("{} {operator} {value}", row.code) })
    }

    fn comparison(&mut self, occurrence: &Occurrence) -> Option<(&'static str, String)> {
        let random = &mut self.random;
        let (operator, value) = match occurrence {
            Occurrence::Number(number) => {
                (random.word(&ORDERED), ordered::number(random, number.low.or(number.high)?))
            }
            Occurrence::Quantity(quantity) => (random.word(&ORDERED), ordered::quantity(random, quantity)?),
            Occurrence::Date(date) => (random.word(&OF_DATES), ordered::date(random, *date)?),
            Occurrence::Text(parts) => {
                let text = random.pick(parts)?.text.as_str();
                let operator = random.word(&OF_STRINGS);
                let value = match operator {
                    "co" => text::middle(random, text)?,
                    "sw" => text::beginning(random, text)?,
                    "ew" => text::ending(random, text)?,
                    _ => text::whole(text)?,
                };
                return is_plain(&value).then_some((operator, value));
            }
            Occurrence::Token(token) => {
                let operator = random.word(&OF_TOKENS);
                let value = match operator {
                    "ss" | "sb" => self.kin(token, operator == "ss")?,
                    "in" | "ni" => self.set_with(token)?,
                    _ => coded::plain_token(random, token)?,
                };
                (operator, value)
            }
            Occurrence::Reference(pointer) => match (&pointer.local, &pointer.url) {
                (Some(key), _) => ("re", key.to_string()),
                (None, Some(url)) => ("re", url.clone()),
                (None, None) => return None,
            },
            Occurrence::Uri(uri) => (random.word(&["eq", "eq", "ne"]), uri.clone()),
            Occurrence::Composite(_) | Occurrence::Position(_) => return None,
        };
        // The standard does not say how escapes are read inside a filter, so such values are not used.
        (!value.contains('\\')).then_some((operator, value))
    }

    /// The value as a JSON string, if it must be quoted or at random.
    fn quoted(&mut self, value: String) -> String {
        let must = value.contains(|letter: char| letter.is_whitespace() || "\"()[]".contains(letter));
        if must || self.random.chance(30) { serde_json::to_string(&value).unwrap() } else { value }
    }
}

fn is_comparable(row: &SearchParamRow) -> bool {
    !matches!(row.kind, ParamType::Composite | ParamType::Special) && !is_phonetic(row)
}

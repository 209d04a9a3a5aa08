//! One search parameter of one type with its modifier and value.
use chartward::definitions::{ParamType, SearchParamRow};

use super::corpus::{Oracle, Set, param, resource_type};
use super::date::AskedDate;
use super::escape::{split, unescape};
use super::extract::component_row;
use super::fold::fold;
use super::hierarchy::AskedKin;
use super::near::AskedPlace;
use super::number::AskedNumber;
use super::occurrence::{Occurrence, Pointer, Token};
use super::quantity::AskedQuantity;
use super::reference::AskedReference;
use super::text::{AskedText, Manner, is_above};
use super::token::{AskedIdentifier, AskedToken};
use super::words::AskedWords;

/// Whether one value of a resource matches.
pub type Test<'o> = Box<dyn Fn(&Occurrence) -> bool + 'o>;

pub fn boxed<'o>(test: impl Fn(&Occurrence) -> bool + 'o) -> Test<'o> {
    Box::new(test)
}

fn on_token<'o>(test: impl Fn(&Token) -> bool + 'o) -> Test<'o> {
    boxed(move |found| matches!(found, Occurrence::Token(token) if test(token)))
}

fn on_pointer<'o>(test: impl Fn(&Pointer) -> bool + 'o) -> Test<'o> {
    boxed(move |found| matches!(found, Occurrence::Reference(pointer) if test(pointer)))
}

pub fn on_text<'o>(asked: AskedText) -> Test<'o> {
    boxed(move |found| matches!(found, Occurrence::Text(parts) if asked.finds(parts)))
}

fn on_uri<'o>(test: impl Fn(&str) -> bool + 'o) -> Test<'o> {
    boxed(move |found| matches!(found, Occurrence::Uri(uri) if test(uri)))
}

/// Parses `true` or `false`.
pub fn truth(text: &str) -> Result<bool, String> {
    text.parse::<bool>().map_err(|_| format!("`{text}` is neither true nor false"))
}

/// The alternatives of a value, still escaped.
fn alternatives(value: &str) -> Vec<String> {
    split(value, ',').into_iter().filter(|part| !part.is_empty()).collect()
}

/// Whether the parameter compares names by sound.
pub fn is_phonetic(row: &SearchParamRow) -> bool {
    row.usage.as_deref() == Some("phonetic")
}

impl Oracle {
    /// The resources of a type that a parameter finds; `modifier` is empty for none.
    pub fn condition(
        &self,
        type_name: &'static str,
        code: &str,
        modifier: &str,
        value: &str,
    ) -> Result<Set, String> {
        match (code, modifier) {
            ("_text" | "_content", _) => return self.worded(type_name, code, modifier, value),
            ("_list", "") => return Ok(self.on_lists(type_name, value)),
            ("_filter", "") => return self.filter(type_name, value),
            _ => {}
        }
        let row = param(type_name, code)?;
        if modifier == "missing" {
            let missing = truth(value)?;
            return Ok(self.keep(type_name, row, |found| found.is_empty() == missing));
        }
        let tests: Vec<Test<'_>> = alternatives(value)
            .iter()
            .map(|text| self.test(row, modifier, text))
            .collect::<Result<_, String>>()?;
        if row.kind == ParamType::String && modifier.is_empty() && !is_phonetic(row) {
            return Ok(self.texts(type_name, row, value));
        }
        let negated = matches!(modifier, "not" | "not-in");
        Ok(self.keep(type_name, row, |found| {
            found.iter().any(|occurrence| tests.iter().any(|test| test(occurrence))) != negated
        }))
    }

    /// The resources with a text that begins with the value, or with a text for each of its words.
    fn texts(&self, type_name: &'static str, row: &'static SearchParamRow, value: &str) -> Set {
        let each_word = |text: &String| -> Vec<AskedText> {
            let asked = fold(&unescape(text));
            asked.split(' ').map(|word| AskedText::new(Manner::Begins, word)).collect()
        };
        let whole: Vec<AskedText> =
            alternatives(value).iter().map(|text| AskedText::new(Manner::Begins, &unescape(text))).collect();
        let words: Vec<Vec<AskedText>> = alternatives(value).iter().map(each_word).collect();
        self.keep(type_name, row, |found| {
            let has = |asked: &AskedText| {
                found.iter().any(|one| matches!(one, Occurrence::Text(parts) if asked.finds(parts)))
            };
            whole.iter().any(has) || words.iter().any(|words| words.iter().all(has))
        })
    }

    /// The resources of a type whose values of a parameter pass.
    pub fn keep(
        &self,
        type_name: &'static str,
        row: &'static SearchParamRow,
        passes: impl Fn(&[Occurrence]) -> bool,
    ) -> Set {
        let column = self.column(type_name, row);
        column.iter().filter(|(_, found)| passes(found)).map(|(number, _)| *number).collect()
    }

    fn on_lists(&self, type_name: &str, value: &str) -> Set {
        let listed: Set = alternatives(value).iter().flat_map(|id| self.listed(&unescape(id))).collect();
        self.all(type_name).iter().copied().filter(|number| listed.contains(number)).collect()
    }

    fn worded(&self, type_name: &str, code: &str, modifier: &str, value: &str) -> Result<Set, String> {
        param(type_name, code)?;
        let texts = |number: usize| {
            let texts = self.resources[number].texts();
            if code == "_text" { &texts.narrative } else { &texts.all }
        };
        let all = self.all_and_contained(type_name);
        match modifier {
            "" => {
                let asked = alternatives(value)
                    .iter()
                    .map(|text| AskedWords::parse(&unescape(text)))
                    .collect::<Result<Vec<AskedWords>, String>>()?;
                Ok(all.filter(|number| asked.iter().any(|asked| asked.finds(texts(*number)))).collect())
            }
            "missing" => {
                let missing = truth(value)?;
                Ok(all.filter(|number| texts(*number).is_empty() == missing).collect())
            }
            _ => Err(format!("`{code}` has no modifier `{modifier}`")),
        }
    }

    /// The test for one alternative, which is still escaped.
    pub fn test(&self, row: &'static SearchParamRow, modifier: &str, text: &str) -> Result<Test<'_>, String> {
        match (row.kind, modifier) {
            (ParamType::Number, "") => {
                let asked = AskedNumber::parse(&unescape(text))?;
                Ok(boxed(move |found| matches!(found, Occurrence::Number(number) if asked.finds(number))))
            }
            (ParamType::Quantity, "") => {
                let asked = AskedQuantity::parse(text)?;
                Ok(boxed(
                    move |found| matches!(found, Occurrence::Quantity(quantity) if asked.finds(quantity)),
                ))
            }
            (ParamType::Date, "") => {
                let asked = AskedDate::parse(&unescape(text), self.now)?;
                Ok(boxed(move |found| matches!(found, Occurrence::Date(date) if asked.finds(*date))))
            }
            (ParamType::Special, "") => {
                let asked = AskedPlace::parse(&unescape(text))?;
                Ok(boxed(move |found| matches!(found, Occurrence::Position(place) if asked.finds(*place))))
            }
            (ParamType::String, _) => string_test(row, modifier, text),
            (ParamType::Uri, _) => uri_test(row, modifier, text),
            (ParamType::Token, _) => self.token_test(row, modifier, text),
            (ParamType::Reference, _) => self.reference_test(row, modifier, text),
            (ParamType::Composite, "") => self.composite_test(row, text),
            _ => Err(no_modifier(row, modifier)),
        }
    }

    fn token_test(&self, row: &SearchParamRow, modifier: &str, text: &str) -> Result<Test<'_>, String> {
        Ok(match modifier {
            "" | "not" => {
                let asked = AskedToken::parse(text)?;
                on_token(move |token| asked.finds(token))
            }
            "text" => {
                let asked = AskedText::new(Manner::Starts, &unescape(text));
                on_token(move |token| asked.finds(&token.texts))
            }
            "in" | "not-in" => {
                let members = self.members(&unescape(text))?;
                on_token(move |token| members.finds(token))
            }
            "below" | "above" => {
                let asked = AskedKin::parse(self, text, modifier == "below")?;
                on_token(move |token| asked.finds(token))
            }
            "of-type" => {
                let asked = AskedIdentifier::parse(text)?;
                on_token(move |token| asked.finds(token))
            }
            _ => return Err(no_modifier(row, modifier)),
        })
    }

    fn reference_test(
        &self,
        row: &'static SearchParamRow,
        modifier: &str,
        text: &str,
    ) -> Result<Test<'_>, String> {
        Ok(match modifier {
            "" => {
                let asked = AskedReference::new(text, None);
                on_pointer(move |pointer| asked.finds(pointer))
            }
            "identifier" => {
                let asked = AskedToken::parse(text)?;
                on_pointer(move |pointer| pointer.identifier.as_ref().is_some_and(|token| asked.finds(token)))
            }
            "below" | "above" => {
                let family = self.family(row, text, modifier == "below")?;
                on_pointer(move |pointer| pointer.local.as_ref().is_some_and(|key| family.contains(key)))
            }
            _ => {
                let wanted = resource_type(modifier).map_err(|_| no_modifier(row, modifier))?;
                let asked = AskedReference::new(text, Some(wanted));
                on_pointer(move |pointer| asked.finds(pointer))
            }
        })
    }

    /// All components must match in the same occurrence.
    fn composite_test(&self, row: &SearchParamRow, text: &str) -> Result<Test<'_>, String> {
        let parts = split(text, '$');
        if parts.len() != row.components.len() {
            return Err(format!("`{}` takes {} parts", row.code, row.components.len()));
        }
        let tests: Vec<Test<'_>> = row
            .components
            .iter()
            .zip(&parts)
            .map(|(component, part)| self.test(component_row(&component.definition), "", part))
            .collect::<Result<_, String>>()?;
        Ok(boxed(move |found| match found {
            Occurrence::Composite(values) => {
                tests.iter().zip(values).all(|(test, values)| values.iter().any(test))
            }
            _ => false,
        }))
    }
}

fn no_modifier(row: &SearchParamRow, modifier: &str) -> String {
    format!("`{}` has no modifier `{modifier}`", row.code)
}

fn string_test<'o>(row: &SearchParamRow, modifier: &str, text: &str) -> Result<Test<'o>, String> {
    let manner = match modifier {
        "" if is_phonetic(row) => Manner::Sound,
        "" => Manner::Begins,
        "contains" if !is_phonetic(row) => Manner::Contains,
        "exact" if !is_phonetic(row) => Manner::Exact,
        _ => return Err(no_modifier(row, modifier)),
    };
    Ok(on_text(AskedText::new(manner, &unescape(text))))
}

fn uri_test<'o>(row: &SearchParamRow, modifier: &str, text: &str) -> Result<Test<'o>, String> {
    let asked = unescape(text);
    if !modifier.is_empty() && text.to_ascii_lowercase().starts_with("urn:") {
        return Err(format!("`{text}` is no URL"));
    }
    Ok(match modifier {
        "" => on_uri(move |uri| uri == asked),
        "below" => on_uri(move |uri| uri.starts_with(&asked)),
        "above" => on_uri(move |uri| is_above(uri, &asked)),
        _ => return Err(no_modifier(row, modifier)),
    })
}

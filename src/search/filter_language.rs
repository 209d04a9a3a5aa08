//! The language of `_filter` (R4 search_filter.html): comparisons of parameters, joined by `and`, `or` and `not`.
use std::sync::Arc;

use crate::definitions::{ParamType, TypeDef};

use super::entry::Form;
use super::filter::{Filter, Link, Lookup, TextMatch, Way, text_filter};
use super::fold::fold;
use super::invalid_value::InvalidValue;
use super::param::{ValueContext, date_span};
use super::params::Param;
use super::query::{Reading, chain_targets, id_of, last_updated};

/// Filters that nest parentheses and brackets deeper than this are refused.
const DEPTH_MAX: usize = 16;
/// Filters with more comparisons are refused: each adds a level to the filter tree, which is walked recursively.
const TERMS_MAX: usize = 200;

/// Parses a `_filter` value for a search on a type.
///
/// # Errors
/// A message that says what is wrong with the value.
pub(super) fn filter_language(
    reading: &Reading<'_>,
    def: &'static TypeDef,
    text: &str,
) -> Result<Filter, InvalidValue> {
    let mut parser = Parser { reading, tokens: tokens(text)?, at: 0, terms: 0 };
    let filter = parser.logical(def, 0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(filter),
        Some(token) => Err(format!("`{}` is not expected there", token.text()).into()),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// One of `( ) [ ] .`.
    Mark(char),
    Word(String),
    Quoted(String),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Self::Mark(mark) => mark.to_string(),
            Self::Word(text) | Self::Quoted(text) => text.clone(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, InvalidValue> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '(' | ')' | '[' | ']' => found.push(Token::Mark(letter)),
            // A dot that follows a bracket; any other dot is inside a word.
            '.' => found.push(Token::Mark('.')),
            '"' => {
                let mut inside = String::new();
                loop {
                    match letters.next().ok_or("a quotation mark is not closed")? {
                        '"' => break,
                        '\\' => inside.push(letters.next().ok_or("a quotation mark is not closed")?),
                        letter => inside.push(letter),
                    }
                }
                found.push(Token::Quoted(inside));
            }
            letter => {
                let mut word = String::from(letter);
                while let Some(next) =
                    letters.next_if(|next| !next.is_whitespace() && !"()[]\"".contains(*next))
                {
                    word.push(next);
                }
                found.push(Token::Word(word));
            }
        }
    }
    Ok(found)
}

struct Parser<'r> {
    reading: &'r Reading<'r>,
    tokens: Vec<Token>,
    at: usize,
    terms: usize,
}

impl Parser<'_> {
    fn is_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(found)) if found == word)
    }

    fn is_mark(&self, mark: char) -> bool {
        self.tokens.get(self.at) == Some(&Token::Mark(mark))
    }

    fn expect(&mut self, mark: char) -> Result<(), InvalidValue> {
        if !self.is_mark(mark) {
            return Err(format!("`{mark}` is missing").into());
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, what: &str) -> Result<String, InvalidValue> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else {
            return Err(format!("{what} is missing").into());
        };
        self.at += 1;
        Ok(word.clone())
    }

    /// R4 search_filter.html: `and` and `or` associate from left to right; parentheses override this.
    fn logical(&mut self, def: &'static TypeDef, depth: usize) -> Result<Filter, InvalidValue> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}").into());
        }
        let mut left = self.single(def, depth)?;
        loop {
            if self.is_word("and") {
                self.at += 1;
                left = Filter::All(vec![left, self.single(def, depth)?]);
            } else if self.is_word("or") {
                self.at += 1;
                left = Filter::Any(vec![left, self.single(def, depth)?]);
            } else {
                return Ok(left);
            }
        }
    }

    fn single(&mut self, def: &'static TypeDef, depth: usize) -> Result<Filter, InvalidValue> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}").into());
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(format!("it has more than {TERMS_MAX} comparisons").into());
        }
        if self.is_word("not") {
            self.at += 1;
            return Ok(Filter::Not(Box::new(self.single(def, depth + 1)?)));
        }
        if self.is_mark('(') {
            self.at += 1;
            let inside = self.logical(def, depth + 1)?;
            self.expect(')')?;
            return Ok(inside);
        }
        let path = self.word("the name of a parameter")?;
        self.path(def, &path, depth)
    }

    /// `param`, `param.rest`, `param:Type.rest` or `param[filter].rest`, then the comparison.
    fn path(&mut self, def: &'static TypeDef, path: &str, depth: usize) -> Result<Filter, InvalidValue> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}").into());
        }
        let (head, rest) = match path.split_once('.') {
            Some((head, rest)) => (head, Some(rest.to_owned())),
            None => (path, None),
        };
        let (code, named) = head.split_once(':').map_or((head, None), |(code, named)| (code, Some(named)));
        let find = |code: &str| self.reading.find(def, code);
        let Some(param) = find(code) else {
            return match (rest, code) {
                (None, "_id") => self.compare_id(),
                (None, "_lastUpdated") => self.compare_time(),
                _ => Err(self.reading.unknown(def, code).into()),
            };
        };
        let has_bracket = rest.is_none() && self.is_mark('[');
        if rest.is_none() && !has_bracket {
            return self.compare(def, &param);
        }
        let targets = chain_targets(&param, named)?;
        let start = self.at;
        let mut links = Vec::new();
        let mut refusal = None;
        let mut end = start;
        for target in targets {
            self.at = start;
            match self.link(target, rest.as_deref(), has_bracket, depth + 1) {
                Ok(filter) => {
                    links.push(Link { def: target, filter: Box::new(filter) });
                    end = self.at;
                }
                Err(error) => refusal = Some(error),
            }
        }
        self.at = end;
        match (links.is_empty(), refusal) {
            (true, Some(refusal)) => Err(refusal),
            (true, None) => Err(format!("`{code}` leads nowhere").into()),
            (false, _) => Ok(Filter::Chain(param, links)),
        }
    }

    fn link(
        &mut self,
        target: &'static TypeDef,
        rest: Option<&str>,
        has_bracket: bool,
        depth: usize,
    ) -> Result<Filter, InvalidValue> {
        if !has_bracket {
            return self.path(target, rest.unwrap_or_default(), depth);
        }
        self.expect('[')?;
        let inside = self.logical(target, depth)?;
        self.expect(']')?;
        self.expect('.')?;
        let rest = self.word("the name of a parameter")?;
        Ok(Filter::all(vec![inside, self.path(target, &rest, depth)?]))
    }

    fn operator_and_value(&mut self) -> Result<(String, String), InvalidValue> {
        let operator = self.word("a comparison")?;
        let value = match self.tokens.get(self.at) {
            // R4 search_filter.html: a quoted value may hold spaces and brackets and otherwise means the same.
            Some(Token::Word(text) | Token::Quoted(text)) => text.clone(),
            _ => return Err(format!("a value after `{operator}` is missing").into()),
        };
        self.at += 1;
        Ok((operator, value))
    }

    fn compare_id(&mut self) -> Result<Filter, InvalidValue> {
        let (operator, value) = self.operator_and_value()?;
        let ids = id_of(&value).into_iter().collect();
        match operator.as_str() {
            "eq" => Ok(Filter::Id(ids)),
            "ne" => Ok(Filter::Not(Box::new(Filter::Id(ids)))),
            "pr" => always(&value),
            _ => Err(not_served(&operator, "_id")),
        }
    }

    fn compare_time(&mut self) -> Result<Filter, InvalidValue> {
        let (operator, value) = self.operator_and_value()?;
        match operator.as_str() {
            "pr" => always(&value),
            "po" => last_updated(&value, self.reading.asking.now),
            "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap" => {
                last_updated(&format!("{operator}{}", value), self.reading.asking.now)
            }
            _ => Err(not_served(&operator, "_lastUpdated")),
        }
    }

    fn compare(&mut self, def: &'static TypeDef, param: &Arc<Param>) -> Result<Filter, InvalidValue> {
        let (operator, value) = self.operator_and_value()?;
        let operator = operator.as_str();
        if operator == "pr" {
            return match value.as_str() {
                "true" => Ok(Filter::present(param.id)),
                "false" => Ok(Filter::Not(Box::new(Filter::present(param.id)))),
                _ => Err("`pr` takes true or false".into()),
            };
        }
        let asking = self.reading.asking;
        match param.kind {
            ParamType::String | ParamType::Uri => by_text(param, operator, &value),
            ParamType::Token => by_token(param, operator, &value, asking),
            ParamType::Reference => match operator {
                "eq" | "re" => plain(param, &value, asking),
                "ne" => Ok(plain(param, &value, asking)?.negated_if(true)),
                _ => Err(not_served(operator, &param.code)),
            },
            ParamType::Date if operator == "po" => {
                let asked = date_span(&value)?;
                Ok(Filter::overlapping(param, asked))
            }
            ParamType::Date | ParamType::Number | ParamType::Quantity => {
                by_order(param, operator, &value, asking)
            }
            ParamType::Composite => match operator {
                "eq" => plain(param, &value, asking),
                "ne" => Ok(plain(param, &value, asking)?.negated_if(true)),
                _ => Err(not_served(operator, &param.code)),
            },
            ParamType::Special => {
                Err(format!("`{}` of {} cannot be compared in a filter", param.code, def.name).into())
            }
        }
    }
}

/// `pr` on an element that every resource has.
fn always(value: &str) -> Result<Filter, InvalidValue> {
    match value {
        "true" => Ok(Filter::All(Vec::new())),
        "false" => Ok(Filter::never()),
        _ => Err("`pr` takes true or false".into()),
    }
}

fn not_served(operator: &str, code: &str) -> InvalidValue {
    format!("`{operator}` is not served for `{code}`").into()
}

fn plain(param: &Arc<Param>, value: &str, asking: ValueContext<'_>) -> Result<Filter, InvalidValue> {
    super::filter::term(param, None, &[value.to_owned()], asking)
}

fn by_text(param: &Arc<Param>, operator: &str, value: &str) -> Result<Filter, InvalidValue> {
    let how = match operator {
        "eq" | "ne" => TextMatch::Whole,
        "co" => TextMatch::Holds,
        "sw" => TextMatch::Begins,
        "ew" => TextMatch::Ends,
        _ => return Err(not_served(operator, &param.code)),
    };
    let text = if param.kind == ParamType::String { fold(value) } else { value.to_owned() };
    Ok(text_filter(param, Form::Value, how, &text).negated_if(operator == "ne"))
}

fn by_token(
    param: &Arc<Param>,
    operator: &str,
    value: &str,
    asking: ValueContext<'_>,
) -> Result<Filter, InvalidValue> {
    let lookup = |lookup| Filter::Lookup(lookup);
    Ok(match operator {
        "eq" => plain(param, value, asking)?,
        "ne" => plain(param, value, asking)?.negated_if(true),
        // R4 search_filter.html#ops: `ss` matches the value and narrower ones, `sb` the value and broader ones.
        "ss" => lookup(Lookup::Hierarchy(param.clone(), Way::Below, value.to_owned())),
        "sb" => lookup(Lookup::Hierarchy(param.clone(), Way::Above, value.to_owned())),
        "in" => lookup(Lookup::InValueSet(param.clone(), value.to_owned())),
        "ni" => lookup(Lookup::InValueSet(param.clone(), value.to_owned())).negated_if(true),
        _ => return Err(not_served(operator, &param.code)),
    })
}

fn by_order(
    param: &Arc<Param>,
    operator: &str,
    value: &str,
    asking: ValueContext<'_>,
) -> Result<Filter, InvalidValue> {
    match operator {
        "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap" => {
            plain(param, &format!("{operator}{}", value), asking)
        }
        _ => Err(not_served(operator, &param.code)),
    }
}

//! The language of `_text` and `_content`: words, `word*`, `"words in a row"`, AND, OR, NOT and parentheses.
use std::sync::Arc;

use super::filter::Filter;
use super::invalid_value::InvalidValue;
use super::param::words;
use super::params::Param;
use super::whole_text::TextCheck;

/// Values whose parentheses nest deeper than this are refused.
const DEPTH_MAX: usize = 16;

/// Parses a value of `_text` or `_content` into a filter.
///
/// # Errors
/// A message that says what is wrong with the value.
pub(super) fn word_query(param: &Arc<Param>, text: &str) -> Result<Filter, InvalidValue> {
    let mut reader = Reader { param, tokens: tokens(text)?, at: 0 };
    let filter = reader.alternatives(0)?;
    if reader.at < reader.tokens.len() {
        return Err("a parenthesis is closed that was not opened".into());
    }
    Ok(filter)
}

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Or,
    And,
    Not,
    Words(String),
    Phrase(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, InvalidValue> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let take = |len: usize| (rest.get(..len).unwrap_or_default(), rest.get(len..).unwrap_or_default());
        match first {
            '(' | ')' => {
                found.push(if first == '(' { Token::Open } else { Token::Close });
                rest = take(1).1;
            }
            '"' => {
                let inside = take(1).1;
                let end = inside.find('"').ok_or("a quotation mark is not closed")?;
                found.push(Token::Phrase(inside.get(..end).unwrap_or_default().to_owned()));
                rest = inside.get(end + 1..).unwrap_or_default();
            }
            _ => {
                let end = rest.find(|letter: char| letter.is_whitespace() || "()\"".contains(letter));
                let (word, after) = take(end.unwrap_or(rest.len()));
                found.push(match word {
                    "AND" => Token::And,
                    "OR" => Token::Or,
                    "NOT" => Token::Not,
                    word => Token::Words(word.to_owned()),
                });
                rest = after;
            }
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

struct Reader<'p> {
    param: &'p Arc<Param>,
    tokens: Vec<Token>,
    at: usize,
}

impl Reader<'_> {
    fn is_next(&self, token: &Token) -> bool {
        self.tokens.get(self.at) == Some(token)
    }

    fn alternatives(&mut self, depth: usize) -> Result<Filter, InvalidValue> {
        if depth > DEPTH_MAX {
            return Err(format!("parentheses are nested deeper than {DEPTH_MAX}").into());
        }
        let mut all = vec![self.conjunction(depth)?];
        while self.is_next(&Token::Or) {
            self.at += 1;
            all.push(self.conjunction(depth)?);
        }
        Ok(Filter::any(all))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Filter, InvalidValue> {
        let mut all = Vec::new();
        while self.at < self.tokens.len() && !self.is_next(&Token::Or) && !self.is_next(&Token::Close) {
            if self.is_next(&Token::And) {
                self.at += 1;
                continue;
            }
            all.push(self.term(depth)?);
        }
        if all.is_empty() { Err("a word is missing".into()) } else { Ok(Filter::all(all)) }
    }

    fn term(&mut self, depth: usize) -> Result<Filter, InvalidValue> {
        if depth > DEPTH_MAX {
            return Err(format!("words are nested deeper than {DEPTH_MAX}").into());
        }
        let param = self.param;
        let token = self.tokens.get(self.at).ok_or("a word is missing")?;
        self.at += 1;
        Ok(match token {
            Token::Not => Filter::Not(Box::new(self.term(depth + 1)?)),
            Token::Open => {
                let inside = self.alternatives(depth + 1)?;
                if !self.is_next(&Token::Close) {
                    return Err("a parenthesis is not closed".into());
                }
                self.at += 1;
                inside
            }
            Token::Words(text) => {
                let is_beginning = text.ends_with('*');
                let parts = some_words(text)?;
                let last = parts.len().saturating_sub(1);
                let word = |(number, part): (usize, &String)| {
                    Filter::word(param, part, is_beginning && number == last)
                };
                Filter::all((0..).zip(&parts).map(word).collect())
            }
            Token::Phrase(text) => {
                let parts = some_words(text)?;
                let mut all: Vec<Filter> =
                    parts.iter().map(|part| Filter::word(param, part, false)).collect();
                if parts.len() > 1 {
                    all.push(Filter::Text(param.clone(), TextCheck::Phrase(parts)));
                }
                Filter::all(all)
            }
            Token::Or | Token::And | Token::Close => return Err("a word is missing".into()),
        })
    }
}

fn some_words(text: &str) -> Result<Vec<String>, InvalidValue> {
    let found = words(text);
    if found.is_empty() { Err(format!("`{text}` has no word").into()) } else { Ok(found) }
}

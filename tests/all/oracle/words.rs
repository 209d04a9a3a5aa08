//! `_text` and `_content`: the words of the narrative, or of all texts of a resource.
use chartward::definitions::Kind;
use chartward::fhirpath::Element;
use chartward::model::Node;

use super::fold::words;

/// The words of a resource, text by text.
pub struct Texts {
    pub narrative: Vec<Vec<String>>,
    pub all: Vec<Vec<String>>,
}

impl Texts {
    pub fn of(resource: Element<'_>) -> Self {
        let div = resource.node.and_then(|node| node.get("text")).and_then(|text| text.str_at("div"));
        let mut narrative: Vec<Vec<String>> = div.map(|div| words(&without_tags(div))).into_iter().collect();
        narrative.retain(|words| !words.is_empty());
        let mut all = Vec::new();
        collect(resource, &mut all);
        all.retain(|words| !words.is_empty());
        Self { narrative, all }
    }
}

fn collect(element: Element<'_>, found: &mut Vec<Vec<String>>) {
    if element.def.kind == Kind::Primitive
        && let Some(text) = element.node.and_then(Node::as_str)
    {
        match &*element.def.name {
            "string" if element.node.is_some_and(|node| node.key() == "reference") => {}
            "string" | "markdown" | "code" => found.push(words(text)),
            "xhtml" => found.push(words(&without_tags(text))),
            _ => {}
        }
    }
    let mut children = Vec::new();
    element.children(&mut children);
    for child in children {
        collect(child, found);
    }
}

/// The text of XHTML; a tag separates words.
fn without_tags(xhtml: &str) -> String {
    let mut text = String::new();
    let mut rest = xhtml;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let end = if tag.starts_with("!--") { "-->" } else { ">" };
        rest = tag.split_once(end).map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    with_entities(&text)
}

fn with_entities(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(name, after)| Some((entity(name)?, after))) {
            Some((letter, after)) => {
                plain.push(letter);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse::<u32>().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// The condition of `_text` or `_content`.
pub enum AskedWords {
    Word(String),
    Beginning(String),
    /// These words in sequence in one text.
    Row(Vec<String>),
    Not(Box<AskedWords>),
    All(Vec<AskedWords>),
    Any(Vec<AskedWords>),
}

impl AskedWords {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { lexemes: lexemes(text), at: 0 };
        let asked = parser.any()?;
        if parser.peek().is_some() { Err(format!("`{text}` goes on where it should end")) } else { Ok(asked) }
    }

    pub fn finds(&self, texts: &[Vec<String>]) -> bool {
        let mut all_words = texts.iter().flatten();
        match self {
            Self::Word(word) => all_words.any(|found| found == word),
            Self::Beginning(start) => all_words.any(|found| found.starts_with(start.as_str())),
            Self::Row(row) => {
                texts.iter().any(|text| text.windows(row.len()).any(|window| window == row.as_slice()))
            }
            Self::Not(of) => !of.finds(texts),
            Self::All(parts) => parts.iter().all(|part| part.finds(texts)),
            Self::Any(parts) => parts.iter().any(|part| part.finds(texts)),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Lexeme {
    Open,
    Close,
    Quoted(String),
    Bare(String),
}

fn lexemes(text: &str) -> Vec<Lexeme> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (lexeme, after) = match first {
            '(' => (Lexeme::Open, &rest[1..]),
            ')' => (Lexeme::Close, &rest[1..]),
            '"' => {
                let (quoted, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
                (Lexeme::Quoted(quoted.to_owned()), after)
            }
            _ => {
                let ends = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | '"');
                let (bare, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                (Lexeme::Bare(bare.to_owned()), after)
            }
        };
        found.push(lexeme);
        rest = after.trim_start();
    }
    found
}

struct Parser {
    lexemes: Vec<Lexeme>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Lexeme> {
        self.lexemes.get(self.at)
    }

    /// Skips the word, if it is the next one.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Lexeme::Bare(next)) if next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Result<AskedWords, String> {
        let mut parts = vec![self.all()?];
        while self.takes("OR") {
            parts.push(self.all()?);
        }
        Ok(AskedWords::Any(parts))
    }

    fn all(&mut self) -> Result<AskedWords, String> {
        let mut parts = vec![self.one()?];
        loop {
            let said = self.takes("AND");
            let ends = match self.peek() {
                None | Some(Lexeme::Close) => true,
                Some(Lexeme::Bare(word)) => word == "OR",
                Some(_) => false,
            };
            if ends && !said {
                return Ok(AskedWords::All(parts));
            }
            parts.push(self.one()?);
        }
    }

    fn one(&mut self) -> Result<AskedWords, String> {
        if self.takes("NOT") {
            return Ok(AskedWords::Not(Box::new(self.one()?)));
        }
        let Some(lexeme) = self.peek().cloned() else { return Err("words are missing".to_owned()) };
        self.at += 1;
        match lexeme {
            Lexeme::Open => {
                let inner = self.any()?;
                if self.peek() != Some(&Lexeme::Close) {
                    return Err("a parenthesis is not closed".to_owned());
                }
                self.at += 1;
                Ok(inner)
            }
            Lexeme::Quoted(text) => match words(&text) {
                row if row.is_empty() => Err("a quotation has no words".to_owned()),
                row => Ok(AskedWords::Row(row)),
            },
            Lexeme::Bare(word) if word != "OR" && word != "AND" => Ok(term(&word)),
            Lexeme::Bare(_) | Lexeme::Close => Err("words are missing".to_owned()),
        }
    }
}

/// One bare term: it is split into words like texts, and a star at its end applies to its last word.
fn term(text: &str) -> AskedWords {
    let mut parts: Vec<AskedWords> = words(text).into_iter().map(AskedWords::Word).collect();
    if text.ends_with('*')
        && let Some(AskedWords::Word(last)) = parts.pop()
    {
        parts.push(AskedWords::Beginning(last));
    }
    AskedWords::All(parts)
}

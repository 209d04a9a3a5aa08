//! Splits the text of an expression into tokens.

/// A token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Identifier(String),
    /// An identifier in backticks, which is never a keyword.
    Delimited(String),
    /// `$this`, `$index`, `$total` without the dollar.
    Special(String),
    String(String),
    Number(String),
    /// `@2012-01` without the at sign; times keep their `T`.
    Temporal(String),
    External(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 24] = [
    "<=", ">=", "!=", "!~", "=", "~", "<", ">", "+", "-", "*", "/", "|", "&", "(", ")", "[", "]", "{", "}",
    ".", ",", ";", "?",
];

/// Splits an expression into tokens, each with the byte offset at which it begins.
///
/// # Errors
/// The byte offset at which no token begins, and the reason.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_space()?;
        let at = lexer.at;
        match lexer.token()? {
            Some(token) => found.push((at, token)),
            None => return Ok(found),
        }
    }
}

struct Lexer<'e> {
    text: &'e str,
    at: usize,
}

impl<'e> Lexer<'e> {
    fn rest(&self) -> &'e str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) -> Result<(), (usize, String)> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let Some(end) = trimmed.find("*/") else {
                    return Err((self.at, "a comment is not closed".to_owned()));
                };
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn take(&mut self, len: usize) -> &'e str {
        let taken = self.rest().get(..len).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'e str {
        let rest = self.rest();
        self.take(rest.find(|letter| !keep(letter)).unwrap_or(rest.len()))
    }

    fn token(&mut self) -> Result<Option<Token>, (usize, String)> {
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let token = match first {
            '\'' => Token::String(self.quoted('\'')?),
            '"' => Token::String(self.quoted('"')?),
            '`' => Token::Delimited(self.quoted('`')?),
            '0'..='9' => self.number(),
            '@' => {
                self.at += 1;
                self.temporal()
            }
            '$' => {
                self.at += 1;
                Token::Special(self.take_while(is_letter).to_owned())
            }
            '%' => {
                self.at += 1;
                Token::External(match self.rest().chars().next() {
                    Some(quote @ ('`' | '\'')) => self.quoted(quote)?,
                    _ => self.take_while(|letter| is_letter(letter) || letter == '-').to_owned(),
                })
            }
            letter if is_letter(letter) => Token::Identifier(self.take_while(is_letter).to_owned()),
            _ => {
                let rest = self.rest();
                let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
                let symbol =
                    symbol.ok_or_else(|| (self.at, format!("`{first}` begins nothing of FHIRPath")))?;
                self.at += symbol.len();
                Token::Symbol(symbol)
            }
        };
        Ok(Some(token))
    }

    fn number(&mut self) -> Token {
        let from = self.at;
        self.take_while(|letter| letter.is_ascii_digit());
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
            self.take_while(|letter| letter.is_ascii_digit());
        }
        Token::Number(self.text.get(from..self.at).unwrap_or_default().to_owned())
    }

    /// Digits and separators of a date or time; a `.` belongs to it only before a digit, as a fraction of a second.
    fn temporal(&mut self) -> Token {
        let from = self.at;
        loop {
            self.take_while(|letter| {
                letter.is_ascii_digit() || matches!(letter, '-' | ':' | 'T' | 'Z' | '+')
            });
            let mut after = self.rest().chars();
            if after.next() == Some('.') && after.next().is_some_and(|letter| letter.is_ascii_digit()) {
                self.at += 1;
            } else {
                return Token::Temporal(self.text.get(from..self.at).unwrap_or_default().to_owned());
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, (usize, String)> {
        let start = self.at;
        self.at += quote.len_utf8();
        let mut out = String::new();
        let mut letters = self.rest().char_indices();
        while let Some((offset, letter)) = letters.next() {
            if letter == quote {
                self.at += offset + quote.len_utf8();
                return Ok(out);
            }
            if letter != '\\' {
                out.push(letter);
                continue;
            }
            let bad = || (start, "an escape is not of FHIRPath".to_owned());
            out.push(match letters.next().map(|(_, letter)| letter) {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = letters.by_ref().take(4).map(|(_, letter)| letter).collect();
                    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(bad)?
                }
                Some(letter @ ('\\' | '/' | '\'' | '"' | '`')) => letter,
                _ => return Err(bad()),
            });
        }
        Err((start, "a quoted text is not closed".to_owned()))
    }
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

//! The grammar of `_filter` (R4 search_filter.html).

/// A filter: conditions joined from left to right, without precedence.
pub enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Test { path: Path, operator: String, value: String },
}

/// A parameter; for a chain, a filter on its target and the path from there.
pub struct Path {
    pub code: String,
    pub filter: Option<Box<Filter>>,
    pub rest: Option<Box<Path>>,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, rest: text };
        let filter = parser.filter()?;
        if parser.rest.trim_start().is_empty() { Ok(filter) } else { Err(parser.fault("it goes on")) }
    }
}

struct Parser<'q> {
    text: &'q str,
    rest: &'q str,
}

impl<'q> Parser<'q> {
    fn fault(&self, what: &str) -> String {
        format!("`{}` is no filter: {what} at `{}`", self.text, self.rest)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        self.skip_space();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.fault(&format!("`{mark}` is missing"))),
        }
    }

    /// Takes as many characters as match.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'q str {
        let end = self.rest.find(|letter: char| !fits(letter)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Skips a keyword, if it is the next word.
    fn takes(&mut self, word: &str) -> bool {
        self.skip_space();
        let after = self.rest.strip_prefix(word);
        let after = after.filter(|after| after.starts_with(|next: char| next.is_whitespace() || next == '('));
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn filter(&mut self) -> Result<Filter, String> {
        let mut left = self.operand()?;
        loop {
            left = if self.takes("and") {
                Filter::And(Box::new(left), Box::new(self.operand()?))
            } else if self.takes("or") {
                Filter::Or(Box::new(left), Box::new(self.operand()?))
            } else {
                return Ok(left);
            };
        }
    }

    fn operand(&mut self) -> Result<Filter, String> {
        let negated = self.takes("not");
        self.skip_space();
        if self.rest.starts_with('(') {
            self.expect('(')?;
            let inner = self.filter()?;
            self.expect(')')?;
            return Ok(if negated { Filter::Not(Box::new(inner)) } else { inner });
        }
        if negated { Err(self.fault("`not` takes parentheses")) } else { self.test() }
    }

    fn test(&mut self) -> Result<Filter, String> {
        let path = self.path()?;
        self.skip_space();
        let operator = self.take_while(|letter| letter.is_ascii_lowercase()).to_owned();
        if !self.rest.starts_with(char::is_whitespace) {
            return Err(self.fault("an operator is missing"));
        }
        self.skip_space();
        Ok(Filter::Test { path, operator, value: self.value()? })
    }

    fn path(&mut self) -> Result<Path, String> {
        let code = self.take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
        if code.is_empty() {
            return Err(self.fault("a parameter is missing"));
        }
        let mut path = Path { code: code.to_owned(), filter: None, rest: None };
        if self.rest.starts_with('[') {
            self.expect('[')?;
            path.filter = Some(Box::new(self.filter()?));
            self.expect(']')?;
            self.expect('.')?;
            path.rest = Some(Box::new(self.path()?));
        } else if self.rest.starts_with('.') {
            self.expect('.')?;
            path.rest = Some(Box::new(self.path()?));
        }
        Ok(path)
    }

    fn value(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let token = self.take_while(|letter| !letter.is_whitespace() && !matches!(letter, ')' | ']'));
        if token.is_empty() { Err(self.fault("a value is missing")) } else { Ok(token.to_owned()) }
    }

    /// Parses a JSON string.
    fn quoted(&mut self) -> Result<String, String> {
        let mut is_escaped = false;
        let mut end = None;
        for (at, letter) in self.rest.char_indices().skip(1) {
            match letter {
                '"' if !is_escaped => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => is_escaped = !is_escaped,
                _ => is_escaped = false,
            }
        }
        let (json, rest) = self.rest.split_at(end.ok_or_else(|| self.fault("a string does not end"))?);
        self.rest = rest;
        serde_json::from_str(json).map_err(|error| self.fault(&error.to_string()))
    }
}

//! Builds a syntax tree from tokens: a precedence climbing parser with the operator table of the FHIRPath specification.

use rust_decimal::Decimal;

use crate::model::{Precision, Temporal};

use super::ast::{Expr, Literal, Operator, TypeName, TypeOperator};
use super::lexer::{Token, tokens};

/// The deepest nesting of an expression: parentheses, calls and operators.
const DEPTH_MAX: usize = 64;
/// The greatest height of the syntax tree: `a.b.c` is not nested as text, but its evaluation is.
const HEIGHT_MAX: usize = 128;

/// A syntax error. `offset` is the byte offset of the first text that is no FHIRPath.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct ParseError {
    pub offset: usize,
    pub message: String,
}

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Expr, ParseError> {
    let tokens = tokens(text).map_err(|(offset, message)| ParseError { offset, message })?;
    let mut parser = Parser { tokens, at: 0, len: text.len(), depth: 0, height: 0 };
    let expr = parser.expression(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.fault("the expression goes on where it should end")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    len: usize,
    depth: usize,
    /// The height of the last parsed subtree.
    height: usize,
}

/// The binding power of binary operators; higher binds tighter. `is` and `as` have [`TYPE_POWER`].
fn binary(token: &Token) -> Option<(u8, Operator)> {
    Some(match token {
        Token::Identifier(word) => match word.as_str() {
            "implies" => (1, Operator::Implies),
            "or" => (2, Operator::Or),
            "xor" => (2, Operator::Xor),
            "and" => (3, Operator::And),
            "in" => (4, Operator::In),
            "contains" => (4, Operator::Contains),
            "div" => (10, Operator::Div),
            "mod" => (10, Operator::Mod),
            _ => return None,
        },
        Token::Symbol(symbol) => match *symbol {
            "=" => (5, Operator::Equal),
            "!=" => (5, Operator::NotEqual),
            "~" => (5, Operator::Equivalent),
            "!~" => (5, Operator::NotEquivalent),
            "<" => (6, Operator::Less),
            "<=" => (6, Operator::LessOrEqual),
            ">" => (6, Operator::Greater),
            ">=" => (6, Operator::GreaterOrEqual),
            "|" => (7, Operator::Union),
            "+" => (9, Operator::Plus),
            "-" => (9, Operator::Minus),
            "&" => (9, Operator::Concatenate),
            "*" => (10, Operator::Times),
            "/" => (10, Operator::Divide),
            _ => return None,
        },
        _ => return None,
    })
}

const TYPE_POWER: u8 = 8;
const CALENDAR_UNITS: [&str; 16] = [
    "year",
    "years",
    "month",
    "months",
    "week",
    "weeks",
    "day",
    "days",
    "hour",
    "hours",
    "minute",
    "minutes",
    "second",
    "seconds",
    "millisecond",
    "milliseconds",
];

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn fault(&self, message: &str) -> ParseError {
        let offset = self.tokens.get(self.at).map_or(self.len, |(offset, _)| *offset);
        ParseError { offset, message: message.to_owned() }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(other)) if *other == symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.take(symbol) { Ok(()) } else { Err(self.fault(&format!("expected `{symbol}`"))) }
    }

    /// Adds a node above subtrees, the highest of which has this height.
    fn above(&mut self, height: usize) -> Result<(), ParseError> {
        if height >= HEIGHT_MAX {
            return Err(self.fault("the expression has more than the limit of 128 steps after each other"));
        }
        self.height = height + 1;
        Ok(())
    }

    fn expression(&mut self, power_min: u8) -> Result<Expr, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.fault("the expression nests deeper than the limit of 64 levels"));
        }
        self.depth += 1;
        let mut left = self.unary()?;
        while let Some(token) = self.peek() {
            if let Token::Identifier(word) = token
                && matches!(word.as_str(), "is" | "as")
            {
                if TYPE_POWER < power_min {
                    break;
                }
                let operator = if word == "is" { TypeOperator::Is } else { TypeOperator::As };
                self.at += 1;
                let type_name = self.type_name()?;
                self.above(self.height)?;
                left = Expr::Type { operator, of: Box::new(left), type_name };
                continue;
            }
            let Some((power, operator)) = binary(token) else { break };
            if power < power_min {
                break;
            }
            self.at += 1;
            let left_height = self.height;
            let right = self.expression(power + 1)?;
            self.above(self.height.max(left_height))?;
            left = Expr::Binary { operator, left: Box::new(left), right: Box::new(right) };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        for (symbol, negative) in [("-", true), ("+", false)] {
            if self.take(symbol) {
                let of = Box::new(self.expression(11)?);
                self.above(self.height)?;
                return Ok(Expr::Sign { negative, of });
            }
        }
        let mut expr = self.term()?;
        loop {
            if self.take(".") {
                expr = self.invocation(Some(Box::new(expr)))?;
            } else if self.take("[") {
                let base_height = self.height;
                let index = Box::new(self.expression(0)?);
                self.expect("]")?;
                self.above(self.height.max(base_height))?;
                expr = Expr::Item { base: Box::new(expr), index };
            } else {
                return Ok(expr);
            }
        }
    }

    fn term(&mut self) -> Result<Expr, ParseError> {
        self.height = 0;
        if self.take("(") {
            let expr = self.expression(0)?;
            self.expect(")")?;
            return Ok(expr);
        }
        if self.take("{") {
            self.expect("}")?;
            return Ok(Expr::Empty);
        }
        let Some(token) = self.peek().cloned() else { return Err(self.fault("expected an expression")) };
        let expr = match token {
            Token::String(text) => Expr::Literal(Literal::String(text)),
            Token::External(name) => Expr::External(name),
            Token::Number(digits) => return self.number(&digits),
            Token::Temporal(text) => Expr::Literal(self.temporal(&text)?),
            Token::Identifier(word) if word == "true" || word == "false" => {
                Expr::Literal(Literal::Boolean(word == "true"))
            }
            Token::Identifier(_) | Token::Delimited(_) | Token::Special(_) => return self.invocation(None),
            Token::Symbol(_) => return Err(self.fault("expected an expression")),
        };
        self.at += 1;
        Ok(expr)
    }

    /// A number, or a quantity if a unit follows.
    fn number(&mut self, digits: &str) -> Result<Expr, ParseError> {
        let too_large = self.fault("the number is too large");
        self.at += 1;
        let decimal = || Decimal::from_str_exact(digits).map_err(|_| too_large.clone());
        let unit = match self.peek() {
            Some(Token::String(unit)) => Some(unit.clone()),
            Some(Token::Identifier(word)) if CALENDAR_UNITS.contains(&word.as_str()) => Some(word.clone()),
            _ => None,
        };
        if let Some(unit) = unit {
            self.at += 1;
            return Ok(Expr::Literal(Literal::Quantity(decimal()?, unit)));
        }
        if digits.contains('.') {
            return Ok(Expr::Literal(Literal::Decimal(decimal()?)));
        }
        digits.parse().map(|integer| Expr::Literal(Literal::Integer(integer))).map_err(|_| too_large.clone())
    }

    fn temporal(&self, text: &str) -> Result<Literal, ParseError> {
        let literal = match text.strip_prefix('T') {
            Some(time) => Temporal::parse_time(time).map(Literal::Time),
            None if text.contains('T') => partial_date_time(text).map(Literal::DateTime),
            None => Temporal::parse_partial(text).map(Literal::Date),
        };
        literal.ok_or_else(|| self.fault("the date or time does not exist"))
    }

    fn invocation(&mut self, base: Option<Box<Expr>>) -> Result<Expr, ParseError> {
        let Some(token) = self.peek().cloned() else { return Err(self.fault("expected a name")) };
        let name = match token {
            Token::Identifier(name) | Token::Delimited(name) => name,
            Token::Special(name) if base.is_none() => {
                let special = match name.as_str() {
                    "this" => Expr::This,
                    "index" => Expr::Index,
                    "total" => Expr::Total,
                    _ => return Err(self.fault("there is $this, $index and $total")),
                };
                self.at += 1;
                return Ok(special);
            }
            _ => return Err(self.fault("expected a name")),
        };
        self.at += 1;
        let mut highest = if base.is_some() { self.height } else { 0 };
        if !self.take("(") {
            self.above(highest)?;
            return Ok(Expr::Member { base, name });
        }
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(self.expression(0)?);
                highest = highest.max(self.height);
                if self.take(")") {
                    break;
                }
                self.expect(",")?;
            }
        }
        self.above(highest)?;
        Ok(Expr::Call { base, name, arguments })
    }

    fn type_name(&mut self) -> Result<TypeName, ParseError> {
        let first = self.name()?;
        if self.take(".") {
            return Ok(TypeName { namespace: Some(first), name: self.name()? });
        }
        Ok(TypeName { namespace: None, name: first })
    }

    fn name(&mut self) -> Result<String, ParseError> {
        match self.peek().cloned() {
            Some(Token::Identifier(name) | Token::Delimited(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.fault("expected the name of a type")),
        }
    }
}

/// `@2015T` and `@2015-02T` are partial dateTimes, which FHIR's own grammar does not have.
fn partial_date_time(text: &str) -> Option<Temporal> {
    match text.strip_suffix('T') {
        Some(date) => Temporal::parse_partial(date).filter(|date| date.precision <= Precision::Day),
        None => Temporal::parse_partial(text),
    }
}

/// The type that an argument names, as in `ofType(FHIR.Patient)`.
pub(super) fn as_type_name(expr: &Expr) -> Option<TypeName> {
    match expr {
        Expr::Member { base: None, name } => Some(TypeName { namespace: None, name: name.clone() }),
        Expr::Member { base: Some(base), name } => match &**base {
            Expr::Member { base: None, name: namespace } => {
                Some(TypeName { namespace: Some(namespace.clone()), name: name.clone() })
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn faults_say_where() {
        let check = |text: &str, offset: usize| assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
        check("a.", 2);
        check("a b", 2);
        check("(a", 2);
        check("a.where(b", 9);
        check("'a", 0);
        check("@2020-13", 0);
        check("a § b", 2);
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"-".repeat(10_000)).is_err());
    }

    #[test]
    fn chains_are_as_high_as_the_limit() {
        let chained = |link: &str, times: usize| format!("a{}", link.repeat(times));
        for link in [".a", "[0]", ".a()", " + a", " is a", ".a(a)", ".a(a.a)"] {
            assert!(parse(&chained(link, 100)).is_ok(), "{link}");
            let fault = parse(&chained(link, 10_000)).unwrap_err();
            assert!(fault.message.contains("128"), "{link}: {fault}");
        }
        let nested = |inner: &str, times: usize| {
            (0..times).fold("a".to_owned(), |text, _| format!("({text}){}", inner.repeat(50)))
        };
        assert!(parse(&nested(".a", 2)).is_ok());
        assert!(parse(&nested(".a", 3)).is_err());
        // Arguments side by side do not add height.
        assert!(parse(&format!("a({})", vec!["a.a"; 1_000].join(","))).is_ok());
    }
}

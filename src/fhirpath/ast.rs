//! The syntax tree of an expression.
use rust_decimal::Decimal;

use crate::model::Temporal;

/// A value written in the expression itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    String(String),
    Date(Temporal),
    DateTime(Temporal),
    Time(Temporal),
    Quantity(Decimal, String),
}

/// The binary operators, grouped by nothing: precedence is the parser's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Implies,
    Or,
    Xor,
    And,
    In,
    Contains,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Union,
    Plus,
    Minus,
    Concatenate,
    Times,
    Divide,
    Div,
    Mod,
}

/// `is` or `as` with a type name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOperator {
    Is,
    As,
}

/// A type as it is written: `Patient`, `FHIR.Patient`, `System.String`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    pub namespace: Option<String>,
    pub name: String,
}

/// An expression. Where `base` is `None`, the expression starts from what it is evaluated on.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Literal(Literal),
    Empty,
    This,
    Index,
    Total,
    /// `%name`
    External(String),
    Member {
        base: Option<Box<Expr>>,
        name: String,
    },
    Call {
        base: Option<Box<Expr>>,
        name: String,
        arguments: Vec<Expr>,
    },
    Item {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `-x`; a `+x` is checked to be a number and otherwise nothing.
    Sign {
        negative: bool,
        of: Box<Expr>,
    },
    Binary {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Type {
        operator: TypeOperator,
        of: Box<Expr>,
        type_name: TypeName,
    },
}

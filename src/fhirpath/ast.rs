//! The syntax tree of an expression.
use rust_decimal::Decimal;

use crate::model::Temporal;

/// A literal value in an expression.
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

/// The binary operators; the parser knows their precedence.
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

/// A type name as written: `Patient`, `FHIR.Patient`, `System.String`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    pub namespace: Option<String>,
    pub name: String,
}

/// An expression. Without a `base`, it starts from the focus.
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
    /// `-x` or `+x`; a plus only checks that the operand is a number.
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

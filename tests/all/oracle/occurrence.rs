//! One value that a parameter finds in a resource, in the form in which its type compares it.
use chartward::model::{ResourceKey, Span};

use super::near::Position;
use super::number::Stretch;
use super::quantity::Quantity;
use super::text::Written;

#[derive(Clone, Debug)]
pub enum Occurrence {
    Number(Stretch),
    Quantity(Quantity),
    Date(Span),
    /// A plain string is one part, a name or an address has several.
    Text(Vec<Written>),
    Token(Token),
    Reference(Pointer),
    Uri(String),
    /// For each component the values that it has here.
    Composite(Vec<Vec<Occurrence>>),
    Position(Position),
}

/// What a token says of its system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    None,
    /// The element alone decides what its codes mean: it fits any system.
    Implied,
    Named(String),
}

/// A code with its system, and what else tokens are searched by.
#[derive(Clone, Debug)]
pub struct Token {
    pub system: System,
    pub code: Option<String>,
    /// A string, or a way to reach somebody: case does not count.
    pub is_caseless: bool,
    pub texts: Vec<Written>,
    /// The codings of an Identifier's type.
    pub types: Vec<(String, String)>,
}

/// A reference: to a resource here, by a URL, or by an identifier.
#[derive(Clone, Debug)]
pub struct Pointer {
    pub local: Option<ResourceKey>,
    /// The text of a canonical, or of a reference to elsewhere.
    pub url: Option<String>,
    pub identifier: Option<Token>,
    /// The id of what is contained in the same resource.
    pub fragment: Option<String>,
}

//! One value of a parameter in a resource, in the form in which its type is compared.
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
    /// A plain string has one part, a name or an address several.
    Text(Vec<Written>),
    Token(Token),
    Reference(Pointer),
    Uri(String),
    /// The values of each component in this occurrence.
    Composite(Vec<Vec<Occurrence>>),
    Position(Position),
}

/// The system of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    None,
    /// Implied by the element: it matches any system.
    Implied,
    Named(String),
}

/// A code with its system, and the other properties that tokens are searched by.
#[derive(Clone, Debug)]
pub struct Token {
    pub system: System,
    pub code: Option<String>,
    /// Whether it is compared without case: a string, or a ContactPoint.
    pub is_caseless: bool,
    pub texts: Vec<Written>,
    /// The codings of an Identifier's type.
    pub types: Vec<(String, String)>,
}

/// A reference: to a local resource, by URL, or by identifier.
#[derive(Clone, Debug)]
pub struct Pointer {
    pub local: Option<ResourceKey>,
    /// The text of a canonical, or of a reference to another server.
    pub url: Option<String>,
    pub identifier: Option<Token>,
    /// The id of a resource contained in the same one.
    pub fragment: Option<String>,
}

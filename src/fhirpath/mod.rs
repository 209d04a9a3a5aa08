//! FHIRPath, the language of search expressions, patches and invariants (FHIRPath 2.0 with the additions of R4
//! fhirpath.html): lexer, parser and an evaluator with a step limit over the tree of a resource.

mod ast;
mod cost;
mod decimal;
mod element;
mod equality;
mod evaluate;
mod functions;
mod lexer;
mod operators;
mod parser;
mod patch;
mod quantity;
mod value;

pub use ast::{Expr, Literal, Operator, TypeOperator};
pub use cost::{COLLECTION_LEN_MAX, TEXT_BYTES_MAX};
pub use element::Element;
pub use evaluate::{Environment, EvaluationError, Expression, STEPS_MAX};
pub use parser::ParseError;
pub use patch::apply_patch;
pub use quantity::Quantity;
pub use value::{Collection, Value};

/// The base64 text of bytes.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    functions::text::base64(bytes, functions::text::STANDARD)
}

/// The bytes of a text in the alphabet for URLs, with padding or without (RFC 4648 section 5); `None` if it is none.
#[must_use]
pub fn decode_base64_url(text: &str) -> Option<Vec<u8>> {
    functions::text::unbase64(text, functions::text::URL_SAFE)
}

/// The bytes of a base64 text; `None` if it is none.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    functions::text::unbase64(text, functions::text::STANDARD)
}

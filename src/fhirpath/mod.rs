//! FHIRPath, the language of search expressions, patches and invariants (FHIRPath 2.0 with the additions of R4 fhirpath.html):
//! lexer, parser, and an evaluator with a step limit, which works on the tree of a resource.

mod ast;
mod cost;
mod decimal;
mod element;
mod equality;
mod evaluate;
mod evaluator;
mod functions;
mod lexer;
mod operators;
mod parser;
mod patch;
mod quantity;
mod types;
mod value;

pub use ast::{Expr, Literal, Operator, TypeOperator};
pub use cost::{COLLECTION_LEN_MAX, TEXT_BYTES_MAX};
pub use element::Element;
pub use evaluate::Expression;
pub use evaluator::{Environment, EvaluationError, STEPS_MAX};
pub use parser::ParseError;
pub use patch::apply_patch;
pub use quantity::Quantity;
pub use value::{Collection, Value};

//! Validation: structure, cardinality, primitives, bindings, narrative and some invariants, in one pass that collects every
//! finding with its path. It turns an [`Incoming`] into a [`Valid`]; nothing else can.

mod binding;
mod incoming;
mod narrative;
mod path;
mod structure;

pub use incoming::{Incoming, Rules, Valid};

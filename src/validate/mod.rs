//! Is this resource right? Structure, cardinality, primitives, bindings, narrative and invariants, in one pass that
//! collects every finding with its path. Turns an [`Incoming`] into a [`Valid`]; nothing else can.

mod binding;
mod incoming;
mod narrative;
mod path;
mod structure;

pub use incoming::{Incoming, Rules, Valid};

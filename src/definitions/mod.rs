//! The definitions of the standard: the types, search parameters, compartments and value sets of R4 as tables, and the registry
//! that looks them up. This layer depends on no other and does no I/O.

mod embedded;
mod extract;
mod registry;
mod tables;
mod type_rules;

pub use embedded::r4;
pub use extract::{Package, Tables};
pub use registry::{ElementDef, ElementId, Max, Property, Registry, TypeDef, TypeId, ValueSet};
pub use tables::{
    BindingRow, CodeHierarchyRow, CompartmentRow, ComponentRow, ElementRow, ElementTypeRow, InvariantRow,
    Kind, ParamType, SearchParamRow, Strength, TypeRow, ValueSetRow,
};
pub use type_rules::TypeRules;

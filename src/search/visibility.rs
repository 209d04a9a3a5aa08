//! What a search may see, as the store asks for it. The consent floor answers; the store only calls.
use crate::definitions::TypeDef;
use crate::model::Node;

use super::facts::Facts;

/// What may be seen of a type before looking at single resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    All,
    /// It depends on the resource.
    Unknown,
    /// Nothing of it.
    Nothing,
}

/// What is to become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Keep,
    Drop,
    /// Facts do not decide; the resource does.
    NeedResource,
}

/// Decides what a search sees.
pub trait Visibility: Send + Sync {
    fn scope(&self, def: &TypeDef) -> Scope;

    /// Decides by the facts of a row, if they are enough.
    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep;

    /// Decides by the resource itself.
    fn keep_resource(&self, def: &TypeDef, resource: Node<'_>) -> bool;
}

/// Sees everything: for the store's own business, such as its verification.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Visibility for Everything {
    fn scope(&self, _: &TypeDef) -> Scope {
        Scope::All
    }

    fn keep(&self, _: &TypeDef, _: &Facts) -> Keep {
        Keep::Keep
    }

    fn keep_resource(&self, _: &TypeDef, _: Node<'_>) -> bool {
        true
    }
}

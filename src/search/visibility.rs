//! What a search may see. The store asks through this trait; the consent layer implements it.
use crate::definitions::TypeDef;
use crate::model::Node;

use super::facts::Facts;

/// What a search may see of a type, known before single resources are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All resources of the type.
    All,
    /// It depends on the single resource.
    Unknown,
    /// No resource of the type.
    Nothing,
}

/// The decision on one found resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Keep,
    Drop,
    /// The facts do not decide; the resource itself is needed.
    NeedResource,
}

/// Decides what a search sees.
pub trait Visibility: Send + Sync {
    fn scope(&self, def: &TypeDef) -> Scope;

    /// Decides by the facts of a resource, if they suffice.
    fn keep(&self, def: &TypeDef, facts: &Facts) -> Keep;

    /// Decides by the resource itself.
    fn keep_resource(&self, def: &TypeDef, resource: Node<'_>) -> bool;

    /// The decision on all resources of a type that their facts do not set apart ([`Facts::sets_apart`]), whomever they are about;
    /// `None` if it is not known to be the same for all of them.
    fn keeps_all(&self, _: &TypeDef) -> Option<bool> {
        None
    }

    /// The decision on those of them that are about this patient alone, or about no patient; `None` if each must be looked at.
    fn keeps_all_of(&self, _: &TypeDef, _patient: Option<&str>) -> Option<bool> {
        None
    }
}

/// Sees everything: for the store's own work, such as its verification.
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

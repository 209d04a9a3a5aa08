//! What the store derives from every resource: its index entries and facts. Handed to the store by whoever starts it.
use crate::definitions::TypeDef;
use crate::model::Node;
use crate::search::{Facts, entries};
use crate::store::{Derive, Derived};

/// Derives by the search parameters of R4.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchIndex;

impl Derive for SearchIndex {
    fn derive(&self, def: &TypeDef, resource: Node<'_>) -> Derived {
        Derived { entries: entries(resource), facts: Facts::of(def, resource) }
    }
}

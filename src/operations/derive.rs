//! What the store derives from every resource: its index entries and facts. Whoever opens the store passes this in.
use crate::definitions::TypeDef;
use crate::model::Node;
use std::sync::Arc;

use crate::search::{Facts, SearchParams, all_entries};
use crate::store::{Derive, Derived};

/// Derives index entries by these search parameters.
#[derive(Clone, Debug)]
pub struct SearchIndex {
    pub params: Arc<SearchParams>,
}

impl Derive for SearchIndex {
    fn derive(&self, def: &TypeDef, resource: Node<'_>) -> Derived {
        Derived { entries: all_entries(&self.params, resource), facts: Facts::of(def, resource) }
    }
}

//! What the store derives from every resource: its index entries and facts. Whoever opens the store passes this in.
use crate::definitions::TypeDef;
use crate::model::Node;
use std::sync::Arc;

use crate::search::{APART, Entry, Facts, SearchParams, all_entries};
use crate::store::{Derive, Derived};

/// Derives index entries by these search parameters.
#[derive(Clone, Debug)]
pub struct SearchIndex {
    pub params: Arc<SearchParams>,
}

impl Derive for SearchIndex {
    fn derive(&self, def: &TypeDef, resource: Node<'_>) -> Derived {
        let (mut entries, facts) = (all_entries(&self.params, resource), Facts::of(def, resource));
        entries.extend(facts.sets_apart().then(|| Entry::present(APART)));
        Derived { entries, facts }
    }
}

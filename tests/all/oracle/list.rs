//! `_list`: the entries of a List.
use chartward::model::{Reference, ResourceKey};

use super::corpus::{OWN_BASE, Oracle, Set};

impl Oracle {
    /// The resources of a List's entries that are not marked as deleted; none if the List does not exist.
    pub fn listed(&self, id: &str) -> Set {
        let Some(list) = ResourceKey::new("List", id).and_then(|key| self.number(&key)) else {
            return Set::new();
        };
        self.resources[list]
            .root()
            .items_at("entry")
            .filter(|entry| entry.get("deleted").is_none_or(|deleted| deleted.text() != "true"))
            .filter_map(|entry| entry.get("item")?.str_at("reference"))
            .filter_map(|text| self.number(Reference::parse(text).local(OWN_BASE)?))
            .collect()
    }
}

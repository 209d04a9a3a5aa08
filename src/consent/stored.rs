//! Reads stored resources by their references.
use crate::definitions::r4;
use crate::model::{Node, ResourceKey};
use crate::search::plain;
use crate::store::{Repository, StoreError, Stored};

/// The reference in an element of this name, as `Type/id`.
pub(super) fn reference_at(node: Node<'_>, name: &str) -> Option<String> {
    node.get(name).and_then(|reference| reference.str_at("reference")).map(plain)
}

/// The newest version of the target of a reference; `None` if it is absent or deleted.
pub(super) fn load(repository: &Repository<'_>, reference: &str) -> Result<Option<Stored>, StoreError> {
    let Some((type_name, id)) = reference.split_once('/') else { return Ok(None) };
    let Some(key) = ResourceKey::new(type_name, id) else { return Ok(None) };
    let Some(def) = r4().resource(key.type_name) else { return Ok(None) };
    match repository.current(def, &key.id)? {
        Some(current) if !current.deleted => repository.newest(&current).map(Some),
        _ => Ok(None),
    }
}

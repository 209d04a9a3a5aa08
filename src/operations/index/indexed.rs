//! The list of what is completely indexed: for every type the parameters of the standard, and those that were added.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definitions::{TypeDef, r4};
use crate::search::{Param, SearchParams, search_params};
use crate::store::{Snapshot, StoreError, Write, indexed_key};

/// Raised when entries are made in another way, so that what an earlier release has indexed is indexed again.
const INDEX_VERSION: u64 = 7;

/// What is completely indexed, by type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Indexed {
    types: BTreeMap<String, OfType>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OfType {
    /// A hash over the definitions of the standard's parameters.
    standard: u64,
    /// For each added parameter, by code, the hash of its definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    added: BTreeMap<String, u64>,
}

impl OfType {
    /// The entry of a type for which all parameters are indexed.
    fn complete(params: &SearchParams, def: &TypeDef) -> Self {
        let standard = search_params();
        let is_added = |param: &&std::sync::Arc<Param>| standard.find(def, &param.code).is_none();
        let added = params.of(def).iter().filter(is_added);
        Self {
            standard: standard_hash(def),
            added: added.map(|param| (param.code.to_string(), param.fingerprint)).collect(),
        }
    }
}

fn standard_hash(def: &TypeDef) -> u64 {
    let params = search_params().of(def).iter();
    params.fold(INDEX_VERSION, |hash, param| hash.rotate_left(7) ^ param.fingerprint)
}

impl Indexed {
    pub(super) fn read(snapshot: &dyn Snapshot) -> Result<Self, StoreError> {
        let Some((value, _)) = snapshot.get(&indexed_key())? else { return Ok(Self::default()) };
        serde_json::from_slice(&value)
            .map_err(|_| StoreError::Corrupt("the list of what is indexed".to_owned()))
    }

    /// The list for a store without resources: everything is indexed.
    pub(super) fn of_nothing() -> Self {
        let complete = |def: &TypeDef| (def.name.to_string(), OfType::complete(search_params(), def));
        Self { types: r4().resources().map(complete).collect() }
    }

    /// Whether an added parameter is completely indexed for a type.
    pub(super) fn has(&self, def: &TypeDef, param: &Param) -> bool {
        let of_type = self.types.get(&*def.name);
        of_type.is_some_and(|of_type| of_type.added.get(&*param.code) == Some(&param.fingerprint))
    }

    /// Whether the standard's parameters are completely indexed for every type.
    pub(super) fn has_standard(&self) -> bool {
        r4().resources().all(|def| {
            self.types.get(&*def.name).is_some_and(|of_type| of_type.standard == standard_hash(def))
        })
    }

    /// The types whose index does not match the search parameters.
    pub(super) fn behind(&self, params: &SearchParams) -> Vec<&'static TypeDef> {
        let is_behind =
            |def: &&'static TypeDef| self.types.get(&*def.name) != Some(&OfType::complete(params, def));
        r4().resources().filter(is_behind).collect()
    }

    /// The list with a type marked as complete.
    pub(super) fn with(mut self, params: &SearchParams, def: &TypeDef) -> Self {
        self.types.insert(def.name.to_string(), OfType::complete(params, def));
        self
    }

    pub(super) fn write(&self) -> Write {
        // A map of texts and numbers can always be written as JSON.
        let value = serde_json::to_vec(self).unwrap_or_default();
        Write { key: indexed_key(), value: Some(value), ..Write::default() }
    }
}

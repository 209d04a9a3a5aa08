//! The CapabilityStatements that were made, as long as what they tell is so.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::hex;
use crate::search::SearchParams;
use crate::store::Sequence;

use super::answer::{HoldsNobody, Public};

/// A CapabilityStatement, made of the tables and of the URLs of definitions. Nobody else can make one, so that no other text becomes
/// public.
struct Statement(Arc<Value>);

impl HoldsNobody for Statement {
    fn json(&self) -> String {
        self.0.to_string()
    }
}

/// Which statement is asked for: what it says depends on who asks and on what is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) mode: Mode,
    /// Whether who asks may choose ids.
    pub(super) assigns_ids: bool,
}

/// R4 http.html#capabilities, `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    Full,
    Normative,
    Terminology,
}

/// A statement, as long as these search parameters are in force and nothing of the types that it tells of was written.
pub(super) type CachedStatement = (Arc<SearchParams>, Vec<Option<Sequence>>, Made);

/// A statement, its text and its entity tag.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) statement: Arc<Value>,
    pub(super) text: Public,
    pub(super) tag: String,
}

impl Made {
    /// Of tables and of the URLs of definitions: only `capabilities` calls this.
    pub(super) fn of(statement: Value) -> Self {
        let statement = Statement(Arc::new(statement));
        let text = Public::of(&statement);
        let hash = Sha256::digest(text.json());
        let tag = hex(hash.first_chunk::<8>().map_or(&[][..], |first| first));
        Self { statement: statement.0, text, tag }
    }
}

/// The statements, by what they differ in, with the state of the store that each is of.
#[derive(Default)]
pub(super) struct Statements(pub(super) Mutex<HashMap<Variant, CachedStatement>>);

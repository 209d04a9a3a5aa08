//! The cache of CapabilityStatements. An entry is valid while what it was made from is unchanged.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::hex;
use crate::search::SearchParams;
use crate::store::Sequence;

use super::answer::{HoldsNobody, Public};

/// A CapabilityStatement, made from the tables and from URLs of definitions. Only this file can make one, so no other text
/// becomes public through it.
struct Statement(Arc<Value>);

impl HoldsNobody for Statement {
    fn json(&self) -> String {
        self.0.to_string()
    }
}

/// Which statement is asked for: its content depends on the party and on the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) mode: Mode,
    /// Whether the party may choose ids.
    pub(super) assigns_ids: bool,
}

/// The parameter `mode` (R4 http.html#capabilities).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    Full,
    Normative,
    Terminology,
}

/// A cached statement, valid while these search parameters are in force and these are the last commits to types of definitions.
pub(super) type CachedStatement = (Arc<SearchParams>, Vec<Option<Sequence>>, Made);

/// A statement, its text and its entity tag.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) statement: Arc<Value>,
    pub(super) text: Public,
    pub(super) tag: String,
}

impl Made {
    /// Makes the statement public, so it may hold only tables and URLs of definitions: only `capabilities` calls this.
    pub(super) fn of(statement: Value) -> Self {
        let statement = Statement(Arc::new(statement));
        let text = Public::of(&statement);
        let hash = Sha256::digest(text.json());
        let tag = hex(hash.first_chunk::<8>().map_or(&[][..], |first| first));
        Self { statement: statement.0, text, tag }
    }
}

/// The cached statements by variant, each with the state of the store that it was made from.
#[derive(Default)]
pub(super) struct Statements(pub(super) Mutex<HashMap<Variant, CachedStatement>>);

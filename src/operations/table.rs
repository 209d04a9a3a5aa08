//! The interactions of R4's REST API, one row each: the router, the CapabilityStatement, the scope check and the record
//! of accesses read this table and nothing else.
use crate::audit::Action;
use crate::auth::Permission;

use super::verb::Verb;

/// What an interaction acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    System,
    Type,
    Instance,
    /// The members of a resource's compartment, of one type or (`*`) of all types.
    Compartment,
}

/// The interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    Capabilities,
    Read,
    Vread,
    Update,
    ConditionalUpdate,
    Patch,
    ConditionalPatch,
    Delete,
    ConditionalDelete,
    Create,
    Search,
    SearchByPost,
    HistoryInstance,
    HistoryType,
    HistorySystem,
    Bundle,
    /// Any of the operations, which have a table of their own.
    Operation,
}

impl Code {
    /// Whether it writes one resource.
    pub(super) fn is_write(self) -> bool {
        match self {
            Self::Update
            | Self::ConditionalUpdate
            | Self::Patch
            | Self::ConditionalPatch
            | Self::Delete
            | Self::ConditionalDelete
            | Self::Create => true,
            Self::Capabilities
            | Self::Read
            | Self::Vread
            | Self::Search
            | Self::SearchByPost
            | Self::HistoryInstance
            | Self::HistoryType
            | Self::HistorySystem
            | Self::Bundle
            | Self::Operation => false,
        }
    }
}

/// An interaction: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Interaction {
    pub code: Code,
    /// The code of R4's type-restful-interaction or system-restful-interaction, which the record of accesses uses, too.
    pub name: &'static str,
    pub level: Level,
    pub verb: Verb,
    /// The path segments after those of the level: `Type/id/_history/vid` has two.
    pub tail: &'static [&'static str],
    /// The permission that a token needs; `None` if the interaction is public or checked by type or by entry.
    pub permission: Option<Permission>,
    pub action: Action,
}

macro_rules! row {
    ($code:ident, $name:literal, $level:ident, $verb:ident, $tail:expr, $permission:expr, $action:ident) => {
        Interaction {
            code: Code::$code,
            name: $name,
            level: Level::$level,
            verb: Verb::$verb,
            tail: &$tail,
            permission: $permission,
            action: Action::$action,
        }
    };
}

use Permission::{Create, Delete, Read, Search, Update};

/// `*` in a tail stands for a version id.
pub static INTERACTIONS: [Interaction; 20] = [
    row!(Capabilities, "capabilities", System, Get, ["metadata"], None, Read),
    row!(Read, "read", Instance, Get, [], Some(Read), Read),
    row!(Vread, "vread", Instance, Get, ["_history", "*"], Some(Read), Read),
    row!(Update, "update", Instance, Put, [], Some(Update), Update),
    row!(ConditionalUpdate, "update", Type, Put, [], Some(Update), Update),
    row!(Patch, "patch", Instance, Patch, [], Some(Update), Update),
    row!(ConditionalPatch, "patch", Type, Patch, [], Some(Update), Update),
    row!(Delete, "delete", Instance, Delete, [], Some(Delete), Delete),
    row!(ConditionalDelete, "delete", Type, Delete, [], Some(Delete), Delete),
    row!(Create, "create", Type, Post, [], Some(Create), Create),
    row!(Search, "search-type", Type, Get, [], Some(Search), Execute),
    row!(SearchByPost, "search-type", Type, Post, ["_search"], Some(Search), Execute),
    // A search of several types is checked type by type.
    row!(Search, "search-system", System, Get, [], None, Execute),
    row!(SearchByPost, "search-system", System, Post, ["_search"], None, Execute),
    row!(Search, "search-type", Compartment, Get, [], None, Execute),
    row!(SearchByPost, "search-type", Compartment, Post, ["_search"], None, Execute),
    row!(HistoryInstance, "history-instance", Instance, Get, ["_history"], Some(Read), Read),
    row!(HistoryType, "history-type", Type, Get, ["_history"], Some(Search), Read),
    row!(HistorySystem, "history-system", System, Get, ["_history"], Some(Search), Read),
    // A batch or transaction is checked entry by entry.
    row!(Bundle, "transaction", System, Post, [], None, Execute),
];

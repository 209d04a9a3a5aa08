//! The operations (R4 operations.html), one row each: the router, the CapabilityStatement and the record of accesses read
//! this table as they read that of the interactions.
use crate::audit::Action;
use crate::auth::Permission;
use crate::definitions::TypeDef;

use super::answer::{Answer, Refusal};
use super::audit;
use super::break_glass::break_glass;
use super::consent;
use super::erase::erase;
use super::hold::{hold, release_hold};
use super::member_match::member_match;
use super::meta::{meta, meta_add, meta_delete};
use super::parameters::Call;
use super::remove_subject::remove_subject;
use super::request::Verb;
use super::route::Place;
use super::session::Session;
use super::table::{Code, Interaction, Level};

/// How an operation is carried out.
type Act = for<'s> fn(&Session<'s>, &Call<'_>) -> Result<Answer, Refusal>;

/// A row of the table.
pub struct Operation {
    /// The type that it belongs to; `Resource` for all, nothing for those of the whole server.
    pub on: &'static str,
    /// By POST, and by GET where it changes nothing.
    rows: &'static [Interaction],
    act: Act,
}

macro_rules! operation {
    ($on:literal, $level:ident, $name:literal, $permission:ident, [$($verb:ident),+], $action:ident, $act:path) => {
        Operation {
            on: $on,
            rows: &[$(Interaction {
                code: Code::Operation,
                name: $name,
                level: Level::$level,
                verb: Verb::$verb,
                tail: &[$name],
                permission: Some(Permission::$permission),
                action: Action::$action,
            }),+],
            act: $act,
        }
    };
}

/// Every operation that is served. Their names are Chartward's own where no comment says whose they are.
pub static OPERATIONS: [Operation; 21] = [
    // R4, of every type.
    operation!("Resource", Instance, "$meta", Read, [Get, Post], Read, meta),
    operation!("Resource", Type, "$meta", Search, [Get, Post], Execute, meta),
    operation!("", System, "$meta", Search, [Get, Post], Execute, meta),
    operation!("Resource", Instance, "$meta-add", Update, [Post], Update, meta_add),
    operation!("Resource", Instance, "$meta-delete", Update, [Post], Update, meta_delete),
    operation!("Consent", Type, "$decide", Read, [Get, Post], Execute, consent::decide),
    operation!("Consent", Type, "$preview", Read, [Post], Execute, consent::preview),
    operation!("Patient", Instance, "$explain-access", Read, [Get, Post], Execute, consent::explain_access),
    operation!(
        "Patient",
        Instance,
        "$consent-enforcement-status",
        Read,
        [Get, Post],
        Execute,
        consent::enforcement_status
    ),
    operation!("Patient", Instance, "$break-glass", Read, [Post], Execute, break_glass),
    // HRex 1.0.
    operation!("Patient", Type, "$member-match", Search, [Post], Execute, member_match),
    operation!("Patient", Instance, "$who-saw", Read, [Get, Post], Execute, audit::who_saw),
    operation!(
        "Patient",
        Instance,
        "$accounting-of-disclosures",
        Read,
        [Get, Post],
        Execute,
        audit::accounting_of_disclosures
    ),
    operation!(
        "Patient",
        Instance,
        "$suspend-accounting",
        Update,
        [Post],
        Execute,
        audit::suspend_accounting
    ),
    operation!("Resource", Instance, "$remove-subject", Update, [Post], Execute, remove_subject),
    operation!("Patient", Instance, "$erase", Delete, [Post], Execute, erase),
    operation!("Patient", Instance, "$hold", Update, [Post], Execute, hold),
    operation!("Patient", Instance, "$release-hold", Update, [Post], Execute, release_hold),
    operation!("AuditEvent", Type, "$without-relation", Read, [Get, Post], Execute, audit::without_relation),
    operation!("AuditEvent", Instance, "$audit-proof", Read, [Get, Post], Execute, audit::event_proof),
    operation!("AuditEvent", Type, "$audit-proof", Read, [Get, Post], Execute, audit::consistency_proof),
];

impl Operation {
    /// Its name, with the dollar sign.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.rows.first().map_or("", |row| row.name)
    }

    /// Where it is asked for: on a type or on a resource of it.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.rows.first().map(|row| row.level)
    }

    /// The methods that it is asked for by.
    pub fn rows(&self) -> impl Iterator<Item = &'static Interaction> {
        self.rows.iter()
    }

    pub(super) fn act(&self, session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
        (self.act)(session, call)
    }
}

/// The operations of a type.
pub fn operations_of(def: &TypeDef) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| operation.on == &*def.name || operation.on == "Resource")
}

/// The operations of the whole server.
pub fn operations_of_system() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| operation.on.is_empty())
}

/// The operation of that name at a place.
pub(super) fn operation_at(place: &Place, name: &str) -> Option<&'static Operation> {
    let level = match place {
        Place::Type(_) => Level::Type,
        Place::Instance(..) => Level::Instance,
        Place::System => return operations_of_system().find(|operation| operation.name() == name),
        Place::Version(..) | Place::Compartment(..) => return None,
    };
    let fits = |operation: &&Operation| operation.name() == name && operation.level() == Some(level);
    operations_of(place.def()?).find(fits)
}

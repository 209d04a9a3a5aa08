//! The operations (R4 operations.html), one row each. The router, the CapabilityStatement, the OperationDefinitions and the
//! record of accesses read this table like that of the interactions.
use Definition::{Elsewhere, Own};

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
use super::parameters::{Call, Takes};
use super::place::Place;
use super::remove_subject::remove_subject;
use super::search::{everything, lastn};
use super::session::Session;
use super::table::{Code, Interaction, Level};
use super::verb::Verb;

/// Carries out an operation.
type Act = for<'s> fn(&Session<'s>, &Call<'_>) -> Result<Answer, Refusal>;

/// Where an operation is defined.
#[derive(Clone, Copy, Debug)]
pub enum Definition {
    /// The canonical URL of a definition in the standard or in a guide.
    Elsewhere(&'static str),
    /// An operation of Chartward's own.
    Own {
        /// What it does.
        says: &'static str,
        /// Whether it changes anything besides the record of accesses.
        changes: bool,
        /// Whether it answers with Parameters.
        answers: bool,
    },
}

const fn asks(says: &'static str) -> Definition {
    Definition::Own { says, changes: false, answers: true }
}

const fn does(says: &'static str) -> Definition {
    Definition::Own { says, changes: true, answers: true }
}

/// An operation: a row of the table.
pub struct Operation {
    /// The resource type that it belongs to; `Resource` for all types, empty for operations of the whole server.
    pub on: &'static str,
    /// One row for each HTTP method; GET only where the operation changes nothing.
    rows: &'static [Interaction],
    act: Act,
    pub definition: Definition,
    pub takes: &'static [Takes],
}

macro_rules! operation {
    ($on:literal, $level:ident, $name:literal, $permission:ident, [$($verb:ident),+], $action:ident, $act:path,
     $definition:expr, [$($takes:expr),*]) => {
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
            definition: $definition,
            takes: &[$($takes),*],
        }
    };
}

const fn one(name: &'static str, of_type: &'static str, says: &'static str) -> Takes {
    Takes { name, min: 1, max: "1", of_type, says }
}

const fn maybe(name: &'static str, of_type: &'static str, says: &'static str) -> Takes {
    Takes { min: 0, ..one(name, of_type, says) }
}

const fn any(name: &'static str, of_type: &'static str, says: &'static str) -> Takes {
    Takes { min: 0, max: "*", ..one(name, of_type, says) }
}

const META: Definition = Elsewhere("http://hl7.org/fhir/OperationDefinition/Resource-meta");
const META_ADD: Definition = Elsewhere("http://hl7.org/fhir/OperationDefinition/Resource-meta-add");
const META_DELETE: Definition = Elsewhere("http://hl7.org/fhir/OperationDefinition/Resource-meta-delete");
const MEMBER_MATCH: Definition =
    Elsewhere("http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match");

const PATIENT_EVERYTHING: Definition =
    Elsewhere("http://hl7.org/fhir/OperationDefinition/Patient-everything");
const ENCOUNTER_EVERYTHING: Definition =
    Elsewhere("http://hl7.org/fhir/OperationDefinition/Encounter-everything");

const BREAK_GLASS: Definition = does("a token for one file in an emergency");
const LASTN: Definition = Elsewhere("http://hl7.org/fhir/OperationDefinition/Observation-lastn");

const SINCE: Takes = maybe("_since", "instant", "only what was stored or changed since then");
const TYPES: Takes = any("_type", "code", "only these types");
const COUNT: Takes = maybe("_count", "integer", "how many resources on a page");
const REASON: Takes = one("reason", "string", "why it is done; it goes on record");
const START: Takes = maybe("start", "date", "the first day or moment that counts");
const END: Takes = maybe("end", "date", "the last day or moment that counts");
const PAGE: Takes = maybe("page", "boolean", "true: as a page to print");
const PROOF: Definition =
    asks("proof that a record of an access, or an earlier state of the log, is part of the log");

/// Every operation that is served.
pub static OPERATIONS: [Operation; 27] = [
    operation!("Resource", Instance, "$meta", Read, [Get, Post], Read, meta, META, []),
    operation!("Resource", Type, "$meta", Search, [Get, Post], Execute, meta, META, []),
    operation!("", System, "$meta", Search, [Get, Post], Execute, meta, META, []),
    operation!(
        "Resource",
        Instance,
        "$meta-add",
        Update,
        [Post],
        Update,
        meta_add,
        META_ADD,
        [one("meta", "Meta", "what is added")]
    ),
    operation!(
        "Resource",
        Instance,
        "$meta-delete",
        Update,
        [Post],
        Update,
        meta_delete,
        META_DELETE,
        [one("meta", "Meta", "what is taken off")]
    ),
    operation!(
        "Patient",
        Instance,
        "$everything",
        Read,
        [Get, Post],
        Execute,
        everything,
        PATIENT_EVERYTHING,
        [START, END, SINCE, TYPES, COUNT]
    ),
    operation!(
        "Patient",
        Type,
        "$everything",
        Search,
        [Get, Post],
        Execute,
        everything,
        PATIENT_EVERYTHING,
        [START, END, SINCE, TYPES, COUNT]
    ),
    operation!(
        "Encounter",
        Instance,
        "$everything",
        Read,
        [Get, Post],
        Execute,
        everything,
        ENCOUNTER_EVERYTHING,
        [SINCE, TYPES, COUNT]
    ),
    operation!(
        "Observation",
        Type,
        "$lastn",
        Search,
        [Get, Post],
        Execute,
        lastn,
        LASTN,
        [
            maybe("max", "positiveInt", "how many of each code; one if it is not given"),
            any("patient", "reference", "whose; this or `subject` is needed"),
            any("subject", "reference", "about whom or what"),
            any("category", "token", "of which category"),
            any("code", "token", "of which code"),
            any("date", "date", "when"),
            any("encounter", "reference", "of which visit")
        ]
    ),
    operation!(
        "Consent",
        Type,
        "$decide",
        Read,
        [Get, Post],
        Execute,
        consent::decide,
        asks("what would be decided if somebody asked for a resource, and by which rule"),
        [
            one("actor", "string", "who asks: a reference, such as Practitioner/d1 or Organization/o"),
            maybe("role", "code", "the role of who asks"),
            any("purpose", "code", "for what; of v3-PurposeOfUse"),
            maybe("resource", "Resource", "what is asked for: the resource, or a reference to it"),
            maybe("patient", "string", "instead of a resource: whose it is"),
            maybe("type", "code", "with `patient`: of which type")
        ]
    ),
    operation!(
        "Consent",
        Type,
        "$preview",
        Read,
        [Post],
        Execute,
        consent::preview,
        asks("who would gain access and who would lose it if a Consent were stored"),
        [one("consent", "Consent", "the Consent, which is not stored")]
    ),
    operation!(
        "Patient",
        Instance,
        "$explain-access",
        Read,
        [Get, Post],
        Execute,
        consent::explain_access,
        asks("who may see what of a file, with the rules that decide"),
        [
            maybe("actor", "string", "for this party alone"),
            any("purpose", "code", "for these purposes alone")
        ]
    ),
    operation!(
        "Patient",
        Instance,
        "$consent-enforcement-status",
        Read,
        [Get, Post],
        Execute,
        consent::enforcement_status,
        asks("how the Consents of a patient are enforced"),
        []
    ),
    operation!(
        "Patient",
        Instance,
        "$break-glass",
        Read,
        [Post],
        Execute,
        break_glass,
        BREAK_GLASS,
        [REASON]
    ),
    operation!(
        "Patient",
        Type,
        "$break-glass",
        Search,
        [Post],
        Execute,
        break_glass,
        BREAK_GLASS,
        [
            REASON,
            maybe("identifier", "string", "on the type: the record number of the patient, who may be hidden")
        ]
    ),
    operation!(
        "Patient",
        Type,
        "$member-match",
        Search,
        [Post],
        Execute,
        member_match,
        MEMBER_MATCH,
        [
            one("MemberPatient", "Patient", "the member"),
            one("CoverageToMatch", "Coverage", "the coverage that is looked for"),
            one("CoverageToLink", "Coverage", "the coverage of who asks"),
            one("Consent", "Consent", "by which the data may be given")
        ]
    ),
    operation!(
        "Patient",
        Instance,
        "$who-saw",
        Read,
        [Get, Post],
        Execute,
        audit::who_saw,
        asks("who saw a file"),
        [START, END, maybe("_count", "integer", "how many accesses at most"), PAGE]
    ),
    operation!(
        "Patient",
        Instance,
        "$accounting-of-disclosures",
        Read,
        [Get, Post],
        Execute,
        audit::accounting_of_disclosures,
        asks("to whom a file was disclosed"),
        [START, END, PAGE]
    ),
    operation!(
        "Patient",
        Instance,
        "$record-disclosure",
        Update,
        [Post],
        Create,
        audit::record_disclosure,
        does(
            "enters a disclosure that did not go through the server into the accounting, or corrects such an entry"
        ),
        [
            maybe("date", "date", "when it was disclosed, or the first time; needed unless `in-error`"),
            maybe("last", "date", "the last time, of several"),
            maybe("count", "integer", "how many times"),
            maybe(
                "recipient",
                "string",
                "who got it: a name, or a reference such as Organization/o; needed unless `in-error`"
            ),
            maybe("address", "string", "where, if it is known"),
            maybe("description", "string", "what was disclosed, in brief; needed unless `in-error`"),
            maybe("purpose", "string", "for what; or"),
            maybe("request", "Reference", "the written request: a DocumentReference or Binary"),
            maybe("basis", "code", "the legal basis, such as public-health; needed unless `in-error`"),
            maybe("corrects", "string", "the entry that this one takes the place of"),
            maybe(
                "in-error",
                "boolean",
                "true: the entry that it corrects was made in error, nothing was disclosed"
            )
        ]
    ),
    operation!(
        "Patient",
        Instance,
        "$suspend-accounting",
        Update,
        [Post],
        Execute,
        audit::suspend_accounting,
        does("leaves disclosures to an agency out of the accounting for a time"),
        [
            one("agency", "string", "to whom"),
            one("until", "date", "how long"),
            one("statement", "string", "how the agency has stated it: `written` or `spoken`")
        ]
    ),
    operation!(
        "Resource",
        Instance,
        "$remove-subject",
        Update,
        [Post],
        Execute,
        remove_subject,
        Own {
            says: "takes a patient off a resource that was put into the file by mistake",
            changes: true,
            answers: false
        },
        [one("patient", "string", "whom"), REASON]
    ),
    operation!(
        "Patient",
        Instance,
        "$erase",
        Delete,
        [Post],
        Execute,
        erase,
        does("erases a file, every version of it"),
        [REASON]
    ),
    operation!(
        "Patient",
        Instance,
        "$hold",
        Update,
        [Post],
        Execute,
        hold,
        does("keeps a file from being deleted"),
        [REASON]
    ),
    operation!(
        "Patient",
        Instance,
        "$release-hold",
        Update,
        [Post],
        Execute,
        release_hold,
        does("ends a hold"),
        []
    ),
    operation!(
        "AuditEvent",
        Type,
        "$without-relation",
        Read,
        [Get, Post],
        Execute,
        audit::without_relation,
        asks("accesses by professionals without a relation to the patient"),
        [START, END]
    ),
    operation!(
        "AuditEvent",
        Instance,
        "$audit-proof",
        Read,
        [Get, Post],
        Execute,
        audit::event_proof,
        PROOF,
        []
    ),
    operation!(
        "AuditEvent",
        Type,
        "$audit-proof",
        Read,
        [Get, Post],
        Execute,
        audit::consistency_proof,
        PROOF,
        [
            maybe("record", "integer", "the number of a record"),
            maybe("from", "integer", "the size of an earlier tree"),
            maybe("to", "integer", "the size of a later tree")
        ]
    ),
];

impl Operation {
    /// Its name, with the dollar sign.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.rows.first().map_or("", |row| row.name)
    }

    /// Whether it is called on the system, on a type or on an instance.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.rows.first().map(|row| row.level)
    }

    /// Its rows, one for each HTTP method.
    pub fn rows(&self) -> impl Iterator<Item = &'static Interaction> {
        self.rows.iter()
    }

    /// Whether it changes anything besides the record of accesses. One that the standard defines changes nothing if it has a GET.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self.definition {
            Definition::Own { changes, .. } => changes,
            Definition::Elsewhere(_) => self.rows.iter().all(|row| row.verb != Verb::Get),
        }
    }

    pub(super) fn act(&self, session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
        call.takes_only(self.takes)?;
        (self.act)(session, call)
    }
}

/// The operations of a type and of its instances.
pub fn operations_of(def: &TypeDef) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| operation.on == &*def.name || operation.on == "Resource")
}

/// The operations of the whole server.
pub fn operations_of_system() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| operation.on.is_empty())
}

/// The operation with this name at a place.
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

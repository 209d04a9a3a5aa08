//! The requester, with all that the actors and criteria of a Consent are matched against.
use std::collections::{BTreeMap, BTreeSet};

use crate::model::Millis;

use super::codes::Code;
use super::compiled_consent::{Criterion, Effect, Rule};

/// Which rules of Consents count for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    #[default]
    All,
    /// All denials, but only permits that name an action: a permit to see a file is no permit to change it.
    PermitsByAction,
    /// Only rules that name an action: other denials stop disclosure, not record keeping.
    ByAction,
}

impl Counting {
    pub(super) fn counts(self, rule: &Rule) -> bool {
        let names_action =
            || rule.criteria.iter().any(|criterion| matches!(criterion.known(), Criterion::Action(_)));
        match self {
            Self::All => true,
            Self::PermitsByAction => rule.effect == Effect::Deny || names_action(),
            Self::ByAction => names_action(),
        }
    }
}

/// Who asks, as decisions see it. References are `Type/id`.
#[derive(Clone, Debug, Default)]
pub struct Requester {
    pub now: Millis,
    pub actors: BTreeSet<String>,
    pub identifiers: BTreeSet<(String, String)>,
    pub purposes: Vec<Code>,
    /// Consent actions: access, use, disclose, correct, collect.
    pub actions: Vec<&'static str>,
    pub environment: BTreeSet<String>,
    pub payer: bool,
    /// Whether the own organization's default policy applies to the requester.
    pub reads_files: bool,
    /// The patient (`Patient/id`) that the requester is.
    pub self_patient: Option<String>,
    /// Identifiers of actors that Consents may name, by reference.
    pub directory: BTreeMap<String, Vec<(String, String)>>,
    /// Which rules count.
    pub counting: Counting,
    /// Whether data are collected and not disclosed. The law's conditions on some labels concern disclosure only.
    pub collects: bool,
    /// The patients whom the requester represents (45 CFR 164.502(g)).
    pub represents: BTreeSet<String>,
    /// The Groups and CareTeams of which the requester may or may not be a member.
    pub unresolved: BTreeSet<String>,
    /// The patient (`Patient/id`) for whom the requester breaks the glass, if it has the right to.
    pub break_glass: Option<String>,
    /// Whether the requester is a treating clinician of the own organization.
    pub treats_here: bool,
    /// The identifiers of the own organization, which is the discloser.
    pub house_identifiers: BTreeSet<(String, String)>,
    /// Those of the actors and identifiers that denote the person and not an organization.
    pub person: BTreeSet<String>,
    pub person_identifiers: BTreeSet<(String, String)>,
}

impl Requester {
    /// Whether it equals another requester, except for the time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self {
            now: _,
            actors,
            identifiers,
            purposes,
            actions,
            environment,
            payer,
            reads_files,
            self_patient,
            ..
        } = self;
        let Self { directory, counting, collects, represents, unresolved, break_glass, treats_here, .. } =
            self;
        *actors == other.actors
            && *identifiers == other.identifiers
            && *purposes == other.purposes
            && *actions == other.actions
            && *environment == other.environment
            && (*payer, *reads_files) == (other.payer, other.reads_files)
            && *self_patient == other.self_patient
            && *directory == other.directory
            && (*counting, *collects) == (other.counting, other.collects)
            && *represents == other.represents
            && *unresolved == other.unresolved
            && *break_glass == other.break_glass
            && *treats_here == other.treats_here
            && self.house_identifiers == other.house_identifiers
            && self.person == other.person
            && self.person_identifiers == other.person_identifiers
    }
}

//! Who asks, and by what an actor of a Consent is compared with them.
use std::collections::{BTreeMap, BTreeSet};

use crate::model::Millis;

use super::codes::Code;
use super::compiled_consent::{Criterion, Effect, Rule};

/// Which rules of Consents count for what is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    #[default]
    All,
    /// Of permits those that name an action: to permit somebody to see a file is not to permit to change it.
    PermitsByAction,
    /// Rules that name an action: other denials stop disclosure, not record keeping.
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

/// Who asks, as a decision sees it. References are `Type/id`.
#[derive(Clone, Debug, Default)]
pub struct Requester {
    pub now: Millis,
    pub actors: BTreeSet<String>,
    pub identifiers: BTreeSet<(String, String)>,
    pub purposes: Vec<Code>,
    /// What is done with the data: access, use, disclose, correct, collect.
    pub actions: Vec<&'static str>,
    pub environment: BTreeSet<String>,
    pub payer: bool,
    /// Whether the default policy of the own organization is for it.
    pub reads_files: bool,
    /// The patient that the requester is.
    pub self_patient: Option<String>,
    /// Identifiers of actors that consents may name.
    pub directory: BTreeMap<String, Vec<(String, String)>>,
    /// Which rules count.
    pub counting: Counting,
    /// Whether data are taken in, not given out: the law's conditions on some labels are on their disclosure.
    pub collects: bool,
    /// The patients for whom the requester acts (45 CFR 164.502(g)).
    pub represents: BTreeSet<String>,
    /// Groups and teams whose members are not known.
    pub unresolved: BTreeSet<String>,
    /// The patient for whom the glass is broken, by one who may.
    pub break_glass: Option<String>,
    /// Whether it is a clinician of the own organization who treats.
    pub treats_here: bool,
    /// Identifiers of the own organization, which discloses.
    pub house_identifiers: BTreeSet<(String, String)>,
    /// Those of its actors and identifiers that are the person itself, not an organization.
    pub person: BTreeSet<String>,
    pub person_identifiers: BTreeSet<(String, String)>,
}

impl Requester {
    /// Whether it is the same at another moment.
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

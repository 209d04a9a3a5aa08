//! What each role may do, in one table: the lens, the issuer and the operations read it and nothing else.
use serde::{Deserialize, Serialize};

use Recording::{AddsData, AsConsented, KeepsRecord};
use Writes::{Administration, Anything, Nothing, OwnMatters, Work};

/// What a role writes of its own accord, where the scopes and the Consents let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Whatever is of patients and of the hospital.
    Anything,
    /// What is of no patient: organizations, practitioners, terminology, search parameters; and Tasks of work.
    Administration,
    /// Tasks of work, and Consents that are recorded for a patient.
    Work,
    /// What patients say themselves: Consents, messages, answers, documents.
    OwnMatters,
    Nothing,
}

/// How far patients' Consents bind what a role of the own organization writes about them. A denial stops disclosure, not
/// record keeping; but a rule that names the actions `collect` or `correct` binds everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// It writes on what is stored, whether it may read it or not.
    KeepsRecord,
    /// New data about a patient are not refused; what is there is changed by who may see it.
    AddsData,
    AsConsented,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct RoleRow {
    pub role: Role,
    /// Purposes that it may assert (v3-ActReason); narrower ones are included.
    pub purposes: &'static [&'static str],
    /// Whether the default policy of the own organization shows it the files of patients.
    pub reads_files: bool,
    pub writes: Writes,
    pub recording: Recording,
    /// Whether it reads the record of accesses, and asks for decisions about anybody.
    pub audits: bool,
    /// Whether it runs the server: registrations, backups, indexing, plans.
    pub administers: bool,
    /// Whether the right to break the glass can be given to it.
    pub breaks_glass: bool,
    /// Whether it does and closes the work that the server has for the own staff.
    pub does_work: bool,
    /// Whether it records Consents for patients.
    pub records_consents: bool,
    /// Whether it takes security labels off.
    pub lowers_labels: bool,
    /// Whether it writes what decisions about identities rest on: organizations, practitioners, groups, teams, kin, links.
    pub feeds_identities: bool,
}

macro_rules! roles {
    ($($name:ident = $code:literal: $says:literal, $purposes:expr, $reads:literal, $writes:ident, $recording:ident, $audits:literal,
       $administers:literal, $glass:literal, $work:literal, $records:literal, $lowers:literal, $feeds:literal;)+) => {
        /// What a party is to the hospital.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Role { $(#[doc = $says] #[serde(rename = $code)] $name),+ }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What it may do.
            #[must_use]
            pub fn row(self) -> RoleRow {
                match self {
                    $(Self::$name => RoleRow {
                        role: self,
                        purposes: &$purposes,
                        reads_files: $reads,
                        writes: $writes,
                        recording: $recording,
                        audits: $audits,
                        administers: $administers,
                        breaks_glass: $glass,
                        does_work: $work,
                        records_consents: $records,
                        lowers_labels: $lowers,
                        feeds_identities: $feeds,
                    }),+
                }
            }
        }
    };
}

roles! {
    // code: what it is; purposes; reads files, writes, how Consents bind that, audits, administers, breaks the glass, does work, records Consents,
    // lowers labels, feeds identities
    System = "system": "A system of a hospital, such as its EHR",
        ["TREAT", "HPAYMT", "HOPERAT", "PUBHLTH", "HRESCH"], true, Anything, KeepsRecord, false, false, false, false, true, true, true;
    Clinician = "clinician": "A professional who treats",
        ["TREAT", "ETREAT", "BTG", "HOPERAT"], true, Anything, AddsData, false, false, true, false, false, false, false;
    Technician = "technician": "A health-records technician",
        ["HOPERAT", "HPAYMT", "TREAT"], true, Anything, KeepsRecord, false, false, false, true, true, true, true;
    Administrator = "administrator": "Who runs the server and its registrations",
        ["HOPERAT"], false, Administration, AsConsented, true, true, false, true, false, false, true;
    PrivacyOfficer = "privacy-officer": "Who watches over disclosures",
        ["HOPERAT"], true, Work, AsConsented, true, false, false, true, true, false, false;
    Patient = "patient": "The patient",
        ["PATRQT"], false, OwnMatters, AsConsented, false, false, false, false, false, false, false;
    Representative = "representative": "Who acts for a patient",
        ["PATRQT", "FAMRQT", "PWATRNY"], false, OwnMatters, AsConsented, false, false, false, false, false, false, false;
    Insurer = "insurer": "A payer",
        ["HPAYMT", "HOPERAT", "COVERAGE", "ELIGDTRM"], false, Nothing, AsConsented, false, false, false, false, false, false, false;
    Researcher = "researcher": "Who does research",
        ["HRESCH"], false, Nothing, AsConsented, false, false, false, false, false, false, false;
}

impl Role {
    /// The role of that code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.code() == code)
    }
}

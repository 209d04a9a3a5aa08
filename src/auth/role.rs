//! The table of roles and their rights, the only source for the lens, the issuer and the operations.
use serde::{Deserialize, Serialize};

use Recording::{AddsData, AsConsented, KeepsRecord};
use Writes::{Administration, Anything, Nothing, OwnMatters, Work};

/// Which resources a role may write, subject to scopes and Consents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// All data of patients and of the organization.
    Anything,
    /// Resources about no patient (organizations, practitioners, terminology, search parameters), and the staff's Tasks.
    Administration,
    /// The staff's Tasks, and Consents recorded on behalf of a patient.
    Work,
    /// What patients author themselves: Consents, messages, questionnaire responses, documents.
    OwnMatters,
    Nothing,
}

/// How far patients' Consents bind what staff of the own organization writes about them. A denial stops disclosure, not
/// record keeping, but a rule with the action `collect` or `correct` binds everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Writes are checked against all stored data, whether the role may read it or not.
    KeepsRecord,
    /// New data about a patient are accepted; existing data can be changed only by those who may see them.
    AddsData,
    AsConsented,
}

/// One role's row of the table.
#[derive(Clone, Copy, Debug)]
pub struct RoleRow {
    pub role: Role,
    /// Purposes that the role may assert (v3-ActReason), including narrower ones.
    pub purposes: &'static [&'static str],
    /// Whether the default policy of the own organization lets the role read patients' records.
    pub reads_files: bool,
    pub writes: Writes,
    pub recording: Recording,
    /// Whether the role may read access records and ask for decisions about any patient.
    pub audits: bool,
    /// Whether the role runs the server: registrations, backups, indexing, query plans.
    pub administers: bool,
    /// Whether users in this role can be given the right to break the glass.
    pub breaks_glass: bool,
    /// Whether the role sees and completes the Tasks that the server creates for the staff.
    pub does_work: bool,
    /// Whether the role records Consents on behalf of patients.
    pub records_consents: bool,
    /// Whether the role may remove security labels.
    pub lowers_labels: bool,
    /// Whether it writes what identifies people in decisions: organizations, practitioners, groups, teams, kin, links.
    pub feeds_identities: bool,
}

macro_rules! roles {
    ($($name:ident = $code:literal: $says:literal, $purposes:expr, $reads:literal, $writes:ident, $recording:ident, $audits:literal,
       $administers:literal, $glass:literal, $work:literal, $records:literal, $lowers:literal, $feeds:literal;)+) => {
        /// The relation of a party to the organization, which determines its rights.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Role { $(#[doc = $says] #[serde(rename = $code)] $name),+ }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The rights of the role.
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
    // Columns: code, description, purposes, reads_files, writes, recording, audits, administers, breaks_glass, does_work,
    // records_consents, lowers_labels, feeds_identities.
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
    /// The role with that code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.code() == code)
    }
}

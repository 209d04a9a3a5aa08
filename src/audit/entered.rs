//! Disclosures that did not go through the server (on paper, by phone, to public health), entered by hand for the accounting. An
//! entry is an access record and is never changed. A correction is another entry that names it.
use serde::{Deserialize, Serialize};

use crate::model::Millis;
use crate::store::{Expectation, Key, Sequence, Space, Write};

use super::place::RecordPlace;

/// The interaction that enters a disclosure.
pub const RECORD_DISCLOSURE: &str = "$record-disclosure";

/// The law that demands an accounting of a disclosure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountedBy {
    /// 45 CFR 164.528: for six years.
    Hipaa,
    /// 42 CFR 2.25: for three years.
    Part2,
    Neither,
}

/// The legal basis of a disclosure: its code, its description, the section of 45 CFR or 42 CFR, and the law that demands an
/// accounting of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisclosureBasis {
    pub code: &'static str,
    pub words: &'static str,
    pub section: &'static str,
    pub accounted: AccountedBy,
}

const fn basis(
    code: &'static str,
    words: &'static str,
    section: &'static str,
    accounted: AccountedBy,
) -> DisclosureBasis {
    DisclosureBasis { code, words, section, accounted }
}

use AccountedBy::{Hipaa, Neither, Part2};

/// Every basis that can be entered. What 45 CFR 164.528(a)(1) exempts has `Neither`: it is recorded but not in the accounting.
pub const DISCLOSURE_BASES: [DisclosureBasis; 25] = [
    basis("required-by-law", "it is required by law", "45 CFR 164.512(a)", Hipaa),
    basis("public-health", "public health", "45 CFR 164.512(b)", Hipaa),
    basis("abuse-or-neglect", "a report of abuse, neglect or violence", "45 CFR 164.512(c)", Hipaa),
    basis("health-oversight", "health oversight", "45 CFR 164.512(d)", Hipaa),
    basis("judicial", "a court or administrative proceeding", "45 CFR 164.512(e)", Hipaa),
    basis("law-enforcement", "law enforcement", "45 CFR 164.512(f)", Hipaa),
    basis("decedents", "a coroner, medical examiner or funeral director", "45 CFR 164.512(g)", Hipaa),
    basis("organ-donation", "donation of organs or tissue", "45 CFR 164.512(h)", Hipaa),
    basis("research", "research without an authorization", "45 CFR 164.512(i)", Hipaa),
    basis("serious-threat", "a serious threat to health or safety", "45 CFR 164.512(j)", Hipaa),
    basis(
        "specialized-government",
        "military, veterans' or other special functions of the government",
        "45 CFR 164.512(k)",
        Hipaa,
    ),
    basis("workers-compensation", "workers' compensation", "45 CFR 164.512(l)", Hipaa),
    basis("not-permitted", "it was disclosed by mistake or without a right to", "45 CFR 164.402", Hipaa),
    basis("part-2-consent", "the patient's consent under 42 CFR Part 2", "42 CFR 2.31", Part2),
    basis("part-2-intermediary", "a consent that names an intermediary", "42 CFR 2.24", Part2),
    basis("treatment", "treatment", "45 CFR 164.506", Neither),
    basis("payment", "payment", "45 CFR 164.506", Neither),
    basis("operations", "the running of the hospital", "45 CFR 164.506", Neither),
    basis("individual", "it went to the patient", "45 CFR 164.502(a)(1)(i)", Neither),
    basis("incidental", "incident to a permitted disclosure", "45 CFR 164.502(a)(1)(iii)", Neither),
    basis("authorization", "the patient's authorization", "45 CFR 164.508", Neither),
    basis(
        "directory",
        "the facility's directory, or persons involved in the care",
        "45 CFR 164.510",
        Neither,
    ),
    basis("national-security", "national security or intelligence", "45 CFR 164.512(k)(2)", Neither),
    basis("custody", "a correctional institution or lawful custody", "45 CFR 164.512(k)(5)", Neither),
    basis("limited-data-set", "a limited data set", "45 CFR 164.514(e)", Neither),
];

/// The basis with a code.
#[must_use]
pub fn disclosure_basis(code: &str) -> Option<&'static DisclosureBasis> {
    DISCLOSURE_BASES.iter().find(|basis| basis.code == code)
}

/// A disclosure that was entered by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// Milliseconds since 1970 of the first and the last disclosure, and the number of disclosures.
    pub first: Millis,
    pub last: Millis,
    pub count: usize,
    /// The recipient: a name, `Organization/id` or `Practitioner/id`.
    pub recipient: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was disclosed, in brief.
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The written request, as `DocumentReference/id` or `Binary/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The code of the [`DisclosureBasis`].
    pub basis: String,
    /// Commit and number of the entry that this one corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<(u64, u32)>,
    /// Whether nothing was disclosed: the entry that this one corrects was made in error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_error: bool,
}

impl Entered {
    /// The place of the entry that this one corrects.
    #[must_use]
    pub fn corrects(&self) -> Option<RecordPlace> {
        self.corrects.map(|(sequence, number)| (Sequence(sequence), number))
    }
}

/// Marks an entry as corrected: the write, and the expectation that no other entry corrected it, so that a chain of corrections
/// has no branches.
#[must_use]
pub fn corrected((Sequence(sequence), number): RecordPlace) -> (Write, Expectation) {
    let key = Key::new(Space::Meta).text(b"disclosure-corrected").number(sequence).word(number).into_bytes();
    let expectation = Expectation::Key { key: key.clone(), sequence: None };
    (Write { key, value: Some(Vec::new()), ..Write::default() }, expectation)
}

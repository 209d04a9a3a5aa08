//! The obligations of a disclosure: the notice against redisclosure, and a copy of the Consent that it rests on.
use std::collections::BTreeSet;

use crate::model::Node;

use super::codes::{Code, CodeSystem};
use super::data::DataFacts;
use super::decision::{Basis, Decision};

/// A duty of the recipient, or of the server on release (v3-ActCode, ObligationPolicy and RefrainPolicy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obligation {
    /// 42 CFR 2.32: the recipient must not disclose the data again without the patient's consent.
    RedisclosureNotice,
    /// 42 CFR 2.32: a copy of the consent, or an explanation of its scope, must accompany the data.
    ConsentCopy,
}

impl Obligation {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::RedisclosureNotice => "NORDSCLCD",
            Self::ConsentCopy => "consent-copy",
        }
    }
}

/// The obligations of a decision to release a resource.
#[must_use]
pub fn obligations(decision: &Decision, resource: Node<'_>) -> Vec<Obligation> {
    of_data(decision, &DataFacts::of(resource).labels)
}

pub(super) fn of_data(decision: &Decision, labels: &BTreeSet<Code>) -> Vec<Obligation> {
    let by_consent = decision.permit && matches!(decision.basis, Basis::Consent { .. });
    if by_consent && labels.contains(&Code::new(CodeSystem::ActCode, "42CFRPart2")) {
        vec![Obligation::RedisclosureNotice, Obligation::ConsentCopy]
    } else {
        Vec::new()
    }
}

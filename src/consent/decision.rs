//! A decision, and the reason for it.

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The patient's right to see the own record (45 CFR 164.524).
    RightOfAccess,
    /// A Consent, by id, and the path of the rule.
    Consent {
        id: String,
        rule: String,
    },
    DefaultPolicy,
    /// The law protects a label beyond what a Consent or the default policy permits. The text cites the paragraph.
    Law(&'static str),
    BreakGlass,
    /// No Consent was consulted: no patient is a subject, or the role, scopes or confinement of the party decide.
    NotGoverned,
}

impl Basis {
    /// The code that names the basis in answers and access records.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RightOfAccess => "right-of-access",
            Self::Consent { .. } => "consent",
            Self::DefaultPolicy => "default-policy",
            Self::Law(_) => "law",
            Self::BreakGlass => "break-glass",
            Self::NotGoverned => "not-governed",
        }
    }
}

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub permit: bool,
    pub basis: Basis,
}

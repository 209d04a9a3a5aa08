//! The settings of a deployment: what Consents mean here where the standard leaves it open.
use std::collections::BTreeSet;

fn named<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// What applies where no Consent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultPolicy {
    Deny,
    /// Treatment, payment and operations by the own organization.
    #[default]
    OwnTpo,
    OwnTreatment,
    TreatmentOnly,
    Tpo,
    PermitAll,
}

impl DefaultPolicy {
    /// Every policy with its name in the configuration.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("deny", Self::Deny),
        ("own-tpo", Self::OwnTpo),
        ("own-treat", Self::OwnTreatment),
        ("treat-only", Self::TreatmentOnly),
        ("tpo", Self::Tpo),
        ("permit-all", Self::PermitAll),
    ];

    /// The policy of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        named(Self::NAMES, name)
    }
}

/// How several Consents of one patient combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combining {
    #[default]
    DenyOverrides,
    MostRecent,
    PermitOverrides,
}

impl Combining {
    /// Every way to combine with its name in the configuration.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("deny-overrides", Self::DenyOverrides),
        ("most-recent", Self::MostRecent),
        ("permit-overrides", Self::PermitOverrides),
    ];

    /// The way to combine with that name (R5 Permission.combining).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        named(Self::NAMES, name)
    }
}

/// What break-glass does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakGlassMode {
    /// A denial yields (45 CFR 164.312(a)(2)(ii)), unless it names emergencies.
    #[default]
    Override,
    /// Only what a Consent permits for BTG is shown (IHE PCF).
    ConsentOnly,
    Off,
}

impl BreakGlassMode {
    /// Every mode with its name in the configuration.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("override", Self::Override), ("consent-only", Self::ConsentOnly), ("off", Self::Off)];

    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        named(Self::NAMES, name)
    }
}

/// The consent settings of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub default_policy: DefaultPolicy,
    pub combining: Combining,
    pub any_purpose_is_enough: bool,
    /// The own organization and its parts (`Organization/id`).
    pub own: BTreeSet<String>,
    /// The labels that the patient's right of access excludes.
    pub no_self_labels: Vec<String>,
    /// Programs that hold data under 42 CFR Part 2.
    pub part2_programs: BTreeSet<String>,
    /// Whether a general consent to treatment, payment and operations covers Part 2 data (the rule of 2024).
    pub part2_general: bool,
    /// Whether a Consent that cannot be enforced counts as a denial.
    pub unsupported_denies: bool,
    /// Whether a Consent that is ambiguous or cannot be enforced is refused when it is written.
    pub strict: bool,
    /// The Consent scopes that are enforced.
    pub scopes: Vec<String>,
    /// What break-glass does to a denial.
    pub break_glass: BreakGlassMode,
    /// Whether a denial for an actor who cannot be identified spares the own clinicians who treat.
    pub spares_treatment: bool,
}

impl Settings {
    /// The settings of a new deployment of this organization.
    #[must_use]
    pub fn of(own: BTreeSet<String>) -> Self {
        Self {
            own,
            scopes: vec!["patient-privacy".to_owned()],
            // The right of access excludes psychotherapy notes (45 CFR 164.524(a)(1)(i)).
            no_self_labels: vec!["PSYTHPN".to_owned()],
            spares_treatment: true,
            ..Self::default()
        }
    }
}

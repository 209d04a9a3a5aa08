//! The settings of consent, as the configuration file has them.
use serde::{Deserialize, Serialize};

use crate::consent::Settings;

/// The table `[consent]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentConfig {
    /// How several Consents of one patient combine: deny-overrides, most-recent or permit-overrides.
    pub combining: String,
    /// Whether one permitted purpose is enough where several are asserted; else all must be permitted.
    pub any_purpose_is_enough: bool,
    /// Whether a Consent that cannot be enforced denies; else it counts as none.
    pub unsupported_denies: bool,
    /// Whether a Consent that is ambiguous, or cannot be enforced, is refused when it is written (422); else it is stored with a
    /// warning.
    pub strict: bool,
    /// Whether a denial for an actor that nobody can compute (a name without reference or identifier) spares the own clinicians who
    /// treat; else it denies them, too.
    pub spares_treatment: bool,
    /// Consent scopes that are enforced.
    pub scopes: Vec<String>,
    /// Sensitivity labels that the right of access does not reach (45 CFR 164.524(a)(1)(i)).
    pub no_self_labels: Vec<String>,
    /// Programs whose staff uses the data that they hold under 42 CFR Part 2, as references.
    pub part2_programs: Vec<String>,
    /// Whether a general consent to treatment, payment and operations covers Part 2 data (the rule of 2024).
    pub part2_general: bool,
    /// The grid, in milliseconds, on which answers are given that show nothing of anybody; 0 gives them at once.
    pub answer_grid_millis: u64,
}

impl Default for ConsentConfig {
    fn default() -> Self {
        let defaults = Settings::of(std::collections::BTreeSet::new());
        Self {
            combining: "deny-overrides".to_owned(),
            any_purpose_is_enough: false,
            unsupported_denies: false,
            strict: false,
            spares_treatment: true,
            scopes: defaults.scopes,
            no_self_labels: defaults.no_self_labels,
            part2_programs: Vec::new(),
            part2_general: false,
            answer_grid_millis: 4,
        }
    }
}

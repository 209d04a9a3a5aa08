//! The configured consent policy: how Consents are interpreted where the standard leaves it open.

use serde::{Deserialize, Serialize};

use crate::consent::{BreakGlassMode, Combining, DefaultPolicy, Settings};

use super::allowed::none_of;

/// The table `[consent]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentConfig {
    /// How several Consents of one patient combine: deny-overrides, most-recent or permit-overrides.
    pub combining: String,
    /// Whether one permitted purpose is enough if a request asserts several; otherwise all must be permitted.
    pub any_purpose_is_enough: bool,
    /// Whether a Consent that cannot be enforced denies; otherwise it is ignored.
    pub unsupported_denies: bool,
    /// Whether writing a Consent that is ambiguous or cannot be enforced is refused (422); otherwise it is stored with a warning.
    pub strict: bool,
    /// Whether a denial for an actor that cannot be computed (a name without reference or identifier) spares the own clinicians
    /// who treat; otherwise it denies them too.
    pub spares_treatment: bool,
    /// Consent scopes that are enforced.
    pub scopes: Vec<String>,
    /// Sensitivity labels of data outside the patient's right of access (45 CFR 164.524(a)(1)(i)).
    pub no_self_labels: Vec<String>,
    /// Programs, as references, whose staff may use the data that they hold under 42 CFR Part 2.
    pub part2_programs: Vec<String>,
    /// Whether a general consent to treatment, payment and operations covers Part 2 data (the rule of 2024).
    pub part2_general: bool,
    /// Answers to writes and Bundles, and answers that disclose no data, are delayed to the next multiple of this many
    /// milliseconds, so that timing does not distinguish hidden from absent resources; 0 sends them at once.
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

fn unknown<T>(key: &'static str, value: &str, names: &[(&str, T)]) -> (&'static str, String) {
    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    (key, none_of(value, &names))
}

/// The settings of consent decisions.
///
/// # Errors
/// The key with an unknown value, and the allowed values.
pub(super) fn settings(
    consent: &ConsentConfig,
    default_policy: &str,
    break_glass: &str,
    organization: &str,
) -> Result<Settings, (&'static str, String)> {
    let ConsentConfig { combining, scopes, no_self_labels, part2_programs, .. } = consent.clone();
    Ok(Settings {
        default_policy: DefaultPolicy::parse(default_policy)
            .ok_or_else(|| unknown("default_policy", default_policy, DefaultPolicy::NAMES))?,
        break_glass: BreakGlassMode::parse(break_glass)
            .ok_or_else(|| unknown("break_glass", break_glass, BreakGlassMode::NAMES))?,
        combining: Combining::parse(&combining)
            .ok_or_else(|| unknown("consent.combining", &combining, Combining::NAMES))?,
        any_purpose_is_enough: consent.any_purpose_is_enough,
        unsupported_denies: consent.unsupported_denies,
        strict: consent.strict,
        spares_treatment: consent.spares_treatment,
        scopes,
        no_self_labels,
        part2_programs: part2_programs.into_iter().collect(),
        part2_general: consent.part2_general,
        own: [organization.to_owned()].into(),
    })
}

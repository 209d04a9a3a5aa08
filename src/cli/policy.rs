//! The policy of a deployment, as it is configured: what Consents mean here where the standard leaves it open.

use crate::consent::{BreakGlassMode, Combining, DefaultPolicy, Settings};

use super::allowed::none_of;
use super::config::Config;
use super::consent_config::ConsentConfig;

fn unknown<T>(key: &'static str, value: &str, names: &[(&str, T)]) -> (&'static str, String) {
    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    (key, none_of(value, &names))
}

/// The settings of decisions.
///
/// # Errors
/// The key whose value is unknown.
pub(super) fn settings(config: &Config) -> Result<Settings, (&'static str, String)> {
    let ConsentConfig { combining, scopes, no_self_labels, part2_programs, .. } = config.consent.clone();
    Ok(Settings {
        default_policy: DefaultPolicy::parse(&config.default_policy)
            .ok_or_else(|| unknown("default_policy", &config.default_policy, DefaultPolicy::NAMES))?,
        break_glass: BreakGlassMode::parse(&config.break_glass)
            .ok_or_else(|| unknown("break_glass", &config.break_glass, BreakGlassMode::NAMES))?,
        combining: Combining::parse(&combining)
            .ok_or_else(|| unknown("consent.combining", &combining, Combining::NAMES))?,
        any_purpose_is_enough: config.consent.any_purpose_is_enough,
        unsupported_denies: config.consent.unsupported_denies,
        strict: config.consent.strict,
        spares_treatment: config.consent.spares_treatment,
        scopes,
        no_self_labels,
        part2_programs: part2_programs.into_iter().collect(),
        part2_general: config.consent.part2_general,
        own: [config.organization.clone()].into(),
    })
}

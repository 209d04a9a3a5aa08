//! Computes the granted scopes: the requested ones, as far as they are registered. Version 1 scopes are granted in version
//! 1 syntax (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
use super::scope::{SPECIAL, Scopes};

/// The longest list of requested or registered scopes, in bytes.
pub(super) const SCOPE_BYTES_MAX: usize = 4 * 1024;

/// On whose behalf a client gets its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrantHolder {
    /// The client itself.
    System,
    /// A user.
    User,
}

/// Whether the server supports a scope.
pub(super) fn is_served(scope: &str) -> bool {
    SPECIAL.contains(&scope) || is_of_resources(scope)
}

fn is_of_resources(scope: &str) -> bool {
    !scope.contains(char::is_whitespace) && Scopes::parse(scope).permits_anything()
}

/// Whether a scope is at the patient level.
pub(super) fn is_of_patient(scope: &str) -> bool {
    scope.starts_with("patient/")
}

/// The parts of a resource scope: `level/resource.suffix?query`.
struct ScopeParts<'s> {
    level: &'s str,
    resource: &'s str,
    suffix: &'s str,
    query: Option<&'s str>,
}

impl<'s> ScopeParts<'s> {
    fn of(scope: &'s str) -> Option<Self> {
        if !is_of_resources(scope) {
            return None;
        }
        let (level, rest) = scope.split_once('/')?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (resource, suffix) = rest.split_once('.')?;
        Some(Self { level, resource, suffix, query })
    }

    fn letters(&self) -> &'s str {
        match self.suffix {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            letters => letters,
        }
    }

    /// The scope that both permit. It keeps this scope's suffix (such as `read`) if all its permissions remain.
    fn narrowed_by(&self, other: &Self) -> Option<String> {
        if self.level != other.level {
            return None;
        }
        let resource = match (self.resource, other.resource) {
            (own, "*") => own,
            ("*", other) => other,
            (own, other) if own == other => own,
            _ => return None,
        };
        let letters: String =
            self.letters().chars().filter(|letter| other.letters().contains(*letter)).collect();
        if letters.is_empty() {
            return None;
        }
        let suffix = if letters == self.letters() { self.suffix } else { &letters };
        let query = match (self.query, other.query) {
            (Some(own), Some(other)) if own != other => format!("?{own}&{other}"),
            (Some(one), _) | (None, Some(one)) => format!("?{one}"),
            (None, None) => String::new(),
        };
        Some(format!("{}/{resource}.{suffix}{query}", self.level))
    }
}

/// The categories by which a user may grant a part of a Condition or Observation scope, as in SMART's granular scopes (US
/// Core 6.1, "SMART on FHIR obligations and capabilities").
const CATEGORIES: [(&str, &str, &str); 9] = [
    ("Condition", "http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis"),
    ("Condition", "http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item"),
    ("Condition", "http://hl7.org/fhir/us/core/CodeSystem/condition-category", "health-concern"),
    ("Observation", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh"),
    ("Observation", "http://terminology.hl7.org/CodeSystem/observation-category", "imaging"),
    ("Observation", "http://terminology.hl7.org/CodeSystem/observation-category", "laboratory"),
    ("Observation", "http://terminology.hl7.org/CodeSystem/observation-category", "social-history"),
    ("Observation", "http://terminology.hl7.org/CodeSystem/observation-category", "survey"),
    ("Observation", "http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs"),
];

/// The narrower scopes that a user may grant instead of a scope; empty if there are none.
pub(super) fn parts_of(scope: &str) -> Vec<String> {
    let Some(parts) = ScopeParts::of(scope).filter(|parts| parts.query.is_none() && parts.level != "system")
    else {
        return Vec::new();
    };
    let of_type = CATEGORIES.iter().filter(|(name, ..)| *name == parts.resource);
    of_type
        .map(|(name, system, code)| {
            format!("{}/{name}.{}?category={system}|{code}", parts.level, parts.letters())
        })
        .collect()
}

/// The requested scopes as far as they are registered, without duplicates, in the order of the request.
pub(super) fn granted(asked: &str, registered: &str, asker: GrantHolder) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    if asked.len() > SCOPE_BYTES_MAX {
        return found;
    }
    for scope in asked.split_whitespace() {
        let fitting = match ScopeParts::of(scope) {
            Some(parts) if (parts.level == "system") == (asker == GrantHolder::System) => {
                let registered = registered.split_whitespace().filter_map(ScopeParts::of);
                let mut narrowed: Vec<String> =
                    registered.filter_map(|other| parts.narrowed_by(&other)).collect();
                if narrowed.iter().any(|narrowed| narrowed == scope) {
                    narrowed = vec![scope.to_owned()];
                }
                narrowed
            }
            Some(_) => Vec::new(),
            None => {
                let is_registered =
                    SPECIAL.contains(&scope) && registered.split_whitespace().any(|known| known == scope);
                if is_registered && asker == GrantHolder::User { vec![scope.to_owned()] } else { Vec::new() }
            }
        };
        for scope in fitting {
            if !found.contains(&scope) {
                found.push(scope);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{GrantHolder, granted, is_served, parts_of};

    #[test]
    fn a_scope_of_a_type_has_parts_that_are_scopes() {
        assert_eq!(parts_of("patient/Condition.rs").len(), 3);
        assert_eq!(parts_of("user/Observation.read").len(), 6);
        for whole in ["patient/Condition.rs", "user/Observation.read"] {
            assert!(parts_of(whole).iter().all(|part| is_served(part)), "{whole}");
        }
        for none in [
            "patient/*.rs",
            "patient/Patient.rs",
            "patient/Condition.rs?category=x",
            "system/Condition.rs",
            "openid",
        ] {
            assert!(parts_of(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn what_is_asked_is_granted_as_far_as_it_is_registered() {
        let check = |asker: GrantHolder, asked: &str, registered: &str, expected: &str| {
            assert_eq!(granted(asked, registered, asker).join(" "), expected, "{asked} of {registered}");
        };
        let system = |asked: &str, registered: &str, expected: &str| {
            check(GrantHolder::System, asked, registered, expected)
        };
        system("system/*.rs", "system/*.cruds", "system/*.rs");
        system("system/*.cruds", "system/*.rs", "system/*.rs");
        system("system/Patient.rs", "system/*.rs", "system/Patient.rs");
        system("system/*.rs", "system/Patient.r system/Coverage.rs", "system/Patient.r system/Coverage.rs");
        system("system/*.rs", "system/*.rs system/Patient.cruds", "system/*.rs");
        system("system/Patient.cu", "system/Patient.rs", "");
        system("system/Patient.rs", "user/Patient.rs", "");
        system("system/*.read", "system/*.rs", "system/*.read");
        system("system/*.read", "system/Patient.rs", "system/Patient.read");
        system("system/*.*", "system/*.rs", "system/*.rs");
        system("system/*.dus system/Patient.sr nonsense", "system/*.cruds", "");
        system(&"system/*.rs ".repeat(400), "system/*.rs", "");
        system("openid user/*.rs patient/*.rs", "openid user/*.rs patient/*.rs", "");
        let user = |asked: &str, registered: &str, expected: &str| {
            check(GrantHolder::User, asked, registered, expected)
        };
        user("openid launch openid", "openid launch/patient", "openid");
        user("patient/*.rs system/*.rs", "patient/*.rs system/*.rs", "patient/*.rs");
        user(
            "patient/Patient.read user/Patient.write",
            "patient/*.read user/*.*",
            "patient/Patient.read user/Patient.write",
        );
    }
}

//! SMART scopes, version 2 (`system/Observation.rs`) and 1 (`patient/*.read`): which interactions with which types a
//! token permits (SMART App Launch 2, "Scopes for requesting FHIR resources").
use std::fmt;

use crate::definitions::r4;

/// Whose authority a scope is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One patient's data.
    Patient,
    /// What the user may see.
    User,
    /// What the system may see.
    System,
}

/// The letters of `cruds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Create,
    Read,
    Update,
    Delete,
    Search,
}

impl Permission {
    const ALL: [(char, Self); 5] = [
        ('c', Self::Create),
        ('r', Self::Read),
        ('u', Self::Update),
        ('d', Self::Delete),
        ('s', Self::Search),
    ];
}

/// One scope. `resource` is `None` for `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub level: Level,
    pub resource: Option<&'static str>,
    pub permissions: Vec<Permission>,
}

impl Scope {
    /// `None` for what is no resource scope, has its letters out of order, or carries search constraints, which are
    /// not served and must not be taken for less than they say.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let level = match level {
            "patient" => Level::Patient,
            "user" => Level::User,
            "system" => Level::System,
            _ => return None,
        };
        let (resource, letters) = rest.split_once('.')?;
        let resource = match resource {
            "*" => None,
            name => Some(&*r4().resource(name)?.name),
        };
        let letters = match letters {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            letters => letters,
        };
        let mut known = Permission::ALL.iter();
        let mut permissions = Vec::new();
        for letter in letters.chars() {
            let (_, permission) = known.find(|(known, _)| *known == letter)?;
            permissions.push(*permission);
        }
        (!permissions.is_empty()).then_some(Self { level, resource, permissions })
    }
}

/// The scopes of a token: what any of them permits is permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    scopes: Vec<Scope>,
    text: String,
}

impl Scopes {
    /// Reads a space-separated list; what is no resource scope (`openid`, `fhirUser`, `launch`) permits nothing here.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { scopes: text.split_whitespace().filter_map(Scope::parse).collect(), text: text.to_owned() }
    }

    /// Whether an interaction with a type is permitted. `None` stands for all types at once.
    #[must_use]
    pub fn permit(&self, permission: Permission, resource: Option<&str>) -> bool {
        self.scopes.iter().any(|scope| {
            scope.permissions.contains(&permission)
                && (scope.resource.is_none() || scope.resource == resource)
        })
    }

    /// Whether any resource scope is among them.
    #[must_use]
    pub fn permits_anything(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// Whether a type is reached only as one patient's data.
    #[must_use]
    pub fn is_patient_only(&self, resource: &str) -> bool {
        let mut levels = self
            .scopes
            .iter()
            .filter(|scope| scope.resource.is_none_or(|name| name == resource))
            .map(|scope| scope.level)
            .peekable();
        levels.peek().is_some() && levels.all(|level| level == Level::Patient)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Permission, Scope, Scopes};

    #[test]
    fn letters_are_a_subset_in_order() {
        for good in [
            "system/*.cruds",
            "user/Patient.rs",
            "patient/Observation.read",
            "user/*.*",
            "system/Patient.write",
        ] {
            assert!(Scope::parse(good).is_some(), "{good}");
        }
        for bad in [
            "system/*.dus",
            "system/*.sr",
            "system/*.rr",
            "system/Nothing.r",
            "system/*.",
            "openid",
            "other/*.r",
            "system/Observation.rs?category=x",
            "system/Patient",
        ] {
            assert!(Scope::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn scopes_add_up() {
        let scopes = Scopes::parse("openid user/Patient.r system/Observation.cs patient/Condition.rs");
        assert!(scopes.permit(Permission::Read, Some("Patient")));
        assert!(!scopes.permit(Permission::Search, Some("Patient")));
        assert!(scopes.permit(Permission::Create, Some("Observation")));
        assert!(!scopes.permit(Permission::Read, None));
        assert!(scopes.is_patient_only("Condition"));
        assert!(!scopes.is_patient_only("Patient"));
        assert!(!scopes.is_patient_only("Encounter"));
    }
}

//! SMART scopes, version 2 (`system/Observation.rs`) and 1 (`patient/*.read`): which interactions with which types a token
//! permits (SMART App Launch 2, "Scopes for requesting FHIR resources").
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::definitions::r4;
use crate::search::Filter;

use super::constraint::Constraint;

/// The level of a scope, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The data of one patient.
    Patient,
    /// What the user may see.
    User,
    /// What the system may see.
    System,
}

/// A permission: one of the letters `cruds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Create,
    Read,
    Update,
    Delete,
    Search,
}

impl Permission {
    /// Either of these permits seeing resources that a response adds, such as included or referenced ones.
    pub const SEEING: [Self; 2] = [Self::Read, Self::Search];

    const ALL: [(char, Self); 5] = [
        ('c', Self::Create),
        ('r', Self::Read),
        ('u', Self::Update),
        ('d', Self::Delete),
        ('s', Self::Search),
    ];
}

/// One resource scope. `resource` is `None` for `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub level: Level,
    pub resource: Option<&'static str>,
    pub permissions: Vec<Permission>,
    pub constraint: Constraint,
}

impl Scope {
    /// Parses a scope. `None` for no resource scope, letters out of order, or a search constraint that cannot be enforced,
    /// because ignoring the constraint would widen the scope.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let level = match level {
            "patient" => Level::Patient,
            "user" => Level::User,
            "system" => Level::System,
            _ => return None,
        };
        let (rest, constraint) = rest.split_once('?').map_or((rest, None), |(rest, text)| (rest, Some(text)));
        let (resource, letters) = rest.split_once('.')?;
        let def = match resource {
            "*" => None,
            name => Some(r4().resource(name)?),
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
        let constraint = match constraint {
            Some(text) => Constraint::parse(def, text).ok()?,
            None => Constraint::default(),
        };
        let resource = def.map(|def| &*def.name);
        (!permissions.is_empty()).then_some(Self { level, resource, permissions, constraint })
    }

    /// The scope that both permit; `None` if there is none.
    #[must_use]
    fn within(&self, bound: &Self) -> Option<Self> {
        let resource = match (self.resource, bound.resource) {
            (None, other) | (other, None) => other,
            (Some(own), Some(other)) => Some(own).filter(|own| *own == other)?.into(),
        };
        let both = self.permissions.iter().filter(|permission| bound.permissions.contains(permission));
        let permissions: Vec<Permission> = both.copied().collect();
        let level = self.level.min(bound.level);
        let constraint = self.constraint.and(&bound.constraint);
        (!permissions.is_empty()).then_some(Self { level, resource, permissions, constraint })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Patient => "patient",
            Level::User => "user",
            Level::System => "system",
        };
        let known = Permission::ALL.iter().filter(|(_, permission)| self.permissions.contains(permission));
        let letters: String = known.map(|(letter, _)| *letter).collect();
        write!(f, "{level}/{}.{letters}", self.resource.unwrap_or("*"))?;
        if self.constraint.is_none() { Ok(()) } else { write!(f, "?{}", self.constraint.text()) }
    }
}

/// The scopes of a token. An interaction is permitted if any scope permits it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Scopes {
    scopes: Vec<Scope>,
    text: String,
}

impl Scopes {
    /// Reads a space-separated list. A scope about no resource type, such as `openid`, permits no interaction.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { scopes: text.split_whitespace().filter_map(Scope::parse).collect(), text: text.to_owned() }
    }

    /// Whether an interaction with a type is permitted, at least for some of its resources. `None` stands for an
    /// interaction with all types at once.
    #[must_use]
    pub fn permit(&self, permission: Permission, resource: Option<&str>) -> bool {
        self.scopes.iter().any(|scope| {
            scope.permissions.contains(&permission)
                && (scope.resource.is_none() || scope.resource == resource)
        })
    }

    /// The scopes that permit any of these interactions with a type.
    pub fn reaching<'s>(
        &'s self,
        permissions: &'s [Permission],
        resource: &'s str,
    ) -> impl Iterator<Item = &'s Scope> {
        self.scopes.iter().filter(move |scope| {
            scope.resource.is_none_or(|name| name == resource)
                && scope.permissions.iter().any(|permission| permissions.contains(permission))
        })
    }

    /// The condition that scopes add to a search of a type; `None` if a scope without a constraint permits it.
    #[must_use]
    pub fn search_filter(&self, resource: &str) -> Option<Filter> {
        let mut any = Vec::new();
        for scope in self.reaching(&[Permission::Search], resource) {
            if scope.constraint.is_none() {
                return None;
            }
            any.push(scope.constraint.filter());
        }
        Some(Filter::any(any))
    }

    /// These scopes, limited to those that `bound` also permits.
    #[must_use]
    pub fn within(&self, bound: &Self) -> Self {
        let mut scopes: Vec<Scope> = Vec::new();
        for own in &self.scopes {
            for scope in bound.scopes.iter().filter_map(|bound| own.within(bound)) {
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
        let mut texts: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        let words = self.text.split_whitespace().filter(|scope| SPECIAL.contains(scope) && bound.has(scope));
        texts.extend(words.map(str::to_owned));
        Self { scopes, text: texts.join(" ") }
    }

    /// Adds the right to read the user's own resource if `openid fhirUser` is granted, because then the app may know it
    /// (SMART App Launch 2.2, "Scopes for requesting identity data"). `fhir_user` is `Type/id`.
    #[must_use]
    pub fn with_user(mut self, fhir_user: Option<&str>) -> Self {
        let identity = fhir_user.filter(|_| self.has("openid") && self.has("fhirUser"));
        let user = identity.and_then(|reference| reference.split_once('/'));
        let scope = user.and_then(|(name, id)| Scope::parse(&format!("user/{name}.r?_id={id}")));
        self.scopes.extend(scope);
        self
    }

    /// Whether the list contains a scope word for word, such as `launch`, which is about no resource type.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.text.split_whitespace().any(|own| own == scope)
    }

    /// Whether the list contains any resource scope.
    #[must_use]
    pub fn permits_anything(&self) -> bool {
        !self.scopes.is_empty()
    }
}

impl From<String> for Scopes {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.text
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The scope by which an administrator permits an app to use `/admin`.
pub(super) const ADMIN: &str = "admin";

/// The scopes about no resource type.
pub(super) const SPECIAL: [&str; 9] = [
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    ADMIN,
];

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
            "system/Observation.rs?category=x",
            "user/*.rs?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|N",
        ] {
            assert!(Scope::parse(good).is_some(), "{good}");
        }
        for bad in [
            "system/*.dus",
            "system/*.sr",
            "system/*.rr",
            "system/*.r,d",
            "system/Nothing.r",
            "system/*.",
            "openid",
            "other/*.r",
            "system/Observation.rs?categry=x",
            "system/Observation.rs?code:in=http://x",
            "system/Observation.rs?",
            "system/Patient",
        ] {
            assert!(Scope::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_names_of_version_1_are_letters_of_version_2() {
        for (v1, v2) in [("read", "rs"), ("write", "cud"), ("*", "cruds")] {
            let text = |letters: &str| Scope::parse(&format!("user/Patient.{letters}")).unwrap().to_string();
            assert_eq!(text(v1), text(v2));
        }
    }

    #[test]
    fn scopes_add_up() {
        let scopes = Scopes::parse("openid user/Patient.r system/Observation.cs patient/Condition.rs");
        assert!(scopes.permit(Permission::Read, Some("Patient")));
        assert!(!scopes.permit(Permission::Search, Some("Patient")));
        assert!(scopes.permit(Permission::Create, Some("Observation")));
        assert!(!scopes.permit(Permission::Read, None));
    }

    #[test]
    fn who_is_known_may_be_read() {
        let reads = |text: &str, user: Option<&str>, name: &str| {
            Scopes::parse(text).with_user(user).permit(Permission::Read, Some(name))
        };
        let user = Some("Practitioner/a");
        assert!(reads("openid fhirUser patient/*.rs", user, "Practitioner"));
        assert!(reads("openid fhirUser", user, "Practitioner"));
        assert!(!reads("openid fhirUser", user, "Patient"));
        assert!(!reads("openid", user, "Practitioner"));
        assert!(!reads("fhirUser", user, "Practitioner"));
        assert!(!reads("openid fhirUser", None, "Practitioner"));
        assert!(
            !Scopes::parse("openid fhirUser")
                .with_user(user)
                .permit(Permission::Search, Some("Practitioner"))
        );
    }

    #[test]
    fn a_bound_narrows() {
        let within = |own: &str, bound: &str| Scopes::parse(own).within(&Scopes::parse(bound)).to_string();
        assert_eq!(within("system/*.cruds", "user/Patient.rs"), "user/Patient.rs");
        assert_eq!(within("patient/Observation.rs openid", "system/*.cruds"), "patient/Observation.rs");
        assert_eq!(
            within("user/Observation.rs?code=1", "user/*.r?_tag=2"),
            "user/Observation.r?code=1&_tag=2"
        );
        assert_eq!(within("user/Patient.c", "user/Patient.r user/Condition.c"), "");
        assert_eq!(within("admin launch openid", "user/*.rs admin openid"), "admin openid");
    }

    #[test]
    fn a_constraint_is_asked_of_a_search_unless_another_scope_has_none() {
        let filter = |text: &str| Scopes::parse(text).search_filter("Observation");
        assert!(filter("user/Observation.rs?code=1").is_some());
        assert!(filter("user/Observation.rs?code=1 user/Observation.r").is_some());
        assert!(filter("user/Observation.rs?code=1 user/*.s").is_none());
    }
}

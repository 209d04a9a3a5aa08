//! Logical ids, version ids and the pair (type, id) that names a resource.
use std::fmt;

/// The id of a resource within its type: 1 to 64 of `A-Z a-z 0-9 - .` (R4 datatypes.html#id).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// The longest id the standard permits, in characters.
    pub const LEN_MAX: usize = 64;

    /// `None` if the text is not an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        (letters && (1..=Self::LEN_MAX).contains(&text.len())).then(|| Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one version of a resource, opaque to clients, with the grammar of [`ResourceId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId(Box<str>);

impl VersionId {
    /// `None` if the text is not an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        ResourceId::parse(text).map(|id| Self(id.0))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a resource: its type's name and its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    pub type_name: &'static str,
    pub id: ResourceId,
}

impl ResourceKey {
    /// The key of `type_name/id`; `None` for an unknown type or an invalid id.
    #[must_use]
    pub fn new(type_name: &str, id: &str) -> Option<Self> {
        let def = crate::definitions::r4().resource(type_name)?;
        Some(Self { type_name: &def.name, id: ResourceId::parse(id)? })
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

//! How this server treats resources of a type that it does not treat like all the others.

/// The rules of a type. By default resources are stored, changed and deleted, and nothing else makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeRules {
    /// The server derives resources of the type from its record of accesses. Other systems may add resources to it, which are
    /// never changed or deleted.
    pub is_access_record: bool,
    /// Resources of the type are sent to operations and never stored.
    pub is_never_stored: bool,
    /// A single resource may be large, such as a document.
    pub is_large: bool,
}

const DEFAULT: TypeRules = TypeRules { is_access_record: false, is_never_stored: false, is_large: false };

const RULES: [(&str, TypeRules); 4] = [
    ("AuditEvent", TypeRules { is_access_record: true, ..DEFAULT }),
    ("Binary", TypeRules { is_large: true, ..DEFAULT }),
    ("Bundle", TypeRules { is_large: true, ..DEFAULT }),
    ("Parameters", TypeRules { is_never_stored: true, ..DEFAULT }),
];

/// The rules of the type of that name.
pub(super) fn rules_of(name: &str) -> TypeRules {
    RULES.iter().find(|(of, _)| *of == name).map_or(DEFAULT, |(_, rules)| *rules)
}

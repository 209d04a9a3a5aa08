//! The text of `Reference.reference` and what it points at (R4 references.html#literal).
use super::id::{ResourceKey, VersionId};

/// A literal reference, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'t> {
    pub target: ReferenceTarget<'t>,
    /// The version that it names, if any.
    pub version: Option<VersionId>,
}

/// What a literal reference points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceTarget<'t> {
    /// `Type/id`: a resource of the server that holds the referring one.
    Relative(ResourceKey),
    /// `http(s)://base/Type/id`: its base without the slash at the end, and the resource there.
    Absolute { base: &'t str, key: ResourceKey },
    /// `#id`: contained in the same resource; `#` alone is the container.
    Fragment(&'t str),
    /// `urn:uuid:` or `urn:oid:`: another entry of the same Bundle.
    Urn(&'t str),
    /// Any other text: a URL that follows no RESTful pattern, or a conditional reference `Type?query`.
    Other(&'t str),
}

impl<'t> Reference<'t> {
    /// Takes a literal reference apart; every text is some reference.
    #[must_use]
    pub fn parse(text: &'t str) -> Self {
        let plain = |target| Self { target, version: None };
        if let Some(id) = text.strip_prefix('#') {
            return plain(ReferenceTarget::Fragment(id));
        }
        if text.starts_with("urn:") {
            return plain(ReferenceTarget::Urn(text));
        }
        let (path, version) = match text.split_once("/_history/") {
            Some((path, version)) => (path, VersionId::parse(version)),
            None => (text, None),
        };
        let mut parts = path.rsplitn(3, '/');
        let (id, type_name, base) = (parts.next(), parts.next(), parts.next());
        let key = type_name.zip(id).and_then(|(type_name, id)| ResourceKey::new(type_name, id));
        let target = match (key, base) {
            (Some(key), None) => ReferenceTarget::Relative(key),
            (Some(key), Some(base)) if base.starts_with("http://") || base.starts_with("https://") => {
                ReferenceTarget::Absolute { base, key }
            }
            _ => return plain(ReferenceTarget::Other(text)),
        };
        Self { target, version }
    }

    /// The resource on this server that the reference names: relative, or absolute under one of our own bases.
    #[must_use]
    pub fn local(&self, own_base: &str) -> Option<&ResourceKey> {
        match &self.target {
            ReferenceTarget::Relative(key) => Some(key),
            ReferenceTarget::Absolute { base, key } if *base == own_base => Some(key),
            ReferenceTarget::Absolute { .. }
            | ReferenceTarget::Fragment(_)
            | ReferenceTarget::Urn(_)
            | ReferenceTarget::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reference, ReferenceTarget};

    fn check(text: &str, own: Option<&str>, version: Option<&str>) {
        let reference = Reference::parse(text);
        assert_eq!(reference.local("http://us/fhir").map(ToString::to_string).as_deref(), own, "{text}");
        assert_eq!(reference.version.as_ref().map(|version| version.as_str()), version, "{text}");
    }

    #[test]
    fn literal_references_are_taken_apart() {
        check("Patient/1", Some("Patient/1"), None);
        check("Patient/1/_history/2", Some("Patient/1"), Some("2"));
        check("http://us/fhir/Patient/1", Some("Patient/1"), None);
        check("http://other/fhir/Patient/1", None, None);
        check("Nothing/1", None, None);
        check("Patient/a b", None, None);
        check("Patient?identifier=1", None, None);
        check("ftp://us/fhir/Patient/1", None, None);
        assert_eq!(Reference::parse("#a").target, ReferenceTarget::Fragment("a"));
        assert_eq!(Reference::parse("urn:uuid:a").target, ReferenceTarget::Urn("urn:uuid:a"));
    }
}

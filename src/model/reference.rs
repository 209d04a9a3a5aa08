//! Parses the text of `Reference.reference` (R4 references.html#literal).
use super::id::{ResourceKey, VersionId};

/// A parsed literal reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'t> {
    pub target: ReferenceTarget<'t>,
    /// The version that the reference names, if any.
    pub version: Option<VersionId>,
}

/// The target of a literal reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceTarget<'t> {
    /// `Type/id`: a resource on the same server as the referring one.
    Relative(ResourceKey),
    /// `http(s)://base/Type/id`: the base URL without its trailing slash, and the resource.
    Absolute { base: &'t str, key: ResourceKey },
    /// `#id`: a resource contained in the same container; `#` alone is the container itself.
    Fragment(&'t str),
    /// `urn:uuid:` or `urn:oid:`: another entry of the same Bundle.
    Urn(&'t str),
    /// Any other text: a URL that follows no RESTful pattern, or a conditional reference `Type?query`.
    Other(&'t str),
}

impl<'t> Reference<'t> {
    /// Parses a literal reference; every text is a reference of some kind.
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

    /// The local resource that the reference names: relative, or absolute under this server's own base.
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

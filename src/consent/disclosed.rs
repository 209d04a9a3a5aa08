//! The last state of a resource on its way to a reader: a text that this reader may have.
use std::collections::BTreeSet;

use crate::definitions::{TypeDef, r4};
use crate::model::{Millis, Node, parse};

use super::release::Release;

/// The last state of a resource: a text that its reader may have. Of a stored resource only a lens can make one.
#[derive(Clone, Debug)]
pub struct Disclosed {
    text: String,
    /// `Type/id` if it shows one resource of the store, else empty.
    reference: String,
    version_id: String,
    time: Millis,
    patients: BTreeSet<String>,
    /// The versions that it shows, each with the basis of its release.
    releases: Vec<Release>,
    /// Whether nothing was masked.
    is_whole: bool,
}

impl Disclosed {
    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    #[must_use]
    pub fn version_id(&self) -> &str {
        &self.version_id
    }

    #[must_use]
    pub fn time(&self) -> Millis {
        self.time
    }

    /// `Patient/id` of every data subject.
    #[must_use]
    pub fn patients(&self) -> &BTreeSet<String> {
        &self.patients
    }

    /// The versions that it shows, each with the basis of its release.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// Whether nothing was masked. Only then does the version id identify the content that the reader has.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Made of what a lens decided to show of one version.
    pub(super) fn of(shown: Shown) -> Self {
        let Shown { text, is_whole, time, release } = shown;
        let Release { reference, version_id, patients, .. } = release.clone();
        Self { text, reference, version_id, time, patients, releases: vec![release], is_whole }
    }

    /// Made of a text that consists of disclosed parts and of what is not confidential.
    pub(super) fn gathered(
        text: String,
        time: Millis,
        patients: BTreeSet<String>,
        releases: Vec<Release>,
    ) -> Self {
        let (reference, version_id) = (String::new(), String::new());
        Self { text, reference, version_id, time, patients, releases, is_whole: true }
    }

    /// Only the Meta of the resource, as the Parameters that `$meta` returns.
    #[must_use]
    pub fn meta(&self) -> Self {
        let Ok(tree) = parse(self.text.clone().into_bytes()) else { return self.clone() };
        let mut meta = String::new();
        match tree.root().get("meta") {
            Some(node) => crate::model::minify(node, &mut meta),
            None => meta.push_str("{}"),
        }
        let text = format!(
            "{{\"resourceType\":\"Parameters\",\"parameter\":[{{\"name\":\"return\",\"valueMeta\":{meta}}}]}}"
        );
        Self { text, ..self.clone() }
    }

    /// The labels, tags and profiles on resources that the party sees, as the Parameters that `$meta` returns: the members of
    /// Meta, each with its JSON values. It tells nothing about single resources.
    #[must_use]
    pub fn meta_in_use(parts: &[(&str, Vec<serde_json::Value>)], time: Millis) -> Self {
        let parts = parts.iter().filter(|(_, values)| !values.is_empty());
        let meta: serde_json::Map<String, serde_json::Value> =
            parts.map(|(name, values)| ((*name).to_owned(), values.clone().into())).collect();
        let text = serde_json::json!({
            "resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": meta}]
        });
        Self::gathered(text.to_string(), time, BTreeSet::new(), Vec::new())
    }

    /// A resource that this one contains, and its type.
    #[must_use]
    pub fn contained(&self, id: &str) -> Option<(Self, &'static TypeDef)> {
        let tree = parse(self.text.clone().into_bytes()).ok()?;
        let inner = tree.root().items_at("contained").find(|inner| inner.str_at("id") == Some(id))?;
        let def = r4().resource(inner.str_at("resourceType")?)?;
        let mut text = String::new();
        crate::model::minify(inner, &mut text);
        Some((Self { text, ..self.clone() }, def))
    }

    /// The same resource with only some of its elements, tagged `SUBSETTED` (R4 search.html#elements).
    #[must_use]
    pub fn reduced(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        let Ok(tree) = parse(self.text.clone().into_bytes()) else { return self.clone() };
        let mut text = String::from("{");
        for child in tree.root().children().filter(|child| keep(child.key())) {
            if text.len() > 1 {
                text.push(',');
            }
            if child.key() == "meta" {
                text.push_str("\"meta\":");
                text.push_str(&subsetted(child));
            } else {
                crate::model::quote(child.key(), &mut text);
                text.push(':');
                crate::model::minify(child, &mut text);
            }
        }
        text.push('}');
        Self { text, ..self.clone() }
    }
}

/// The Meta of a subset, with the tag `SUBSETTED`.
fn subsetted(meta: Node<'_>) -> String {
    const TAG: &str =
        "{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ObservationValue\",\"code\":\"SUBSETTED\"}";
    let mut text = String::from("{");
    for child in meta.children().filter(|child| child.key() != "tag") {
        crate::model::quote(child.key(), &mut text);
        text.push(':');
        crate::model::minify(child, &mut text);
        text.push(',');
    }
    text.push_str("\"tag\":[");
    for tag in meta.items_at("tag") {
        crate::model::minify(tag, &mut text);
        text.push(',');
    }
    text.push_str(TAG);
    text.push_str("]}");
    text
}

/// What a lens shows of one version, and the release to record.
pub(super) struct Shown {
    pub(super) text: String,
    /// Whether nothing was masked.
    pub(super) is_whole: bool,
    pub(super) time: Millis,
    pub(super) release: Release,
}

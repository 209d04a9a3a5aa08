//! What references in a Bundle's entries mean (R4 bundle.html#references, http.html#trules): another entry, a resource of this
//! server, or one of another server. A reference is resolved against the fullUrl of its entry: `Patient/7` in an entry of
//! `http://vendor/fhir` is that server's Patient, never the Patient with that id here.
use std::collections::{BTreeMap, HashMap};

use crate::definitions::{TypeDef, r4};
use crate::model::{JsonKind, Node, Reference, ReferenceTarget, Tree, copied};

use super::own_base::OwnBase;

/// What a reference is replaced with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReferenceMeaning {
    /// The text stays as it is written.
    AsWritten,
    /// The `Type/id` of another entry's resource, or the absolute URL of another server's resource.
    Text(String),
    /// `Type?criteria`, relative to this server's base URL.
    Conditional(String),
    /// A URN that is the fullUrl of no entry.
    UnknownUrn,
}

/// What references are resolved against: the Bundle's entries and this server's base URL.
pub(super) struct BundleReferences<'b> {
    /// `Type/id` by fullUrl, for entries whose id is known.
    pub(super) by_full_url: &'b HashMap<String, String>,
    pub(super) own: OwnBase<'b>,
}

impl BundleReferences<'_> {
    /// What a text means in an entry with this fullUrl.
    pub(super) fn meaning(&self, text: &str, full_url: Option<&str>) -> ReferenceMeaning {
        if text.starts_with('#') {
            return ReferenceMeaning::AsWritten;
        }
        if let Some(target) = self.by_full_url.get(text) {
            return ReferenceMeaning::Text(target.clone());
        }
        if let Some((path, criteria)) = text.split_once('?') {
            // Criteria may contain URLs with fragments, so `?` is looked for before `#`.
            let path = if path.contains("://") { self.own.below(path) } else { Some(path) };
            return match path.filter(|path| !path.starts_with("urn:")) {
                Some(path) => ReferenceMeaning::Conditional(format!("{path}?{criteria}")),
                None => ReferenceMeaning::AsWritten,
            };
        }
        let (whole, fragment) =
            text.split_once('#').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let (url, version) =
            whole.split_once("/_history/").map_or((whole, None), |(url, rest)| (url, Some(rest)));
        let with_fragment = |target: &str| match fragment {
            Some(fragment) => format!("{target}#{fragment}"),
            None => target.to_owned(),
        };
        // Version ids of the sending server mean nothing here, so the reference loses its version.
        if let Some(target) = self.by_full_url.get(url) {
            return ReferenceMeaning::Text(with_fragment(target));
        }
        if url.starts_with("urn:") {
            return ReferenceMeaning::UnknownUrn;
        }
        if !matches!(Reference::parse(url).target, ReferenceTarget::Relative(_)) {
            return ReferenceMeaning::AsWritten;
        }
        let Some(root) = full_url.and_then(root_of) else { return ReferenceMeaning::AsWritten };
        let absolute = format!("{root}/{url}");
        if let Some(target) = self.by_full_url.get(&absolute) {
            return ReferenceMeaning::Text(with_fragment(target));
        }
        if self.own.below(&absolute).is_some() {
            return ReferenceMeaning::AsWritten;
        }
        let versioned =
            version.map_or_else(|| absolute.clone(), |version| format!("{absolute}/_history/{version}"));
        ReferenceMeaning::Text(with_fragment(&versioned))
    }
}

/// The base URL in an entry's fullUrl, if that is a RESTful URL (`base/Type/id`).
fn root_of(full_url: &str) -> Option<&str> {
    match Reference::parse(full_url).target {
        ReferenceTarget::Absolute { base, .. } => Some(base),
        _ => None,
    }
}

/// What kind of element holds a text that may refer to another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferenceSite {
    /// `Reference.reference`.
    Reference,
    /// An element of type uri, url, oid or uuid, or a link in a narrative.
    Address,
}

/// Called with the kind of element, its text and its path; returns the new text, or `None` to keep it.
pub(super) type Replace<'r> = dyn FnMut(ReferenceSite, &str, &str) -> Option<String> + 'r;

/// A copy of a resource, with texts that refer to other entries replaced.
pub(super) fn rewritten(resource: Node<'_>, replace: &mut Replace<'_>) -> Tree {
    let def = resource.str_at("resourceType").and_then(|name| r4().resource(name));
    let path = def.map(|def| def.name.to_string()).unwrap_or_default();
    let mut rewriting = Rewriting { replace, path, strings: BTreeMap::new() };
    rewriting.element(resource, None, def);
    copied(resource, rewriting.strings)
}

/// The search for texts to replace.
struct Rewriting<'w, 'r> {
    replace: &'w mut Replace<'r>,
    /// The path of the current element.
    path: String,
    /// New texts by the index of their node.
    strings: BTreeMap<u32, String>,
}

impl Rewriting<'_, '_> {
    /// Visits the value of an element; `within` is the type that declares the element, `of` the element's own type.
    fn element(&mut self, node: Node<'_>, within: Option<&'static TypeDef>, of: Option<&'static TypeDef>) {
        if node.kind() == JsonKind::String {
            return self.text(node, within, of);
        }
        // Contained resources and resources in Bundles state their own type.
        let inner = node.str_at("resourceType").and_then(|name| r4().resource(name)).or(of);
        for (child, number) in node.children().zip(0_usize..) {
            let path_len = self.path.len();
            if node.kind() == JsonKind::Object {
                self.path.push('.');
                self.path.push_str(child.key());
                let property = inner.and_then(|def| def.property(child.key()));
                self.element(child, inner, property.and_then(|property| r4().get(property.type_id)));
            } else {
                self.path.push_str(&format!("[{number}]"));
                self.element(child, within, of);
            }
            self.path.truncate(path_len);
        }
    }

    fn text(&mut self, node: Node<'_>, within: Option<&'static TypeDef>, of: Option<&'static TypeDef>) {
        let text = node.text();
        let replaced = match (within.map(|def| &*def.name), of.map(|def| &*def.name)) {
            (Some("Reference"), _) if node.key() == "reference" => {
                (self.replace)(ReferenceSite::Reference, text, &self.path)
            }
            (_, Some("uri" | "url" | "oid" | "uuid")) => {
                (self.replace)(ReferenceSite::Address, text, &self.path)
            }
            (_, Some("xhtml")) => links_replaced(text, &self.path, self.replace),
            _ => None,
        };
        self.strings.extend(replaced.map(|text| (node.index(), text)));
    }
}

/// A narrative with its links (`a/@href`, `img/@src`) replaced; `None` if no link changes.
fn links_replaced(div: &str, path: &str, replace: &mut Replace<'_>) -> Option<String> {
    let mut out = String::with_capacity(div.len());
    let (mut done, mut is_changed) = (0, false);
    while let Some((begin, end)) = next_link(div, done) {
        let (Some(before), Some(value)) = (div.get(done..begin), div.get(begin..end)) else { break };
        out.push_str(before);
        // The only XML escape that addresses contain is that of the ampersand.
        match replace(ReferenceSite::Address, &value.replace("&amp;", "&"), path) {
            Some(text) => {
                out.push_str(&text.replace('&', "&amp;"));
                is_changed = true;
            }
            None => out.push_str(value),
        }
        done = end;
    }
    out.push_str(div.get(done..).unwrap_or_default());
    is_changed.then_some(out)
}

/// The byte range of the next link's value, from a position on.
fn next_link(div: &str, from: usize) -> Option<(usize, usize)> {
    let of = |name: &str| {
        let mut from = from;
        loop {
            let at = from + div.get(from..)?.find(name)?;
            from = at + name.len();
            let (before, after) = (div.get(..at)?, div.get(from..)?.trim_start());
            let is_in_tag = before.rfind('<') > before.rfind('>');
            if is_in_tag && before.ends_with(char::is_whitespace) && after.starts_with('=') {
                let value = after.strip_prefix('=')?.trim_start();
                let mark = value.chars().next().filter(|mark| matches!(mark, '"' | '\''))?;
                let value = value.strip_prefix(mark)?;
                let begin = div.len() - value.len();
                return Some((begin, begin + value.find(mark)?));
            }
        }
    };
    [of("href"), of("src")].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{BundleReferences, OwnBase, ReferenceMeaning, links_replaced, rewritten};
    use crate::model::parse;

    const UUID: &str = "urn:uuid:11111111-1111-4111-8111-111111111110";

    fn check(text: &str, full_url: Option<&str>, expected: Option<&str>) {
        let entries = [
            ("http://vendor/fhir/Patient/7", "Patient/new"),
            ("http://us/fhir/Patient/8", "Patient/8"),
            (UUID, "Task/t"),
        ];
        let by_full_url: HashMap<String, String> =
            entries.iter().map(|(url, target)| ((*url).to_owned(), (*target).to_owned())).collect();
        let bundled = BundleReferences { by_full_url: &by_full_url, own: OwnBase::of("http://us/fhir") };
        let meant = match bundled.meaning(text, full_url) {
            ReferenceMeaning::AsWritten => None,
            ReferenceMeaning::Text(text) => Some(text),
            ReferenceMeaning::Conditional(text) => Some(format!("conditional {text}")),
            ReferenceMeaning::UnknownUrn => Some("unknown urn".to_owned()),
        };
        assert_eq!(meant.as_deref(), expected, "{text} in {full_url:?}");
    }

    #[test]
    fn a_reference_is_read_against_the_full_url_of_its_entry() {
        let vendor = Some("http://vendor/fhir/Observation/9");
        check("Patient/7", vendor, Some("Patient/new"));
        check("Patient/7/_history/3", vendor, Some("Patient/new"));
        check("Patient/7#name", vendor, Some("Patient/new#name"));
        check("http://vendor/fhir/Patient/7", vendor, Some("Patient/new"));
        check("http://vendor/fhir/Patient/7/_history/3", None, Some("Patient/new"));
        check("Patient/8", vendor, Some("http://vendor/fhir/Patient/8"));
        check("Practitioner/5/_history/2", vendor, Some("http://vendor/fhir/Practitioner/5/_history/2"));
        check("http://other/fhir/Patient/7", vendor, None);
        check("#contained", vendor, None);
        for criteria in [
            "Patient?identifier=1",
            "Patient?identifier=http://mrn.example/x#y|1",
            "Patient?identifier=urn:mrn|1",
        ] {
            check(criteria, vendor, Some(&format!("conditional {criteria}")));
        }
        check("http://us/fhir/Patient?identifier=1", vendor, Some("conditional Patient?identifier=1"));
        check("http://vendor/fhir/Patient?identifier=1", vendor, None);
        // Entries of this server, entries with URNs, and entries without a fullUrl.
        let own = Some("http://us/fhir/Observation/9");
        check("Patient/8", own, Some("Patient/8"));
        check("Patient/7", own, None);
        for full_url in [Some(UUID), None] {
            check("Patient/7", full_url, None);
            check(UUID, full_url, Some("Task/t"));
            check("urn:uuid:11111111-1111-4111-8111-111111111119", full_url, Some("unknown urn"));
            check("urn:oid:1.2.3", full_url, Some("unknown urn"));
        }
    }

    #[test]
    fn texts_are_replaced_where_their_type_says_that_they_may_refer() {
        let resource = parse(
            br#"{"resourceType":"Observation","id":"x","subject":{"reference":"x","display":"x"},"code":{"text":"x"},
                "derivedFrom":[{"reference":"x"},{"identifier":{"system":"x","value":"x"}}],
                "text":{"status":"generated","div":"<div>x <a href=\"x\">x</a> <img alt='x' src = 'x'/> href=\"x\"</div>"},
                "contained":[{"resourceType":"Patient","link":[{"other":{"reference":"x"},"type":"seealso"}]}],
                "extension":[{"url":"y","valueUuid":"x"},{"url":"y","valueString":"x"}]}"#
                .to_vec(),
        )
        .unwrap();
        let mut paths = Vec::new();
        let tree = rewritten(resource.root(), &mut |_, text, path| {
            (text == "x").then(|| {
                paths.push(path.to_owned());
                "NEW".to_owned()
            })
        });
        assert_eq!(
            paths,
            [
                "Observation.subject.reference",
                "Observation.derivedFrom[0].reference",
                "Observation.derivedFrom[1].identifier.system",
                "Observation.text.div",
                "Observation.text.div",
                "Observation.contained[0].link[0].other.reference",
                "Observation.extension[0].valueUuid",
            ]
        );
        let text = tree.text();
        assert!(
            text.contains(r#"<div>x <a href=\"NEW\">x</a> <img alt='x' src = 'NEW'/> href=\"x\"</div>"#),
            "{text}"
        );
        assert_eq!(
            links_replaced("<a href=\"a&amp;b\">", "", &mut |_, text, _| Some(format!("{text}&c"))).unwrap(),
            "<a href=\"a&amp;b&amp;c\">"
        );
    }
}

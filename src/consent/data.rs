//! What a decision looks at in a resource: whose data it is, its labels, its dates, its authors, its codes.
use std::collections::BTreeSet;

use crate::definitions::r4;
use crate::model::{Interval, JsonKind, Node, Reference, ReferenceTarget, Temporal};

use crate::search::Facts;

use super::belonging::names;
use super::codes::{Code, CodeSystem, NORMAL_RANK, RESTRICTED_RANK, STIGMATIZING, confidentiality_rank};

/// The facts of a resource for decisions. References are `Type/id`.
#[derive(Clone, Debug, Default)]
pub struct DataFacts {
    pub reference: String,
    pub type_name: String,
    pub profiles: BTreeSet<String>,
    pub labels: BTreeSet<Code>,
    pub tags: BTreeSet<(String, String)>,
    pub source: Option<String>,
    /// Effective confidentiality: its own label, raised by stigmatizing ones.
    pub confidentiality: u8,
    /// `Patient/id` of every data subject.
    pub owners: BTreeSet<String>,
    pub authors: BTreeSet<String>,
    pub custodians: BTreeSet<String>,
    /// What it refers to, and what is known to refer to it.
    pub outgoing: BTreeSet<String>,
    pub incoming: BTreeSet<String>,
    /// What it is about, where it has the subjects and labels of others.
    pub named: BTreeSet<String>,
    pub codes: BTreeSet<Code>,
    pub mime_types: BTreeSet<String>,
    pub when: Option<Interval>,
}

/// Elements that say when something was so or was done, the clinical time before the time of recording.
const DATE_ELEMENTS: [&str; 17] = [
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "onsetDateTime",
    "onsetPeriod",
    "occurrenceDateTime",
    "occurrencePeriod",
    "performedDateTime",
    "performedPeriod",
    "period",
    "authoredOn",
    "recordedDate",
    "date",
    "issued",
    "created",
    "started",
    "dateAsserted",
];
/// The system of the codes of Tasks that the server makes: work for the own staff alone.
pub const WORK_SYSTEM: &str = "urn:chartward:work";

const AUTHOR_ELEMENTS: [&str; 10] = [
    "performer",
    "recorder",
    "asserter",
    "author",
    "requester",
    "participant",
    "practitioner",
    "source",
    "informationSource",
    "provider",
];

impl DataFacts {
    /// The facts of a resource. What it contains or carries counts as its own: whose it is, and its labels.
    #[must_use]
    pub fn of(resource: Node<'_>) -> Self {
        let type_name = resource.str_at("resourceType").unwrap_or_default().to_owned();
        let mut facts = Self {
            reference: format!("{type_name}/{}", resource.str_at("id").unwrap_or("?")),
            ..Self::default()
        };
        if let Some(meta) = resource.get("meta") {
            facts.read_meta(meta);
        }
        for child in resource.children().filter(|child| child.key() != "contained") {
            facts.read_element(child);
            if names(child, &type_name) {
                let references = child.subtree().filter(|node| node.key() == "reference");
                facts.named.extend(references.filter_map(Node::as_str).map(plain));
            }
        }
        if type_name == "Consent" {
            // Whom it gives rights to is not what it is about.
            let provision = resource.get("provision").into_iter().flat_map(Node::subtree);
            for actor in provision.filter(|node| node.key() == "actor") {
                for node in actor.subtree().filter(|node| node.key() == "reference") {
                    facts.named.remove(&plain(node.text()));
                }
            }
        }
        let security = resource.subtree().filter(|node| node.key() == "security");
        facts.labels.extend(security.flat_map(Node::items).filter_map(Code::of_coding));
        if let Some(def) = r4().resource(&type_name) {
            facts.owners =
                Facts::of(def, resource).patients.iter().map(|id| format!("Patient/{id}")).collect();
        }
        facts.when = DATE_ELEMENTS.iter().find_map(|name| interval(resource.get(name)?));
        facts.type_name = type_name;
        facts.level();
        facts
    }

    fn read_meta(&mut self, meta: Node<'_>) {
        self.profiles = meta.items_at("profile").filter_map(Node::as_str).map(str::to_owned).collect();
        self.source = meta.str_at("source").map(str::to_owned);
        let text = |node: Node<'_>, name: &str| node.str_at(name).unwrap_or_default().to_owned();
        self.tags = meta.items_at("tag").map(|tag| (text(tag, "system"), text(tag, "code"))).collect();
    }

    /// Sets the effective confidentiality from the labels.
    pub fn level(&mut self) {
        let own = self
            .labels
            .iter()
            .filter(|label| label.system == CodeSystem::Confidentiality)
            .filter_map(|label| confidentiality_rank(&label.code))
            .max();
        self.confidentiality = own.unwrap_or(NORMAL_RANK);
        if self.has_label_of(&STIGMATIZING) {
            self.confidentiality = self.confidentiality.max(RESTRICTED_RANK);
        }
    }

    /// Whether it is work that the server has made for the own staff.
    #[must_use]
    pub fn is_work(&self) -> bool {
        self.type_name == "Task"
            && self.codes.iter().any(|code| code.system == CodeSystem::Other(WORK_SYSTEM.to_owned()))
    }

    /// Whether any of these sensitivity codes is among the labels.
    #[must_use]
    pub fn has_label_of(&self, codes: &[&str]) -> bool {
        self.labels
            .iter()
            .any(|label| label.system == CodeSystem::ActCode && codes.contains(&label.code.as_str()))
    }

    fn read_element(&mut self, child: Node<'_>) {
        let name = child.key();
        for node in child.subtree() {
            match node.key() {
                "reference" if node.kind() == JsonKind::String => {
                    let target = plain(node.text());
                    if AUTHOR_ELEMENTS.contains(&name) && !target.starts_with("Patient/") {
                        self.authors.insert(target.clone());
                    }
                    if name == "custodian" {
                        self.custodians.insert(target.clone());
                    }
                    self.outgoing.insert(target);
                }
                "coding" if name != "meta" => self.codes.extend(node.items().filter_map(Code::of_coding)),
                "contentType" => self.mime_types.extend(node.as_str().map(str::to_owned)),
                _ => {}
            }
        }
    }
}

/// `Type/id` of a reference wherever it stands, or its text.
#[must_use]
pub fn plain(reference: &str) -> String {
    match Reference::parse(reference).target {
        ReferenceTarget::Relative(key) | ReferenceTarget::Absolute { key, .. } => key.to_string(),
        ReferenceTarget::Fragment(_) | ReferenceTarget::Urn(_) | ReferenceTarget::Other(_) => {
            reference.to_owned()
        }
    }
}

fn interval(node: Node<'_>) -> Option<Interval> {
    if let Some(text) = node.as_str() {
        return Temporal::parse(text).map(|date| date.interval());
    }
    let bound = |name: &str| node.str_at(name).and_then(Temporal::parse).map(|date| date.interval());
    let (start, end) = (bound("start"), bound("end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    Some(Interval {
        start: start.map_or(Interval::ALWAYS.start, |start| start.start),
        end: end.map_or(Interval::ALWAYS.end, |end| end.end),
    })
}

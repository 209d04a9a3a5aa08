//! The facts about a resource that decisions use: its data subjects, labels, dates, authors and codes.
use std::collections::BTreeSet;

use crate::definitions::{TypeDef, r4};
use crate::model::{Interval, JsonKind, Node};
use crate::search::{Facts, plain};

use super::codes::{
    BY_KIND, Code, CodeSystem, NORMAL_RANK, OF_ANY_SYSTEM, RESTRICTED_RANK, STIGMATIZING,
    confidentiality_rank,
};
use super::naming::names;

/// The facts of a resource for decisions. References are `Type/id`.
#[derive(Clone, Debug, Default)]
pub struct DataFacts {
    pub reference: String,
    pub type_name: String,
    pub profiles: BTreeSet<String>,
    pub labels: BTreeSet<Code>,
    pub tags: BTreeSet<(String, String)>,
    pub source: Option<String>,
    /// The rank of the effective confidentiality: that of its label, raised by stigmatizing labels.
    pub confidentiality: u8,
    /// `Patient/id` of every data subject.
    pub owners: BTreeSet<String>,
    /// Whether a data subject is a patient who cannot be identified here: named by an identifier alone, or by a resource
    /// elsewhere.
    pub of_unknown: bool,
    pub authors: BTreeSet<String>,
    pub custodians: BTreeSet<String>,
    /// The resources that it refers to, and those that are known to refer to it.
    pub outgoing: BTreeSet<String>,
    pub incoming: BTreeSet<String>,
    /// The resources whose subjects and labels it takes on.
    pub named: BTreeSet<String>,
    pub codes: BTreeSet<Code>,
    /// Whether a concept that says what the resource is about has a text and no code.
    pub is_uncoded: bool,
    pub mime_types: BTreeSet<String>,
    pub when: Option<Interval>,
}

/// The code system of the Tasks that the server creates as work for the own staff.
pub const WORK_SYSTEM: &str = "urn:chartward:work";

/// Elements whose concept says what a resource is about, besides those that are named `...CodeableConcept`.
const SAYS_WHAT: [&str; 6] = ["code", "type", "category", "vaccineCode", "reasonCode", "substance"];

impl DataFacts {
    /// The facts of a resource. The subjects and labels of resources that it contains or carries count as its own.
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
            // A Consent does not take on the subjects and labels of its grantees.
            let provision = resource.get("provision").into_iter().flat_map(Node::subtree);
            for actor in provision.filter(|node| node.key() == "actor") {
                for node in actor.subtree().filter(|node| node.key() == "reference") {
                    facts.named.remove(&plain(node.text()));
                }
            }
        }
        if let Some(def) = r4().resource(&type_name) {
            facts.read_facts(&Facts::of(def, resource));
        }
        facts.type_name = type_name;
        facts.level();
        facts
    }

    /// The facts stored with a row, without the resource.
    #[must_use]
    pub fn of_row(def: &TypeDef, known: &Facts) -> Self {
        let mut facts = Self { type_name: def.name.to_string(), ..Self::default() };
        facts.read_facts(known);
        facts.level();
        facts
    }

    fn read_facts(&mut self, known: &Facts) {
        self.of_unknown = known.of_unknown;
        self.owners = known.patients.iter().map(|id| format!("Patient/{id}")).collect();
        let labels = known.labels.iter().filter(|(_, code)| !code.is_empty());
        for (system, code) in labels {
            let system = CodeSystem::of(system);
            let is_sensitivity = system == CodeSystem::Confidentiality && BY_KIND.contains(&code.as_str());
            if is_sensitivity || OF_ANY_SYSTEM.contains(&code.as_str()) {
                self.labels.insert(Code::new(CodeSystem::ActCode, code.as_str()));
            }
            self.labels.insert(Code::new(system, code.as_str()));
        }
        self.authors.extend(known.authors.iter().cloned());
        self.custodians.extend(known.custodians.iter().cloned());
        self.when = known.when;
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

    /// Whether it is a Task that the server created as work for the own staff.
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
            let is_concept = SAYS_WHAT.contains(&node.key()) || node.key().ends_with("CodeableConcept");
            if is_concept {
                let mut concepts = node.items().filter(|concept| concept.kind() == JsonKind::Object);
                self.is_uncoded |= concepts.any(|concept| {
                    concept.get("text").is_some()
                        && concept.items_at("coding").all(|coding| coding.get("code").is_none())
                });
            }
            match node.key() {
                "reference" if node.kind() == JsonKind::String => {
                    self.outgoing.insert(plain(node.text()));
                }
                "coding" if name != "meta" => self.codes.extend(node.items().filter_map(Code::of_coding)),
                "contentType" => self.mime_types.extend(node.as_str().map(str::to_owned)),
                _ => {}
            }
        }
    }
}

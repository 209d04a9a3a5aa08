//! The facts about a resource that most disclosure decisions need: its data subjects, security labels, clinical date and
//! authors.
use std::collections::HashSet;

use crate::definitions::{ElementDef, Kind, TypeDef, r4};
use crate::model::{Interval, JsonKind, Node, Reference, ReferenceTarget, Temporal};

/// The facts, stored with every version so that a search can decide without reading the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ids of the Patients who are its data subjects, sorted.
    pub patients: Vec<String>,
    /// System and code of the security labels on it, its elements and its contained resources, sorted.
    pub labels: Vec<(String, String)>,
    /// When the event that it describes took place.
    pub when: Option<Interval>,
    /// `Type/id` of those who recorded or performed it, without patients, sorted.
    pub authors: Vec<String>,
    /// `Type/id` of its custodians, sorted.
    pub custodians: Vec<String>,
    /// Whether a data subject is a patient not named by a local reference, but by an identifier or as a resource on another
    /// server.
    pub of_unknown: bool,
}

/// Elements with the date of the event, in order of preference: the clinical time before the time of recording.
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

impl Facts {
    /// The facts of a resource.
    #[must_use]
    pub fn of(def: &TypeDef, resource: Node<'_>) -> Self {
        let mut patients = Vec::new();
        if &*def.name == "Patient" {
            patients.extend(resource.str_at("id").map(str::to_owned));
        }
        let mut facts = Self::default();
        let carried = resource.items_at("entry").filter_map(|entry| entry.str_at("fullUrl")).collect();
        let mut found = Subjects { patients, of_unknown: false, carried };
        found.add_of(resource, def);
        found.patients.sort();
        found.patients.dedup();
        (facts.patients, facts.of_unknown) = (found.patients, found.of_unknown);
        for label in resource.subtree().filter(|node| node.key() == "security").flat_map(Node::items) {
            let text = |name: &str| label.str_at(name).unwrap_or_default().to_owned();
            facts.labels.push((text("system"), text("code")));
        }
        for child in resource.children() {
            if AUTHOR_ELEMENTS.contains(&child.key()) {
                facts.authors.extend(targets(child).filter(|target| !target.starts_with("Patient/")));
            }
            if child.key() == "custodian" {
                facts.custodians.extend(targets(child));
            }
        }
        for list in [&mut facts.authors, &mut facts.custodians] {
            list.sort();
            list.dedup();
        }
        facts.labels.sort();
        facts.labels.dedup();
        facts.when = DATE_ELEMENTS.iter().find_map(|name| interval(resource.get(name)?));
        facts
    }

    /// Whether the resource may be decided about otherwise than others of its type about the same patients: it has labels, or
    /// names a patient whom this server does not know.
    #[must_use]
    pub fn sets_apart(&self) -> bool {
        self.of_unknown || !self.labels.is_empty()
    }
}

/// The targets of all references below a node.
fn targets(node: Node<'_>) -> impl Iterator<Item = String> + '_ {
    let references =
        node.subtree().filter(|below| below.key() == "reference" && below.kind() == JsonKind::String);
    references.map(|reference| plain(reference.text()))
}

/// `Type/id` of a reference to a resource on this server, else its text: a resource on another server is a different one even if
/// its id is equal. References under this server's own base are made relative before a resource is written.
#[must_use]
pub fn plain(reference: &str) -> String {
    match Reference::parse(reference).target {
        ReferenceTarget::Relative(key) => key.to_string(),
        ReferenceTarget::Absolute { .. }
        | ReferenceTarget::Fragment(_)
        | ReferenceTarget::Urn(_)
        | ReferenceTarget::Other(_) => reference.to_owned(),
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

/// Collects the Patients that references below the node name. Absolute references are to other servers: those under this
/// server's own base are made relative before a resource is written.
fn references(node: Node<'_>, out: &mut Vec<String>) {
    for below in node.subtree().filter(|below| below.key() == "reference" && below.kind() == JsonKind::String)
    {
        if let ReferenceTarget::Relative(key) = Reference::parse(below.text()).target
            && key.type_name == "Patient"
        {
            out.push(key.id.as_str().to_owned());
        }
    }
}

/// The data subjects that the walk through a resource collects.
struct Subjects<'t> {
    patients: Vec<String>,
    of_unknown: bool,
    /// The `fullUrl`s of a Bundle; their targets are in the Bundle itself.
    carried: HashSet<&'t str>,
}

/// Elements that name the data subject wherever they occur, although some may also refer to others than Patients.
const SUBJECT_ELEMENTS: [&str; 3] = ["subject", "patient", "for"];

impl Subjects<'_> {
    /// Collects the Patients in elements that `profiles/data-subjects.ndjson` calls subjects. The subjects of contained and
    /// carried resources are subjects of the whole. A Patient carried in a Bundle or Parameters is itself a subject; the id of a
    /// contained Patient is valid only within its container (R4 references.html#contained).
    fn add_of(&mut self, node: Node<'_>, def: &TypeDef) {
        for child in node.children() {
            let Some(property) = def.property(child.key()) else { continue };
            let Some(of) = r4().get(property.type_id) else { continue };
            if let Some(element) = def.element_at(property.element).filter(|element| element.is_subject) {
                references(child, &mut self.patients);
                self.of_unknown |= child.items().any(|item| self.is_unknown(item, element));
            }
            if of.kind == Kind::Resource {
                for item in child.items() {
                    let inner = item.str_at("resourceType").and_then(|name| r4().resource(name));
                    let Some(inner) = inner else { continue };
                    if &*inner.name == "Patient" && child.key() != "contained" {
                        self.patients.extend(item.str_at("id").map(str::to_owned));
                    }
                    self.add_of(item, inner);
                }
            } else if of.has_subjects {
                child.items().for_each(|item| self.add_of(item, of));
            }
        }
    }

    /// Whether a Reference names a patient other than by a local reference: by an identifier, the URL of another server, or a
    /// URN. `Reference.type` decides if present, else the permitted targets of the element.
    fn is_unknown(&self, reference: Node<'_>, element: &ElementDef) -> bool {
        let is_patient = |name: &str| matches!(name, "Patient" | "RelatedPerson");
        let may_be_patient = || match reference.str_at("type") {
            Some(named) => is_patient(named.rsplit('/').next().unwrap_or(named)),
            None => {
                SUBJECT_ELEMENTS.contains(&&*element.name)
                    || element
                        .types
                        .iter()
                        .flat_map(|(_, targets)| targets.iter())
                        .any(|target| r4().get(*target).is_some_and(|target| is_patient(&target.name)))
            }
        };
        let Some(literal) = reference.str_at("reference") else {
            let identifier = reference.get("identifier");
            return identifier.is_some_and(|identifier| identifier.str_at("value").is_some())
                && may_be_patient();
        };
        match Reference::parse(literal).target {
            _ if self.carried.contains(literal) => false,
            ReferenceTarget::Absolute { key, .. } => is_patient(key.type_name),
            ReferenceTarget::Urn(_) => may_be_patient(),
            ReferenceTarget::Relative(_) | ReferenceTarget::Fragment(_) | ReferenceTarget::Other(_) => false,
        }
    }
}

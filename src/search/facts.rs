//! What most disclosure decisions need of a resource: whom it is about, its labels, its date, its author.
use std::collections::HashSet;

use crate::definitions::{ElementDef, Kind, TypeDef, r4};
use crate::model::{Interval, JsonKind, Node, Reference, ReferenceTarget, Temporal};

/// What is kept with every version, so that a search can decide without the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ids of Patients, sorted.
    pub patients: Vec<String>,
    /// System and code of the security labels on it and on what it contains, sorted.
    pub labels: Vec<(String, String)>,
    /// When what it tells was so or was done.
    pub when: Option<Interval>,
    /// `Type/id` of who recorded or did it, patients left out, sorted.
    pub authors: Vec<String>,
    /// `Type/id` of who keeps it, sorted.
    pub custodians: Vec<String>,
    /// Whether a subject is a patient that is not known by a reference: named by an identifier, or as a resource elsewhere.
    pub of_unknown: bool,
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
}

/// What the references below a node lead to.
fn targets(node: Node<'_>) -> impl Iterator<Item = String> + '_ {
    let references =
        node.subtree().filter(|below| below.key() == "reference" && below.kind() == JsonKind::String);
    references.map(|reference| plain(reference.text()))
}

/// `Type/id` of a reference to a resource here, or its text: what is on another server is somebody else, whatever its id.
/// References under the own base are made relative before a resource is written.
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

/// The Patients that any reference below the node names. Absolute references are of other servers: those under the own
/// base are made relative before a resource is written.
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

/// What the walk through a resource finds of its data subjects.
struct Subjects<'t> {
    patients: Vec<String>,
    of_unknown: bool,
    /// The `fullUrl`s of a Bundle: what they name is carried with it.
    carried: HashSet<&'t str>,
}

/// Elements that name whose data it is wherever they stand, though some may name others than Patients.
const SUBJECT_ELEMENTS: [&str; 3] = ["subject", "patient", "for"];

impl Subjects<'_> {
    /// The Patients whom elements name that `profiles/data-subjects.ndjson` calls subjects. Whatever a resource contains or
    /// carries is about whom its parts are about. Patients that a Bundle or Parameters carry are subjects themselves; the id
    /// of what is contained is of its container alone (R4 references.html#contained).
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

    /// Whether a Reference names a patient by something else than a reference to a resource here: an identifier, the URL of
    /// another server, an URN. Where a type is said, that counts; else what the element is for.
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

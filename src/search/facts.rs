//! What a disclosure decision needs of a resource before anything else: whom it is about.
use crate::definitions::TypeDef;
use crate::model::{JsonKind, Node, Reference, ReferenceTarget};

/// Whom a resource is about. Kept with every version, so that a search can decide without the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ids of Patients, sorted.
    pub patients: Vec<String>,
    /// Whether it carries any security label, on itself or on what it contains: then only the resource decides.
    pub labelled: bool,
}

/// The elements whose references to a Patient make that Patient a data subject. Who performed, recorded or asserted
/// something does not become its subject, although compartments list them.
const SUBJECT_ELEMENTS: [&str; 10] = [
    "subject",
    "patient",
    "individual",
    "beneficiary",
    "for",
    "participant",
    "member",
    "entity",
    "target",
    "link",
];

impl Facts {
    /// The facts of a resource.
    #[must_use]
    pub fn of(def: &TypeDef, resource: Node<'_>) -> Self {
        let mut patients = Vec::new();
        match &*def.name {
            "Patient" => patients.extend(resource.str_at("id").map(str::to_owned)),
            // A Person is an index of who somebody is; every patient it links to is a subject.
            "Bundle" | "Parameters" => carried(resource, &mut patients),
            _ => {
                for child in resource.children().filter(|child| SUBJECT_ELEMENTS.contains(&child.key())) {
                    references(child, &mut patients);
                }
                for contained in resource.items_at("contained") {
                    carried(contained, &mut patients);
                }
            }
        }
        patients.sort();
        patients.dedup();
        let labelled = resource.subtree().any(|node| node.key() == "security");
        Self { patients, labelled }
    }
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

/// Whatever a container carries is about whom its parts are about.
fn carried(node: Node<'_>, out: &mut Vec<String>) {
    for below in node.subtree().filter(|below| SUBJECT_ELEMENTS.contains(&below.key())) {
        references(below, out);
    }
    for below in node.subtree().filter(|below| below.str_at("resourceType") == Some("Patient")) {
        out.extend(below.str_at("id").map(str::to_owned));
    }
}

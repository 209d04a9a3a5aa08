//! The operations as resources that can be read (R4 operationdefinition.html): where the standard or a guide has a definition its URL
//! is named, of Chartward's own there is one to read at the server itself.
use serde_json::{Value, json};

use super::answer::{Answer, Body, Kind, Public};
use super::operation::{OPERATIONS, Operation};
use super::request::Verb;
use super::table::Level;

/// Definitions of others, by the name of the operation.
const OF_OTHERS: [(&str, &str); 4] = [
    ("$meta", "http://hl7.org/fhir/OperationDefinition/Resource-meta"),
    ("$meta-add", "http://hl7.org/fhir/OperationDefinition/Resource-meta-add"),
    ("$meta-delete", "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete"),
    ("$member-match", "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"),
];

/// A parameter: name, cardinality, type (nothing for parts), and what it is.
type Row = (&'static str, u32, &'static str, &'static str, &'static str);

const REASON: Row = ("reason", 1, "1", "string", "why it is done; it goes on record");
const START: Row = ("start", 0, "1", "date", "the first day or moment that counts");
const END: Row = ("end", 0, "1", "date", "the last day or moment that counts");
const PAGE: Row = ("page", 0, "1", "boolean", "true: as a page to print");

/// What each operation of Chartward's own is, and takes, by the type that it is on and its name.
const OWN: [(&str, &str, &str, &[Row]); 14] = [
    (
        "Consent",
        "$decide",
        "what would be decided if somebody asked for a resource, and by which rule",
        &[
            ("actor", 1, "1", "string", "who asks: a reference, such as Practitioner/d1 or Organization/o"),
            ("role", 0, "1", "code", "the role of who asks"),
            ("purpose", 0, "*", "code", "for what; of v3-PurposeOfUse"),
            ("resource", 0, "1", "Resource", "what is asked for: the resource, or a reference to it"),
            ("patient", 0, "1", "string", "instead of a resource: whose it is"),
            ("type", 0, "1", "code", "with `patient`: of which type"),
        ],
    ),
    (
        "Consent",
        "$preview",
        "who would gain access and who would lose it if a Consent were stored",
        &[("consent", 1, "1", "Consent", "the Consent, which is not stored")],
    ),
    (
        "Patient",
        "$explain-access",
        "who may see what of a file, with the rules that decide",
        &[
            ("actor", 0, "1", "string", "for this party alone"),
            ("purpose", 0, "*", "code", "for these purposes alone"),
        ],
    ),
    ("Patient", "$consent-enforcement-status", "how the Consents of a patient are enforced", &[]),
    ("Patient", "$break-glass", "a token for one file in an emergency", &[REASON]),
    (
        "Patient",
        "$who-saw",
        "who saw a file",
        &[START, END, ("_count", 0, "1", "integer", "how many accesses at most"), PAGE],
    ),
    ("Patient", "$accounting-of-disclosures", "to whom a file was disclosed", &[START, END, PAGE]),
    (
        "Patient",
        "$suspend-accounting",
        "leaves disclosures to an agency out of the accounting for a time",
        &[
            ("agency", 1, "1", "string", "to whom"),
            ("until", 1, "1", "date", "how long"),
            ("statement", 0, "1", "string", "what the agency has stated"),
        ],
    ),
    (
        "Resource",
        "$remove-subject",
        "takes a patient off a resource that was put into the file by mistake",
        &[("patient", 1, "1", "string", "whom"), REASON],
    ),
    ("Patient", "$erase", "erases a file, every version of it", &[REASON]),
    ("Patient", "$hold", "keeps a file from being deleted", &[REASON]),
    ("Patient", "$release-hold", "ends a hold", &[]),
    (
        "AuditEvent",
        "$without-relation",
        "accesses by professionals without a relation to the patient",
        &[START, END],
    ),
    (
        "AuditEvent",
        "$audit-proof",
        "proof that a record of an access, or an earlier state of the log, is part of the log",
        &[
            ("record", 0, "1", "integer", "on the type: the number of a record"),
            ("from", 0, "1", "integer", "on the type: the size of an earlier tree"),
            ("to", 0, "1", "integer", "on the type: the size of a later tree"),
        ],
    ),
];

/// An OperationDefinition of Chartward's own. Nobody else can make one, so that no other text becomes public by its name.
pub(super) struct OwnDefinition(Value);

impl OwnDefinition {
    pub(super) fn json(&self) -> String {
        self.0.to_string()
    }
}

/// The canonical URL of the definition of an operation.
pub(super) fn definition_url(base_url: &str, operation: &Operation) -> String {
    let known = OF_OTHERS.iter().find(|(name, _)| *name == operation.name());
    match known {
        Some((_, url)) => (*url).to_owned(),
        None => format!("{base_url}/OperationDefinition/{}", id_of(operation)),
    }
}

fn id_of(operation: &Operation) -> String {
    let on = operation.on.to_ascii_lowercase();
    format!("chartward-{on}-{}", operation.name().trim_start_matches('$'))
}

/// The definition of that id, if it is one of Chartward's own.
pub(super) fn own_definition(base_url: &str, id: &str) -> Option<Answer> {
    let all: Vec<&Operation> = OPERATIONS.iter().filter(|operation| id_of(operation) == id).collect();
    let operation = all.first()?;
    let is_of_others = OF_OTHERS.iter().any(|(name, _)| *name == operation.name());
    let (.., says, rows) =
        OWN.iter().find(|(on, name, ..)| *on == operation.on && *name == operation.name())?;
    if is_of_others {
        return None;
    }
    let at = |level: Level| all.iter().any(|operation| operation.level() == Some(level));
    let changes = all.iter().flat_map(|operation| operation.rows()).all(|row| row.verb == Verb::Post);
    let word = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    let code = operation.name().trim_start_matches('$');
    let parameters: Vec<Value> = rows
        .iter()
        .map(|(name, min, max, of_type, says)| {
            json!({"name": name, "use": "in", "min": min, "max": max, "documentation": says, "type": of_type})
        })
        .chain([json!({"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"})])
        .collect();
    let definition = json!({
        "resourceType": "OperationDefinition",
        "id": id,
        "url": definition_url(base_url, operation),
        "version": env!("CARGO_PKG_VERSION"),
        "name": code.split('-').map(word).collect::<String>(),
        "title": operation.name(),
        "status": "active",
        "kind": "operation",
        "date": env!("BUILD_DATE"),
        "publisher": "Chartward",
        "description": says,
        "affectsState": changes,
        "code": code,
        "resource": [operation.on],
        "system": at(Level::System),
        "type": at(Level::Type),
        "instance": at(Level::Instance),
        "parameter": parameters,
    });
    Some(Answer::new(Kind::Ok, Body::Public(Public::definition(&OwnDefinition(definition)))))
}

#[cfg(test)]
mod tests {
    use super::{OF_OTHERS, definition_url, id_of, own_definition};
    use crate::definitions::r4;
    use crate::model::parse;
    use crate::operations::operation::OPERATIONS;
    use crate::validate::{Incoming, Rules, Valid};

    #[test]
    fn every_operation_has_a_definition_that_is_one() {
        for operation in &OPERATIONS {
            let url = definition_url("http://here/fhir", operation);
            if OF_OTHERS.iter().any(|(name, _)| *name == operation.name()) {
                assert!(!url.starts_with("http://here/"), "{url}");
                continue;
            }
            let answer =
                own_definition("http://here/fhir", &id_of(operation)).unwrap_or_else(|| panic!("{url}"));
            let tree = parse(answer.body.json().unwrap().as_bytes().to_vec()).unwrap();
            assert_eq!(tree.root().str_at("url"), Some(url.as_str()));
            Valid::check(Incoming::new(tree), r4(), Rules::default()).unwrap();
        }
        assert!(own_definition("http://here/fhir", "chartward-patient-member-match").is_none());
        assert!(own_definition("http://here/fhir", "nothing").is_none());
    }
}

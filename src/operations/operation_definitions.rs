//! OperationDefinitions (R4 operationdefinition.html): the canonical URL for an operation of the standard or of a guide, and for
//! Chartward's own operations a definition that this server answers with.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::answer::{Answer, Body, HoldsNobody, Kind, Public};
use super::operation::{Definition, OPERATIONS, Operation};
use super::parameters::Takes;
use super::table::Level;

/// An OperationDefinition of Chartward's own. Only this file can make one, so no other text becomes public through it.
struct OwnDefinition(Value);

impl HoldsNobody for OwnDefinition {
    fn json(&self) -> String {
        self.0.to_string()
    }
}

/// The canonical URL of the definition of an operation.
pub(super) fn definition_url(base_url: &str, operation: &Operation) -> String {
    match operation.definition {
        Definition::Elsewhere(url) => url.to_owned(),
        Definition::Own { .. } => format!("{base_url}/OperationDefinition/{}", id_of(operation)),
    }
}

fn id_of(operation: &Operation) -> String {
    let on = operation.on.to_ascii_lowercase();
    format!("chartward-{on}-{}", operation.name().trim_start_matches('$'))
}

/// The definition with this id, if it is one of Chartward's own.
pub(super) fn own_definition(base_url: &str, id: &str) -> Option<Answer> {
    let all: Vec<&Operation> = OPERATIONS.iter().filter(|operation| id_of(operation) == id).collect();
    let operation = all.first()?;
    let Definition::Own { says, changes, answers } = operation.definition else { return None };
    let at = |level: Level| all.iter().any(|operation| operation.level() == Some(level));
    let word = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    let code = operation.name().trim_start_matches('$');
    // What several levels take is named once.
    let mut known = BTreeSet::new();
    let parameters: Vec<Value> = all
        .iter()
        .flat_map(|operation| operation.takes)
        .filter(|takes| known.insert(takes.name))
        .map(|Takes { name, min, max, of_type, says }| {
            json!({"name": name, "use": "in", "min": min, "max": max, "documentation": says, "type": of_type})
        })
        .chain(answers.then(|| json!({"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"})))
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
    Some(Answer::new(Kind::Ok, Body::Public(Public::of(&OwnDefinition(definition)))))
}

#[cfg(test)]
mod tests {
    use super::{definition_url, id_of, own_definition};
    use crate::definitions::r4;
    use crate::model::parse;
    use crate::operations::operation::{Definition, OPERATIONS};
    use crate::operations::verb::Verb;
    use crate::validate::{Incoming, Rules, Valid};

    #[test]
    fn every_operation_has_a_definition_that_is_one() {
        for operation in &OPERATIONS {
            let url = definition_url("http://here/fhir", operation);
            let is_by_get = operation.rows().any(|row| row.verb == Verb::Get);
            assert!(!(operation.changes() && is_by_get), "{url}: a GET changes nothing");
            if matches!(operation.definition, Definition::Elsewhere(_)) {
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

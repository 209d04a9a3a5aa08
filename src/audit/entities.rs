//! The entities of an AuditEvent: the patient, the data, the query, the Consents, the request (BALP, "Entities").
use serde_json::{Value, json};

use crate::model::encode_base64;

use super::making::{Part, Reader, coding};
use super::record::{Access, Action, Item};

fn object(code: &str) -> Value {
    coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", code)
}

fn role(code: &str) -> Value {
    coding("http://terminology.hl7.org/CodeSystem/object-role", code)
}

fn patient_entity(part: &Part<'_>) -> Option<Value> {
    let (_, patient) = part.patient?;
    Some(json!({"what": {"reference": patient}, "type": object("1"), "role": role("1")}))
}

/// A version, with the security labels that it had at that time.
fn data_entity(part: &Part<'_>, item: &Item) -> Value {
    let mut what = item.what.clone();
    if matches!(item.done, Some(Action::Create | Action::Update)) && !what.contains("/_history/") {
        // The version id of a written resource follows from the commit that contains the record.
        what = format!("{what}/_history/{}", (part.making.version_id)(part.sequence));
    }
    let mut entity = json!({"what": {"reference": what}, "type": object("2"), "role": role("4")});
    if let (Some(members), false) = (entity.as_object_mut(), item.labels.is_empty()) {
        let labels = item.labels.iter().map(|(system, code)| coding(system, code)).collect();
        members.insert("securityLabel".to_owned(), labels);
    }
    entity
}

/// The request, by the id that it had on the wire (`X-Request-Id`).
fn transaction_entity(access: &Access) -> Option<Value> {
    let id = access.request_id.as_ref()?;
    let kind = coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId");
    Some(json!({"what": {"identifier": {"value": id}}, "type": kind}))
}

/// The request, as far as the reader may know it. A patient is not shown values, which may name other patients.
fn asked(part: &Part<'_>) -> String {
    let (line, criteria) = (&part.access.request, &part.access.criteria);
    let mut text = match part.making.reader {
        Reader::Auditor => line.clone(),
        Reader::Subject => without_values(line),
    };
    for (criteria, number) in criteria.iter().zip(0_usize..) {
        text.push_str(if number == 0 { " where " } else { "; " });
        match part.making.reader {
            Reader::Auditor => text.push_str(criteria),
            Reader::Subject => {
                // Criteria are stored as `Type?query`, so they are reduced like a request.
                let names = without_values(&format!("GET /{criteria}"));
                text.push_str(names.strip_prefix("GET /").unwrap_or(&names));
            }
        }
    }
    text
}

/// The method, the types, the operations and the parameter names of a request, without ids and values.
fn without_values(line: &str) -> String {
    let (target, query) = line.split_once('?').unwrap_or((line, ""));
    let method = target.split(' ').next().unwrap_or_default();
    let is_kept = |segment: &&str| segment.starts_with(['_', '$', '*']) || is_type(segment);
    let segments: Vec<&str> = target.split('/').skip(1).filter(is_kept).collect();
    let names: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty()).collect();
    let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
    format!("{method} /{}{by}", segments.join("/"))
}

fn is_type(segment: &str) -> bool {
    crate::definitions::r4().resource(segment).is_some()
}

fn query_entity(part: &Part<'_>) -> Value {
    let asked = asked(part);
    json!({"type": object("2"), "role": role("24"), "query": encode_base64(asked.as_bytes()), "description": asked})
}

fn consent_entities<'c>(consents: impl Iterator<Item = &'c str>) -> impl Iterator<Item = Value> {
    consents.map(|consent| json!({"what": {"reference": consent}, "type": object("2"), "role": role("13")}))
}

/// The entities of a request. BALP: the event of a search lists the query and not the results.
pub(super) fn of_request(part: &Part<'_>, items: &[&Item], action: Action) -> Value {
    let mut entities: Vec<Value> = patient_entity(part).into_iter().collect();
    if action == Action::Execute {
        entities.push(query_entity(part));
    } else if items.is_empty() {
        entities.push(json!({"type": object("2"), "description": asked(part)}));
    } else {
        entities.extend(items.iter().map(|item| data_entity(part, item)));
    }
    let consents = part.consents(items);
    // Records of the first format do not tell which patients' Consents these are.
    let may_be_of_others = part.making.reader == Reader::Subject && part.access.patients.len() > 1;
    let earlier = part.access.consents.iter().map(String::as_str).filter(|_| !may_be_of_others);
    entities.extend(consent_entities(consents.iter().copied().chain(earlier)));
    entities.extend(transaction_entity(part.access));
    entities.into()
}

/// The entities of a decision: the patient, the Consents that decided, the token. The pattern permits no others.
pub(super) fn of_decision(part: &Part<'_>, consents: &[&str]) -> Value {
    let kind = coding("http://hl7.org/fhir/resource-types", "Consent");
    let mut entities: Vec<Value> = patient_entity(part).into_iter().collect();
    entities.extend(consents.iter().map(|consent| json!({"what": {"reference": consent}, "type": kind})));
    let token = &part.access.token_id;
    if !token.is_empty() {
        let kind = coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes", "UserOauthAgent");
        entities.push(json!({"what": {"identifier": {"value": token}}, "type": kind}));
    }
    entities.into()
}

/// The entities of a disclosure: the patient, and all versions about the patient that were released.
pub(super) fn of_disclosure(part: &Part<'_>, released: &[&Item]) -> Value {
    let mut entities: Vec<Value> = patient_entity(part).into_iter().collect();
    entities.extend(released.iter().map(|item| data_entity(part, item)));
    entities.extend(consent_entities(part.consents(released).into_iter()));
    entities.extend(transaction_entity(part.access));
    entities.into()
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn a_patient_reads_nothing_of_others_in_what_was_asked() {
        let check = |line, expected: &str| assert_eq!(without_values(line), expected);
        check(
            "GET /Observation?patient=Patient/x&code=1|2&_count=3",
            "GET /Observation by patient, code, _count",
        );
        check("GET /Patient/x/Observation", "GET /Patient/Observation");
        check("POST /Patient/_search?name=Jo", "POST /Patient/_search by name");
    }
}

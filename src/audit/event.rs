//! AuditEvents by IHE's Basic Audit Log Patterns (BALP 1.1.4), made of access records: for every patient whom a request concerned
//! one event of the request, and others where a Consent decided or data went to somebody outside.
use serde_json::{Value, json};

use crate::model::Temporal;
use crate::store::Sequence;

use super::agents;
use super::concern::Concern;
use super::entered::Entered;
use super::entities;
use super::making::{BY_ROW, DCM, Event, Making, Part, Reader, coding, event_id};
use super::place::RecordPlace;
use super::record::{Access, Action, BREAK_GLASS, Erased, Ground, Item, RequesterKind};

/// The record that the event with this id is made of, and the patient's row if that is a record of many patients. `sequence_of`
/// reverses the permutation of version ids.
#[must_use]
pub fn record_of_event(
    id: &str,
    sequence_of: &dyn Fn(&str) -> Option<Sequence>,
) -> Option<(RecordPlace, Option<u64>)> {
    let mut parts = id.split('-');
    let sequence = sequence_of(parts.next()?)?;
    let Sequence(within) = sequence_of(parts.next()?)?;
    let within = within ^ sequence.0.rotate_left(32);
    let number = u32::try_from(within >> 32).ok()?;
    let row = (within & BY_ROW == BY_ROW).then_some(within & (BY_ROW - 1));
    Some(((sequence, number), row))
}

/// The id of the event that is made of a record for its first patient.
#[must_use]
pub fn event_of_record(place: RecordPlace, version_id: &dyn Fn(Sequence) -> String) -> String {
    event_id(place, 0, "", &Making { reader: Reader::Auditor, base_url: "", version_id })
}

/// The events that are made of a record.
#[must_use]
pub fn audit_events(place: RecordPlace, access: &Access, making: &Making<'_>) -> Vec<Event> {
    let (sequence, _) = place;
    let patients: Vec<Option<(usize, &str)>> = if access.patients.is_empty() {
        vec![None]
    } else {
        access.patients.iter().enumerate().map(|(number, patient)| Some((number, patient.as_str()))).collect()
    };
    let mut events = Vec::new();
    let by_row = access.row_of_part().map(|row| usize::try_from(row | BY_ROW).unwrap_or(usize::MAX));
    for (patient, number) in patients.into_iter().zip(0_usize..) {
        let index = by_row.unwrap_or(number);
        let part = Part { access, sequence, patient, making };
        let mut add = |kind: &str, event: Value| {
            let id = event_id(place, index, kind, making);
            events.push(finished(id, patient, event, access));
        };
        let released = part.of(&access.released);
        let is_bundle = access.action == Action::Execute && released.iter().any(|item| item.done.is_some());
        if is_bundle {
            // BALP: every entry of a transaction is an event of its own interaction.
            for (item, entry) in released.iter().zip(0_usize..) {
                add(&format!("-e{entry:x}"), request_event(&part, &[item], item.done));
            }
        } else {
            let items: Vec<&Item> = released.iter().copied().chain(part.of(&access.withheld)).collect();
            add("", request_event(&part, &items, None));
        }
        if patient.is_none() {
            continue;
        }
        if access.interaction == BREAK_GLASS && !access.has_failed() {
            add("-b", emergency_event(&part));
        }
        if let Some(decision) = decision_event(&part) {
            add("-d", decision);
        }
        if is_disclosure(access) && !released.is_empty() {
            add("-x", disclosure_event(&part, &released));
        }
    }
    events
}

/// Whether data of patients went to somebody outside.
fn is_disclosure(access: &Access) -> bool {
    access.requester_kind == Some(RequesterKind::Outside)
        && !access.has_failed()
        && matches!(access.action, Action::Read | Action::Execute)
}

/// Completes an event with the members that all events have.
fn finished(id: String, patient: Option<(usize, &str)>, mut event: Value, access: &Access) -> Event {
    let time = Temporal::from_millis(access.time).to_text();
    if let Some(members) = event.as_object_mut() {
        members.insert("id".to_owned(), json!(id));
        members.insert("recorded".to_owned(), json!(time));
        if let Some(meta) = members.get_mut("meta").and_then(Value::as_object_mut) {
            meta.insert("lastUpdated".to_owned(), json!(time));
        }
    }
    Event { id, patient: patient.map(|(_, patient)| patient.to_owned()), text: event.to_string() }
}

/// The meta of an event, with the profile of the BALP pattern that it follows, if any.
fn meta(profile: Option<&str>) -> Value {
    match profile {
        Some(name) => {
            json!({"profile": [format!("https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{name}")]})
        }
        None => json!({}),
    }
}

/// The pattern of an interaction. BALP has patterns only for what succeeded.
fn profile(interaction: &str, access: &Access, has_patient: bool) -> Option<String> {
    // The agents of the patterns must have the client's address. Without one no pattern is followed.
    if access.has_failed() || access.peer.is_none() {
        return None;
    }
    let name = match interaction {
        "read" | "vread" => "Read",
        "create" => "Create",
        "update" | "patch" => "Update",
        "delete" => "Delete",
        "search-type" | "search-system" => "Query",
        _ => return None,
    };
    Some(format!("{}{name}", if has_patient { "Patient" } else { "" }))
}

/// The event of the request itself, a RESTful interaction.
fn request_event(part: &Part<'_>, items: &[&Item], done: Option<Action>) -> Value {
    let access = part.access;
    let (interaction, action) = match done {
        Some(Action::Create) if access.action == Action::Execute => ("create", Action::Create),
        Some(Action::Update) if access.action == Action::Execute => ("update", Action::Update),
        Some(Action::Delete) if access.action == Action::Execute => ("delete", Action::Delete),
        // The code system has one code for all operations.
        _ if access.interaction.starts_with('$') => ("operation", access.action),
        _ => (access.interaction.as_str(), access.action),
    };
    let profile = profile(interaction, access, part.patient.is_some());
    let mut event = json!({
        "resourceType": "AuditEvent",
        "meta": meta(profile.as_deref()),
        "type": coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest"),
        "subtype": [coding("http://hl7.org/fhir/restful-interaction", interaction)],
        "action": action.code(),
        "outcome": if access.has_failed() { "8" } else { "0" },
        "purposeOfEvent": purposes(part, items),
        "agent": agents::of_request(part, action),
        "source": agents::source(part.making),
        "entity": entities::of_request(part, items, action),
    });
    let Some(members) = event.as_object_mut() else { return event };
    if let Some(entered) = &access.entered {
        members.insert("outcomeDesc".to_owned(), json!(entry(entered)));
    }
    if let Some(erased) = access.erased {
        members.insert("outcomeDesc".to_owned(), json!(erasure(erased, access)));
    }
    if let Some(addition) = &access.addition {
        let moment = |time| json!(Temporal::from_millis(time).to_text());
        members.insert(
            "period".to_owned(),
            json!({"start": moment(addition.first), "end": moment(addition.last)}),
        );
        let what = match addition.concern {
            Concern::Counted => "data were counted and not shown",
            Concern::Sought => "a value picks out the patient alone, of whom nothing was shown",
        };
        members
            .insert("outcomeDesc".to_owned(), json!(format!("{what}; requests alike: {}", addition.times)));
    }
    event
}

/// The description of a disclosure that was entered by hand.
fn entry(entered: &Entered) -> String {
    let Entered { recipient, description, basis, .. } = entered;
    let what = if entered.in_error { "entered in error" } else { "disclosed" };
    format!("{what}: {description}; to {recipient}; basis: {basis}")
}

/// The description of an erasure, with its reason.
fn erasure(erased: Erased, access: &Access) -> String {
    let Erased { resources, versions } = erased;
    let reason = access.reason.as_deref().unwrap_or("no reason given");
    format!("erased {resources} resources with {versions} versions: {reason}")
}

/// The purposes that the party asserted, and `BTG` if break-glass decided.
fn purposes(part: &Part<'_>, items: &[&Item]) -> Value {
    let system = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    let mut codes: Vec<&str> = part.access.purposes.iter().map(String::as_str).collect();
    if items.iter().any(|item| item.ground == Ground::BreakGlass) && !codes.contains(&"BTG") {
        codes.push("BTG");
    }
    if codes.is_empty() {
        return json!([{"text": "none asserted"}]);
    }
    codes.into_iter().map(|code| json!({"coding": [coding(system, code)]})).collect()
}

/// The event of a decision, if something was withheld, a Consent let somebody outside see data, or the glass was broken.
fn decision_event(part: &Part<'_>) -> Option<Value> {
    let access = part.access;
    let withheld = part.of(&access.withheld);
    let is_outside = access.requester_kind == Some(RequesterKind::Outside);
    let permitted: Vec<&Item> = part
        .of(&access.released)
        .into_iter()
        .filter(|item| match item.ground {
            Ground::BreakGlass => true,
            Ground::Consent(..) => is_outside,
            Ground::None | Ground::RightOfAccess | Ground::Policy | Ground::Law(_) => false,
        })
        .collect();
    let is_denial = !withheld.is_empty();
    let items = if is_denial { withheld } else { permitted };
    let first = items.first()?;
    let consents = part.consents(&items);
    // The pattern requires the organization, the client's address and at least one Consent.
    let follows = !consents.is_empty() && access.organization.is_some() && access.peer.is_some();
    let mut meta = meta(follows.then_some("AuthZconsent"));
    let is_emergency = items.iter().any(|item| item.ground == Ground::BreakGlass);
    if let (true, Some(meta)) = (is_emergency, meta.as_object_mut()) {
        meta.insert("tag".to_owned(), json!([severity()]));
    }
    Some(json!({
        "resourceType": "AuditEvent",
        "meta": meta,
        "type": coding(DCM, "110113"),
        "subtype": [coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "AuthZ-Consent")],
        "action": "E",
        "outcome": if is_denial { "8" } else { "0" },
        "outcomeDesc": reason(part.ground(first), is_denial, access),
        "purposeOfEvent": purposes(part, &items),
        "agent": agents::of_decision(part),
        "source": agents::source(part.making),
        "entity": entities::of_decision(part, &consents),
    }))
}

/// The event that somebody broke the glass, with the reason.
fn emergency_event(part: &Part<'_>) -> Value {
    json!({
        "resourceType": "AuditEvent",
        "meta": {"tag": [severity()]},
        "type": coding(DCM, "110113"),
        // DICOM: Emergency Override Started.
        "subtype": [coding(DCM, "110127")],
        "action": "E",
        "outcome": "0",
        "outcomeDesc": part.access.reason.as_deref().unwrap_or("no reason given"),
        "purposeOfEvent": purposes(part, &[]),
        "agent": agents::of_decision(part),
        "source": agents::source(part.making),
        "entity": entities::of_decision(part, &[]),
    })
}

/// The tag of events that somebody must review.
fn severity() -> Value {
    coding("http://hl7.org/fhir/audit-event-severity", "alert")
}

fn reason(ground: Option<&Ground>, is_denial: bool, access: &Access) -> String {
    let verb = if is_denial { "denied" } else { "permitted" };
    match ground {
        Some(Ground::Consent(consent, rule)) if rule.is_empty() => format!("{verb} by {consent}"),
        Some(Ground::Consent(consent, rule)) => format!("{verb} by {consent}, {rule}"),
        Some(Ground::Policy) => format!("{verb} by the policy that applies where no Consent does"),
        Some(Ground::Law(law)) => format!("{verb} by {law}"),
        Some(Ground::BreakGlass) => {
            format!("{verb} by break-glass: {}", access.reason.as_deref().unwrap_or("no reason given"))
        }
        Some(Ground::RightOfAccess) => format!("{verb} by the right of access"),
        Some(Ground::None) => {
            format!("{verb} by the rights of the role, the scopes or the context of the token")
        }
        None => verb.to_owned(),
    }
}

/// The event of a disclosure to somebody outside.
fn disclosure_event(part: &Part<'_>, released: &[&Item]) -> Value {
    let interaction = coding("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose");
    json!({
        "resourceType": "AuditEvent",
        "meta": meta(part.access.peer.as_ref().map(|_| "PrivacyDisclosure.Source")),
        "type": coding(DCM, "110106"),
        "subtype": [interaction],
        "action": "R",
        "outcome": "0",
        "purposeOfEvent": purposes(part, released),
        "agent": agents::of_disclosure(part),
        "source": agents::source(part.making),
        "entity": entities::of_disclosure(part, released),
    })
}

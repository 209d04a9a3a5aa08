//! The agents of an AuditEvent: the client, the server, the user with the organization (BALP, "Agents").
use serde_json::{Value, json};

use super::making::{DCM, Making, Part, Reader, coding};
use super::record::Action;

fn kind(system: &str, code: &str) -> Value {
    json!({"coding": [coding(system, code)]})
}

/// The server, by its base URL. It is named alike everywhere, because the observer of an event is one of its agents.
fn server(making: &Making<'_>) -> Value {
    json!({"identifier": {"value": making.base_url}, "display": "Chartward"})
}

/// The observer of the event, which is the server.
pub(super) fn source(making: &Making<'_>) -> Value {
    json!({
        "observer": server(making),
        "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4")],
    })
}

fn server_agent(part: &Part<'_>, kind: &Value) -> Value {
    let network = json!({"address": part.making.base_url, "type": "5"});
    json!({"type": kind, "who": server(part.making), "requestor": false, "network": network})
}

fn client_agent(part: &Part<'_>, kind: &Value) -> Value {
    let client = &part.access.client;
    let mut agent = json!({
        "type": kind, "who": {"identifier": {"value": client}}, "name": client, "requestor": false,
    });
    if let (Some(agent), Some(peer)) = (agent.as_object_mut(), &part.access.peer) {
        agent.insert("network".to_owned(), json!({"address": peer, "type": "2"}));
    }
    agent
}

/// Whether the user is a patient other than the reader.
fn is_other_patient(part: &Part<'_>) -> bool {
    let user = part.access.fhir_user.as_deref().filter(|user| user.starts_with("Patient/"));
    let own = part.patient.map(|(_, patient)| patient);
    part.making.reader == Reader::Subject && user.is_some() && user != own
}

/// The user: the subject and issuer of the token as an identifier, and the resource that stands for the user.
fn user_agent(part: &Part<'_>, code: &str) -> Value {
    let access = part.access;
    let mut identifier = json!({"value": access.subject});
    if let (Some(members), false) = (identifier.as_object_mut(), access.issuer.is_empty()) {
        members.insert("system".to_owned(), json!(access.issuer));
    }
    let mut who = json!({"identifier": identifier});
    if let (Some(who), Some(reference)) = (who.as_object_mut(), &access.fhir_user) {
        who.insert("reference".to_owned(), json!(reference));
    }
    let is_named = !is_other_patient(part);
    if !is_named {
        who = json!({"display": "another patient"});
    }
    let purposes: Vec<Value> = access
        .purposes
        .iter()
        .map(|code| kind("http://terminology.hl7.org/CodeSystem/v3-ActReason", code))
        .collect();
    let mut agent = json!({
        "type": kind("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", code),
        "who": who,
        "role": [{"text": access.role}],
        "requestor": true,
    });
    if let Some(members) = agent.as_object_mut() {
        if is_named {
            // The user signs in by this name.
            members.insert("altId".to_owned(), json!(access.subject));
            members.insert("name".to_owned(), json!(access.subject));
        }
        if !access.token_id.is_empty() {
            // BALP: the token is named by its id, never by its text.
            let policy = format!("urn:ietf:params:oauth:jti:{}", access.token_id);
            members.insert("policy".to_owned(), json!([policy]));
        }
        if !purposes.is_empty() {
            members.insert("purposeOfUse".to_owned(), purposes.into());
        }
    }
    agent
}

fn organization_agent(part: &Part<'_>, kind: Option<&Value>) -> Option<Value> {
    let organization = part.access.organization.as_ref()?;
    let mut agent = json!({"who": {"reference": organization}, "requestor": false});
    if let (Some(agent), Some(kind)) = (agent.as_object_mut(), kind) {
        agent.insert("type".to_owned(), kind.clone());
    }
    Some(agent)
}

/// The agents of a request. The sender of data is the source and the recipient the destination, so reads and writes differ. What
/// a search sends are its parameters.
pub(super) fn of_request(part: &Part<'_>, action: Action) -> Value {
    let (source, destination) = (kind(DCM, "110153"), kind(DCM, "110152"));
    let application = kind(DCM, "110150");
    let custodian = kind("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian");
    let (client, server, user) = match action {
        Action::Read => (&destination, &source, "IRCP"),
        Action::Create | Action::Update => (&source, &destination, "AUT"),
        Action::Execute => (&source, &destination, "IRCP"),
        Action::Delete => (&application, &custodian, "AUT"),
    };
    let mut agents = vec![client_agent(part, client), server_agent(part, server), user_agent(part, user)];
    agents.extend(organization_agent(part, None));
    agents.into()
}

/// The agents of a decision: who asked, for which organization, and the server, which decided.
pub(super) fn of_decision(part: &Part<'_>) -> Value {
    let provider = kind("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV");
    let decider = kind("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver");
    let mut agents = vec![client_agent(part, &kind(DCM, "110150")), user_agent(part, "IRCP")];
    agents.extend(organization_agent(part, Some(&provider)));
    agents.push(server_agent(part, &decider));
    agents.into()
}

/// The agents of a disclosure: who released data, and who received them.
pub(super) fn of_disclosure(part: &Part<'_>) -> Value {
    let mut agents = vec![
        server_agent(part, &kind(DCM, "110153")),
        client_agent(part, &kind(DCM, "110152")),
        user_agent(part, "IRCP"),
    ];
    agents.extend(organization_agent(part, None));
    if let Some((number, patient)) = part.patient {
        // The patient whose Consent permitted the disclosure has authorized it.
        let is_by_consent =
            part.access.released.iter().any(|item| {
                item.is_about(number) && matches!(item.ground, super::record::Ground::Consent(..))
            });
        if is_by_consent {
            let advocate = kind("http://snomed.info/sct", "429577009");
            agents.push(json!({"type": advocate, "who": {"reference": patient}, "requestor": false}));
        }
    }
    agents.into()
}

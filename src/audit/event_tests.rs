//! Tests of the AuditEvents: each kind is valid R4, follows its pattern, keeps its id, and shows a patient nothing of others.
use serde_json::Value;

use crate::auth::{Party, Role};
use crate::definitions::r4;
use crate::model::parse;
use crate::store::Sequence;
use crate::validate::{Incoming, Rules, Valid};

use super::event::{audit_events, record_of_event};
use super::making::{Event, Making, Reader};
use super::record::{Access, Action, Ground, Item, RequesterKind};

const PLACE: (Sequence, u32) = (Sequence(0x2a), 1);

fn insurer() -> Party {
    Party {
        subject: "acme-app".to_owned(),
        client: "acme".to_owned(),
        role: Role::Insurer,
        organization: Some("Organization/acme".to_owned()),
        purposes: vec!["HPAYMT".to_owned()],
        token_id: "t1".to_owned(),
        ..Party::nobody()
    }
}

fn access(interaction: &str, action: Action, request: &str) -> Access {
    let mut access = Access::of(&insurer(), interaction, action, request.to_owned(), 1_700_000_000_123);
    access.issuer = "https://us.example/fhir".to_owned();
    access.requester_kind = Some(RequesterKind::Outside);
    access.request_id = Some("r1".to_owned());
    access.peer = Some("10.0.0.1".to_owned());
    access
}

fn item(what: &str, about: &[usize], ground: Ground) -> Item {
    Item { what: what.to_owned(), about: Some(about.to_vec()), ground, ..Item::default() }
}

fn consent() -> Ground {
    Ground::Consent("Consent/c".to_owned(), "provision".to_owned())
}

/// The events that are made of a record, each of them validated.
fn events(access: &Access, reader: Reader) -> Vec<(Event, Value)> {
    let version_id = |Sequence(sequence): Sequence| format!("v{sequence}");
    let making = Making { reader, base_url: "https://us.example/fhir", version_id: &version_id };
    audit_events(PLACE, access, &making)
        .into_iter()
        .map(|event| {
            let tree = parse(event.text.clone().into_bytes()).unwrap();
            let checked = Valid::check(Incoming::new(tree), r4(), Rules::default());
            assert!(checked.is_ok(), "{}: {checked:?}", event.text);
            let value = serde_json::from_str(&event.text).unwrap();
            (event, value)
        })
        .collect()
}

fn ids(events: &[(Event, Value)]) -> Vec<&str> {
    events.iter().map(|(event, _)| event.id.as_str()).collect()
}

fn profile(event: &Value) -> &str {
    let url = event["meta"]["profile"][0].as_str().unwrap_or_default();
    url.rsplit("IHE.BasicAudit.").next().unwrap()
}

fn references<'e>(event: &'e Value, role: &str) -> Vec<&'e str> {
    let entities = event["entity"].as_array().unwrap().iter();
    entities
        .filter(|entity| entity["role"]["code"] == role)
        .filter_map(|entity| entity["what"]["reference"].as_str())
        .collect()
}

#[test]
fn every_interaction_has_its_pattern() {
    let cases = [
        ("read", Action::Read, "Read"),
        ("vread", Action::Read, "Read"),
        ("create", Action::Create, "Create"),
        ("update", Action::Update, "Update"),
        ("patch", Action::Update, "Update"),
        ("delete", Action::Delete, "Delete"),
        ("search-type", Action::Execute, "Query"),
        ("history-instance", Action::Read, ""),
    ];
    for (interaction, action, name) in cases {
        for patient in [None, Some("Patient/p".to_owned())] {
            let mut access = access(interaction, action, "GET /Observation?code=1");
            access.requester_kind = Some(RequesterKind::Own);
            let done = (action != Action::Read && action != Action::Execute).then_some(action);
            access.patients.extend(patient.clone());
            let about: Vec<usize> = (0..access.patients.len()).collect();
            access.released.push(Item { done, ..item("Observation/o", &about, Ground::Policy) });
            let made = events(&access, Reader::Auditor);
            assert_eq!(ids(&made), ["v42-v184683593728"]);
            let expected = match (name, &patient) {
                ("", _) => String::new(),
                (name, None) => name.to_owned(),
                (name, Some(_)) => format!("Patient{name}"),
            };
            let event = &made[0].1;
            assert_eq!(profile(event), expected, "{interaction}");
            assert_eq!(event["action"], action.code());
            assert_eq!(event["agent"][2]["who"]["identifier"]["system"], "https://us.example/fhir");
            assert_eq!(event["agent"][2]["policy"][0], "urn:ietf:params:oauth:jti:t1");
            assert_eq!(event["source"]["observer"], event["agent"][1]["who"]);
            assert_eq!(references(event, "1"), patient.iter().map(String::as_str).collect::<Vec<_>>());
            let data = references(event, "4");
            match action {
                Action::Execute => assert_eq!(
                    event["entity"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter(|entity| entity["query"] == "R0VUIC9PYnNlcnZhdGlvbj9jb2RlPTE=")
                        .count(),
                    1
                ),
                Action::Create | Action::Update => assert_eq!(data, ["Observation/o/_history/v42"]),
                Action::Read | Action::Delete => assert_eq!(data, ["Observation/o"]),
            }
        }
    }
}

#[test]
fn a_search_is_an_event_for_each_patient_and_a_disclosure_of_what_is_theirs() {
    let mut access = access("search-type", Action::Execute, "GET /Observation?patient=a,b");
    access.patients = vec!["Patient/a".to_owned(), "Patient/b".to_owned()];
    let mut labelled = item("Observation/1/_history/x", &[0], consent());
    labelled
        .labels
        .push(("http://terminology.hl7.org/CodeSystem/v3-Confidentiality".to_owned(), "R".to_owned()));
    access.released = vec![labelled, item("Observation/2/_history/y", &[1], Ground::Policy)];
    let made = events(&access, Reader::Auditor);
    assert_eq!(
        ids(&made),
        [
            "v42-v184683593728",
            "v42-v184683593728-d",
            "v42-v184683593728-x",
            "v42-v184683593729",
            "v42-v184683593729-x"
        ]
    );
    let profiles: Vec<&str> = made.iter().map(|(_, event)| profile(event)).collect();
    let disclosure = "PrivacyDisclosure.Source";
    assert_eq!(profiles, ["PatientQuery", "AuthZconsent", disclosure, "PatientQuery", disclosure]);
    for (event, value) in &made {
        let (own, other) =
            if event.patient.as_deref() == Some("Patient/a") { ("1", "2") } else { ("2", "1") };
        assert!(!value.to_string().contains(&format!("Observation/{other}")));
        assert_eq!(
            event.id.ends_with("-x"),
            value.to_string().contains(&format!("Observation/{own}/_history"))
        );
        let sequence_of = |id: &str| id.strip_prefix('v')?.parse().ok().map(Sequence);
        assert_eq!(record_of_event(&event.id, &sequence_of), Some((PLACE, None)));
    }
    assert_eq!(made[1].1["outcomeDesc"], "permitted by Consent/c, provision");
    assert_eq!(made[2].1["entity"][1]["securityLabel"][0]["code"], "R");
    for (_, value) in events(&access, Reader::Subject) {
        assert!(
            !value.to_string().contains("patient=a"),
            "a patient reads nothing of what was asked about others"
        );
    }
}

#[test]
fn what_was_withheld_is_a_denial_with_its_reason() {
    let mut access = access("read", Action::Read, "GET /Observation/o");
    access.status = 404;
    access.patients = vec!["Patient/a".to_owned()];
    access.withheld = vec![item("Observation/o", &[0], consent())];
    let made = events(&access, Reader::Subject);
    assert_eq!(ids(&made), ["v42-v184683593728", "v42-v184683593728-d"]);
    assert_eq!((&made[0].1["outcome"], profile(&made[0].1)), (&"8".into(), ""));
    assert_eq!(references(&made[0].1, "4"), ["Observation/o"]);
    assert_eq!((&made[1].1["outcome"], profile(&made[1].1)), (&"8".into(), "AuthZconsent"));
    assert_eq!(made[1].1["outcomeDesc"], "denied by Consent/c, provision");
    access.withheld[0].ground = Ground::Law("42 CFR 2.31".to_owned());
    let made = events(&access, Reader::Auditor);
    assert_eq!((&made[1].1["outcomeDesc"], profile(&made[1].1)), (&"denied by 42 CFR 2.31".into(), ""));
}

#[test]
fn break_glass_is_an_alert() {
    let mut access = access("read", Action::Read, "GET /Observation/o");
    access.requester_kind = Some(RequesterKind::Own);
    access.patients = vec!["Patient/a".to_owned()];
    access.released = vec![item("Observation/o/_history/1", &[0], Ground::BreakGlass)];
    let made = events(&access, Reader::Auditor);
    assert_eq!(ids(&made), ["v42-v184683593728", "v42-v184683593728-d"]);
    assert_eq!(made[1].1["meta"]["tag"][0]["code"], "alert");
    assert_eq!(made[1].1["purposeOfEvent"][1]["coding"][0]["code"], "BTG");
}

#[test]
fn breaking_the_glass_is_an_event_with_its_reason() {
    let mut access = access("$break-glass", Action::Execute, "POST /Patient/a/$break-glass");
    access.requester_kind = Some(RequesterKind::Own);
    access.purposes = vec!["BTG".to_owned()];
    access.patients = vec!["Patient/a".to_owned()];
    access.reason = Some("unconscious in the emergency room".to_owned());
    let made = events(&access, Reader::Subject);
    assert_eq!(ids(&made), ["v42-v184683593728", "v42-v184683593728-b"]);
    assert_eq!(made[0].1["subtype"][0]["code"], "operation");
    assert_eq!(made[1].1["subtype"][0]["code"], "110127");
    assert_eq!(made[1].1["outcomeDesc"], "unconscious in the emergency room");
}

#[test]
fn every_entry_of_a_transaction_is_an_event() {
    let mut access = access("transaction", Action::Execute, "POST /");
    access.requester_kind = Some(RequesterKind::Own);
    access.write("Patient/a".to_owned(), [&"Patient/a".to_owned()], Vec::new(), Action::Create);
    access.write("Observation/o".to_owned(), [&"Patient/a".to_owned()], Vec::new(), Action::Delete);
    let made = events(&access, Reader::Auditor);
    assert_eq!(ids(&made), ["v42-v184683593728-e0", "v42-v184683593728-e1"]);
    assert_eq!((profile(&made[0].1), profile(&made[1].1)), ("PatientCreate", "PatientDelete"));
}

#[test]
fn consents_of_others_are_not_named_to_a_patient() {
    let mut access = access("read", Action::Read, "GET /Observation/o");
    access.patients = vec!["Patient/a".to_owned(), "Patient/b".to_owned()];
    access.consents = vec!["Consent/earlier".to_owned()];
    access.released = vec![item("Observation/o/_history/1", &[0, 1], consent())];
    for (reader, is_named) in [(Reader::Auditor, true), (Reader::Subject, false)] {
        for (event, value) in events(&access, reader).iter().filter(|(event, _)| !event.id.ends_with("-d")) {
            let text = value.to_string();
            assert_eq!(text.contains("Consent/c"), is_named, "{}", event.id);
            assert_eq!(
                text.contains("Consent/earlier"),
                is_named && !event.id.ends_with("-x"),
                "{}",
                event.id
            );
        }
    }
}

#[test]
fn another_patient_who_asked_is_not_named_to_the_patient() {
    let mut access = access("read", Action::Read, "GET /Observation/o");
    access.fhir_user = Some("Patient/other".to_owned());
    access.status = 404;
    access.patients = vec!["Patient/a".to_owned()];
    access.withheld = vec![item("Observation/o", &[0], Ground::Policy)];
    for (reader, is_named) in [(Reader::Auditor, true), (Reader::Subject, false)] {
        for (_, event) in events(&access, reader) {
            assert_eq!(event.to_string().contains("Patient/other"), is_named);
        }
    }
}

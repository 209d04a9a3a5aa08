//! Whom a request concerned beyond what it showed: a search or count enters the record of each patient whose data it counted,
//! and of each whom one of its values identifies alone.
use std::collections::BTreeSet;
use std::sync::Arc;

use chartward::audit::{Records, verify_index};
use chartward::auth::{Party, Role};
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Verb};
use chartward::store::{At, Direction, Sequence};
use serde_json::{Value, json};

use crate::audit::{HOSPITAL, ask, doctor, events, get, officer, parts, patient, put};
use crate::in_process::Server;

const NAMES: [&str; 4] = ["ann", "bob", "cyd", "dan"];

/// Ann and Bob each have an identifier of their own, Cyd and Dan share one; each patient has a visit, an insurance and a result.
/// No patient consents to the clinic's access.
fn hospital(server: &Server) {
    for (id, identifier, family) in
        [("ann", "1", "Oyelaran"), ("bob", "2", "Smith"), ("cyd", "3", "Smith"), ("dan", "3", "Smith")]
    {
        put(
            server,
            &json!({"resourceType": "Patient", "id": id, "name": [{"family": family}],
                "identifier": [{"system": "urn:mrn", "value": identifier}]}),
        );
        let subject = json!({"reference": format!("Patient/{id}")});
        put(
            server,
            &json!({"resourceType": "Encounter", "id": format!("visit-{id}"), "status": "finished",
                "class": {"code": "AMB"}, "subject": subject, "identifier": [{"value": format!("v-{id}")}]}),
        );
        put(
            server,
            &json!({"resourceType": "Observation", "id": format!("of-{id}"), "status": "final",
                "code": {"text": "pulse"}, "subject": subject}),
        );
    }
    put(
        server,
        &json!({"resourceType": "Binary", "id": "paper", "contentType": "text/plain", "data": "eA=="}),
    );
    put(
        server,
        &json!({"resourceType": "DocumentReference", "id": "of-cyd", "status": "current", "subject": {"reference": "Patient/cyd"},
            "content": [{"attachment": {"url": "Binary/paper"}}]}),
    );
    put(
        server,
        &json!({"resourceType": "List", "id": "of-bob", "status": "current", "mode": "working",
            "subject": {"reference": "Patient/bob"}, "entry": [{"item": {"reference": "Observation/of-bob"}}]}),
    );
}

fn clinic() -> Arc<Party> {
    crate::audit::party(Role::System, Some("Organization/clinic"), None, "TREAT")
}

/// The patients whose record a request enters, and how: `counted` or `sought`.
fn told(server: &Server, act: impl FnOnce()) -> Vec<(String, String)> {
    let Sequence(before) = server.house.kv().snapshot(At::Latest).unwrap().sequence();
    act();
    server.house.kv().settle();
    server.engine.look_up_unshown(Sequence(u64::MAX), None).unwrap();
    let snapshot = server.house.kv().snapshot(At::Latest).unwrap();
    let mut told = Vec::new();
    for id in NAMES {
        let from = Some((Sequence(before + 1), 0));
        let mut records = Records::new(&*snapshot, Some(id), Direction::Forward, from);
        while let Some((_, access)) = records.read().unwrap() {
            let concern = access.addition.map(|addition| addition.concern);
            told.extend(concern.map(|concern| (id.to_owned(), format!("{concern:?}").to_lowercase())));
        }
    }
    told.sort();
    told
}

fn expected(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(id, how)| ((*id).to_owned(), (*how).to_owned())).collect()
}

/// The party, the request, and the patients whose record it enters, with the kind of entry.
type Case<'c> = (&'c Arc<Party>, &'c str, &'c [(&'c str, &'c str)]);

#[test]
fn a_search_stands_in_the_record_of_whom_it_counted_and_of_whom_it_picks_out() {
    let server = Server::in_memory();
    hospital(&server);
    let all = NAMES.map(|id| (id, "counted"));
    let (ours, theirs) = (doctor(), clinic());
    let cases: Vec<Case<'_>> = vec![
        // Counts enter the records of those whom the party may see.
        (&ours, "Observation?_summary=count", &all),
        (&ours, "Observation?status=final&_count=0", &all),
        (&ours, "Patient?_total=accurate&_count=1&name=smith", &[("cyd", "counted"), ("dan", "counted")]),
        (&ours, "Patient?family=Smith&_count=2", &[("dan", "counted")]),
        (&ours, "Patient/bob/Observation?_summary=count", &[]),
        (&ours, "Observation?status=amended&_summary=count", &[]),
        (&theirs, "Observation?_summary=count", &[]),
        (&theirs, "Observation?status=final", &[]),
        // What was shown is already recorded as shown.
        (&ours, "Patient?identifier=urn:mrn|1", &[]),
        (&ours, "Patient?family=Smith", &[]),
        // Values that identify one patient alone, whether found and shown or not.
        (&ours, "Patient?identifier=urn:mrn|1&birthdate=1800", &[("ann", "sought")]),
        (
            &ours,
            "Patient?identifier=urn:mrn|1,urn:mrn|2&gender=female",
            &[("ann", "sought"), ("bob", "sought")],
        ),
        (&theirs, "Patient?identifier=urn:mrn|1", &[("ann", "sought")]),
        (&theirs, "Patient?identifier=1", &[("ann", "sought")]),
        (&theirs, "Patient?identifier=urn:mrn|3", &[]),
        (&theirs, "Patient?identifier=urn:mrn|none", &[]),
        (&theirs, "Patient?family=Oyelaran", &[("ann", "sought")]),
        (&theirs, "Patient?family=Smith", &[]),
        (&theirs, "Patient?_filter=identifier eq urn:mrn|2", &[("bob", "sought")]),
        (&theirs, "Observation?_filter=subject eq Patient/bob", &[("bob", "sought")]),
        (&theirs, "Observation?_id=of-ann", &[("ann", "sought")]),
        (&theirs, "Observation?_filter=_id eq \"of-ann\"", &[("ann", "sought")]),
        (&theirs, "Encounter?identifier=v-dan", &[("dan", "sought")]),
        (&theirs, "Observation?encounter=Encounter/visit-ann", &[("ann", "sought")]),
        (&theirs, "Observation?patient.identifier=urn:mrn|2", &[("bob", "sought")]),
        (&theirs, "Observation?patient.identifier=urn:mrn|3", &[]),
        (&theirs, "Observation?subject:identifier=urn:mrn|1", &[("ann", "sought")]),
        (&theirs, "Patient?_has:Observation:patient:_id=of-dan", &[("dan", "sought")]),
        (&theirs, "Patient?_has:Encounter:patient:identifier=v-cyd", &[("cyd", "sought")]),
        (&theirs, "Observation?_list=of-bob", &[("bob", "sought")]),
        (&theirs, "?_id=of-bob&_type=Observation", &[("bob", "sought")]),
        (
            &ours,
            "Patient?_id:not=ann&_summary=count",
            &[("ann", "sought"), ("bob", "counted"), ("cyd", "counted"), ("dan", "counted")],
        ),
        (&ours, "Patient?_id:not=ann", &[("ann", "sought")]),
        (&ours, "Patient?_filter=identifier eq urn:mrn|1 or family eq Smith", &[]),
        (&theirs, "Binary?_id=paper", &[("cyd", "sought")]),
        // Values with reserved characters are read back unchanged from the record.
        (&theirs, "Patient?identifier=urn:mrn%7C1%262&name=a%3Db%25", &[]),
    ];
    for (party, url, expects) in cases {
        let told = told(&server, || drop(get(&server, party, url)));
        assert_eq!(told, expected(expects), "{} {url}", party.role.code());
    }
    let form = |pairs: &[(&str, &str)]| {
        Payload::Form(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    };
    let posted = told(&server, || {
        let payload = form(&[("identifier", "urn:mrn|2")]);
        drop(server.send_as(&theirs, Verb::Post, "Patient/_search", Headers::default(), payload).unwrap());
    });
    assert_eq!(posted, expected(&[("bob", "sought")]));
    assert_eq!(
        verify_index(&*server.house.kv().snapshot(At::Latest).unwrap()).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn conditions_of_writes_stand_in_the_record_of_whom_they_pick_out() {
    let server = Server::in_memory();
    hospital(&server);
    let new = |value: &str| json!({"resourceType": "Patient", "name": [{"family": "New"}], "identifier": [{"system": "urn:mrn", "value": value}]});
    let payload = |body: &Value| Payload::Resource(parse(body.to_string().into_bytes()).unwrap());
    let create = |criteria: &str, value: &str| {
        let headers = Headers { if_none_exist: Some(criteria.to_owned()), ..Headers::default() };
        drop(server.send_as(&clinic(), Verb::Post, "Patient", headers, payload(&new(value))));
    };
    assert_eq!(told(&server, || create("identifier=urn:mrn|1", "7")), expected(&[("ann", "sought")]));
    // The patient reads which kind of condition was asked, but not its value.
    let own = get(&server, &patient("ann"), "AuditEvent?_count=100").to_string();
    assert!(
        own.contains("\"POST /Patient where Patient by identifier\"") && !own.contains("urn:mrn"),
        "{own}"
    );
    assert_eq!(told(&server, || create("Patient?identifier=urn:mrn|3", "8")), expected(&[]));
    assert_eq!(told(&server, || create("identifier=urn:mrn|none", "9")), expected(&[]));
    let sent = |verb: Verb, url: &str, body: Option<&Value>| {
        told(&server, || drop(ask(&server, &clinic(), verb, url, body)))
    };
    assert_eq!(
        sent(Verb::Put, "Patient?identifier=urn:mrn|2", Some(&new("2"))),
        expected(&[("bob", "sought")])
    );
    assert_eq!(sent(Verb::Delete, "Observation?_id=of-dan", None), expected(&[("dan", "sought")]));
    let entry = |method: &str, url: &str, resource: Value, condition: Option<&str>| json!({"resource": resource, "request": {"method": method, "url": url, "ifNoneExist": condition}});
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "subject": {"reference": "Patient?identifier=urn:mrn|1"}});
    for kind in ["transaction", "batch"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [
            entry("POST", "Patient", new("10"), Some("identifier=urn:mrn|1"))]});
        assert_eq!(sent(Verb::Post, "", Some(&bundle)), expected(&[("ann", "sought")]), "{kind}");
    }
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Observation", observation, None)]});
    assert_eq!(sent(Verb::Post, "", Some(&bundle)), expected(&[("ann", "sought")]));
}

#[test]
fn a_count_of_many_is_told_to_each_of_them_and_no_crash_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..300).map(|number| format!("p{number}")).collect();
    {
        let server = Server::at(folder.path());
        for id in &many {
            put(&server, &json!({"resourceType": "Patient", "id": id, "gender": "other"}));
        }
        put(&server, &json!({"resourceType": "Patient", "id": "else", "gender": "male"}));
        for _ in 0..3 {
            get(&server, &doctor(), "Patient?gender=other&_summary=count");
        }
        // The server ends before the look-up was done.
    }
    let server = Server::at(folder.path());
    assert_eq!(server.engine.look_up_unshown(Sequence(u64::MAX), None).unwrap(), 3);
    assert_eq!(server.engine.look_up_unshown(Sequence(u64::MAX), None).unwrap(), 0);
    let mut ids = BTreeSet::new();
    for id in &many {
        let found = get(&server, &officer(), &format!("AuditEvent?patient={id}"));
        let counted: Vec<&Value> =
            events(&found).into_iter().filter(|event| event["period"].is_object()).collect();
        assert_eq!(counted.len(), 1, "{found}");
        assert!(counted[0]["outcomeDesc"].as_str().unwrap().ends_with("requests alike: 3"), "{found}");
        let event = counted[0]["id"].as_str().unwrap().to_owned();
        if id.ends_with('7') {
            // It can be read by its id, by the patient too, but by no other patient.
            let read = get(&server, &patient(id), &format!("AuditEvent/{event}"));
            assert_eq!(read["outcomeDesc"], counted[0]["outcomeDesc"]);
            let other = ask(&server, &patient("else"), Verb::Get, &format!("AuditEvent/{event}"), None);
            assert_eq!(other.unwrap_err().kind.status(), 404);
        }
        ids.insert(event);
    }
    assert_eq!(ids.len(), many.len());
    let of_else = get(&server, &officer(), "AuditEvent?patient=else").to_string();
    assert!(!of_else.contains("counted"), "{of_else}");
    let who_saw = get(&server, &patient("p7"), "Patient/p7/$who-saw");
    let texts: Vec<String> = parts(&who_saw, "access").iter().map(|access| access.to_string()).collect();
    assert!(
        texts.iter().any(|text| text.contains("counted records, the file among them, 3 times")),
        "{texts:?}"
    );
    // A patient who was deleted or erased is still found in the record.
    server.send(Verb::Delete, "Patient/p8", Headers::default(), None).unwrap();
    let administrator = crate::audit::party(Role::Administrator, Some(HOSPITAL), None, "HOPERAT");
    ask(&server, &administrator, Verb::Post, "Patient/p9/$erase?reason=wish", None).unwrap();
    for id in ["p8", "p9"] {
        let found = get(&server, &officer(), &format!("AuditEvent?patient={id}")).to_string();
        assert!(found.contains("data were counted"), "{id}: {found}");
    }
    // In other sort orders, and page by page in both directions.
    for sort in ["date", "-date", "agent"] {
        let url = format!("AuditEvent?patient=p7&_sort={sort}&_count=1");
        let mut page = get(&server, &officer(), &url);
        let mut texts = Vec::new();
        loop {
            texts.extend(events(&page).iter().map(|event| event["id"].to_string()));
            let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
            let Some(next) = next.map(|link| link["url"].as_str().unwrap().to_owned()) else { break };
            page = get(&server, &officer(), next.split("/fhir/").nth(1).unwrap());
        }
        assert!(texts.len() >= 2, "{texts:?}");
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "{sort}: {texts:?}");
    }
    assert_eq!(
        verify_index(&*server.house.kv().snapshot(At::Latest).unwrap()).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn the_patient_is_told_of_searches_in_words_and_not_of_others() {
    let server = Server::in_memory();
    hospital(&server);
    get(&server, &clinic(), "Patient?identifier=urn:mrn|1,urn:mrn|2");
    let who_saw = get(&server, &patient("ann"), "Patient/ann/$who-saw").to_string();
    assert!(who_saw.contains("searched for the file and was shown nothing of it"), "{who_saw}");
    let own = get(&server, &patient("ann"), "AuditEvent?_count=100").to_string();
    assert!(own.contains("picks out the patient alone"), "{own}");
    assert!(!own.contains("urn:mrn") && !own.contains("Patient/bob"), "{own}");
    // Counting patients does not make staff appear as having accessed them without a treatment relation.
    get(&server, &doctor(), "Patient?_summary=count");
    let without = get(&server, &officer(), "AuditEvent/$without-relation");
    assert_eq!(parts(&without, "access").len(), 0, "{without}");
}

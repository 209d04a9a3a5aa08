//! A revocation takes effect with the next request: read, search or next page; a Consent's period ends at its last instant.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chartward::auth::Party;
use chartward::operations::{Headers, Payload, Verb};
use serde_json::{Value, json};

use super::data::START;
use super::parties::another_hospital;
use super::world::{Asked, BASE, SetClock, World};
use crate::in_process::Server;

fn consent(status: &str, period: &Value) -> Value {
    json!({
        "resourceType": "Consent", "id": "given", "status": status, "patient": {"reference": "Patient/p"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policy": [{"uri": "urn:example:privacy-policy"}],
        "provision": {"type": "permit", "period": period, "actor": [{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
            "reference": {"reference": "Organization/lakeside"}}]},
    })
}

pub fn observation(number: usize) -> Value {
    json!({"resourceType": "Observation", "id": format!("o{number}"), "status": "final", "code": {"text": "pulse"},
        "subject": {"reference": "Patient/p"}})
}

const OBSERVATIONS: usize = 6;
const ROUNDS: usize = 40;
/// The longest time to wait in one state.
const PATIENCE: Duration = Duration::from_secs(5);

/// The requests that are repeated; each answer either shows data or does not.
const REQUESTS: [&str; 5] = [
    "Observation/o1",
    "Observation?subject=Patient/p&_count=2",
    "Observation/_history?_count=2",
    "Patient/p/*",
    "Observation/o1/_history",
];

fn get(server: &Server, party: &Arc<Party>, url: &str) -> Option<Value> {
    let answer = server.send_as(party, Verb::Get, url, Headers::default(), Payload::None).ok()?;
    serde_json::from_str(answer.body.json()?).ok()
}

fn shows_data(body: Option<&Value>) -> bool {
    body.is_some_and(|body| body.to_string().contains("pulse"))
}

/// The path of the next page.
fn next_of(body: Option<&Value>) -> Option<String> {
    let links = body?["link"].as_array()?;
    let next = links.iter().find(|link| link["relation"] == "next")?;
    Some(next["url"].as_str()?.strip_prefix(BASE)?.trim_start_matches('/').to_owned())
}

/// The last write that was begun or acknowledged, counted in a cycle of four phases.
const REVOKED: usize = 0;
const PERMITTED: usize = 2;

#[test]
fn nothing_is_shown_after_a_revocation_is_acknowledged() {
    let server = Server::new();
    let put = |resource: &Value| {
        let url = super::data::reference(resource);
        server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
    };
    put(&json!({"resourceType": "Organization", "id": "lakeside", "name": "Lakeside"}));
    put(&json!({"resourceType": "Patient", "id": "p"}));
    (0..OBSERVATIONS).for_each(|number| put(&observation(number)));
    let (phase, shown, withheld) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let party = another_hospital();
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (server, party, phase, shown, withheld) = (&server, &party, &phase, &shown, &withheld);
            scope.spawn(move || {
                let mut next: Option<String> = None;
                for number in reader.. {
                    let url = match &next {
                        Some(next) if number % 2 == 0 => next.clone(),
                        _ => REQUESTS[number % REQUESTS.len()].to_owned(),
                    };
                    let before = phase.load(Ordering::SeqCst);
                    let body = get(server, party, &url);
                    let after = phase.load(Ordering::SeqCst);
                    if before >= ROUNDS * 4 {
                        break;
                    }
                    next = next_of(body.as_ref()).or(next);
                    if before != after {
                        continue;
                    }
                    if before % 4 == REVOKED {
                        assert!(
                            !shows_data(body.as_ref()),
                            "{url} shows data after the revocation: {body:?}"
                        );
                        withheld.fetch_add(1, Ordering::SeqCst);
                    } else if before % 4 == PERMITTED && REQUESTS.contains(&url.as_str()) {
                        assert!(
                            shows_data(body.as_ref()),
                            "{url} shows nothing after the permission: {body:?}"
                        );
                        shown.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for _ in 0..ROUNDS {
            for status in ["active", "inactive"] {
                phase.fetch_add(1, Ordering::SeqCst);
                put(&consent(status, &json!({"start": "2020-01-01"})));
                phase.fetch_add(1, Ordering::SeqCst);
                // Each state lasts until one request has been answered in it, however busy the machine is.
                let within = if status == "active" { &shown } else { &withheld };
                let (before, began) = (within.load(Ordering::SeqCst), Instant::now());
                std::thread::sleep(Duration::from_millis(15));
                while within.load(Ordering::SeqCst) == before && began.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    });
    let counts = (shown.into_inner(), withheld.into_inner());
    assert!(counts.0 >= ROUNDS && counts.1 >= ROUNDS, "{counts:?} requests were within one state");
}

/// 10 July 2026, 00:00 UTC.
const TENTH: i64 = START + 9 * DAY;
const DAY: i64 = 86_400_000;

#[test]
fn decisions_change_at_the_ends_of_a_period() {
    let clock = Arc::new(SetClock::default());
    clock.set(START);
    let world = World::new(clock.clone(), 1);
    let own = Arc::new(Party::open("Organization/hospital"));
    let mut resources = vec![
        json!({"resourceType": "Organization", "id": "lakeside", "name": "Lakeside"}),
        json!({"resourceType": "Patient", "id": "p"}),
        consent("active", &json!({"start": "2026-07-09T12:00:00Z", "end": "2026-07-10"})),
    ];
    resources.extend((0..OBSERVATIONS).map(observation));
    for resource in &resources {
        let asked = Asked::new(Verb::Put, super::data::reference(resource)).with(resource);
        assert_eq!(world.ask(&own, &asked).status, 201);
    }
    let party = another_hospital();
    let status = |url: &str| world.ask(&party, &Asked::new(Verb::Get, url)).status;
    let page = |url: &str| -> Value {
        serde_json::from_str(&world.ask(&party, &Asked::new(Verb::Get, url)).body).unwrap()
    };
    let search = "Observation?subject=Patient/p&_count=2&_total=accurate";
    let expect = |is_shown: bool| {
        assert_eq!(status("Observation/o1"), if is_shown { 200 } else { 404 });
        assert_eq!(page(search)["total"], if is_shown { OBSERVATIONS } else { 0 });
        assert_eq!(page("Observation/_history")["total"], if is_shown { OBSERVATIONS } else { 0 });
    };
    for (time, is_shown) in [
        (TENTH - DAY / 2 - 1, false),
        (TENTH - DAY / 2, true),
        (TENTH + DAY - 1, true),
        (TENTH + DAY, false),
        // A clock that goes backwards is accepted.
        (TENTH, true),
        (TENTH + 30 * DAY, false),
        (TENTH + DAY - 1, true),
    ] {
        clock.set(time);
        expect(is_shown);
    }
    // A page sequence begun within the period ends with it.
    let next = next_of(Some(&page(search))).unwrap();
    assert!(shows_data(Some(&page(&next))));
    clock.advance(1);
    let after = page(&next);
    assert!(!shows_data(Some(&after)) && after["total"] == 0, "{after}");
    assert!(next_of(Some(&after)).is_none());
}

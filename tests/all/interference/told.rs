//! Single facts that an answer must not reveal: that there was an earlier version, or how many other accesses there were; and a
//! cyclic chain of resources that decide about each other.
use std::sync::Arc;

use chartward::auth::Party;
use chartward::operations::Verb;
use serde_json::{Value, json};

use super::data::START;
use super::parties::{another_hospital, constrained_clinician, patient};
use super::revocation::observation;
use super::world::{Asked, SetClock, World};

#[test]
fn what_was_hidden_first_was_made_when_it_is_first_seen() {
    let clock = Arc::new(SetClock::default());
    clock.set(START);
    let world = World::new(clock.clone(), 1);
    let own = Arc::new(Party::open("Organization/hospital"));
    let mut resource = observation(1);
    for (status, value) in [("preliminary", 1), ("final", 1), ("final", 2)] {
        resource["status"] = json!(status);
        resource["valueInteger"] = json!(value);
        clock.advance(1_000);
        assert!(world.ask(&own, &Asked::new(Verb::Put, "Observation/o1").with(&resource)).status < 300);
    }
    let methods = |party: &Arc<Party>, more: &str| -> Vec<String> {
        let asked = Asked::new(Verb::Get, format!("Observation/_history{more}"));
        let bundle: Value = serde_json::from_str(&world.ask(party, &asked).body).unwrap();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let told = |entry: &Value| {
            let text = |pointer: &str| entry.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            format!("{} {} {}", text("/request/method"), text("/request/url"), text("/response/status"))
        };
        entries.iter().map(told).collect()
    };
    let (put, post) = ("PUT Observation/o1 200".to_owned(), "POST Observation 201".to_owned());
    // Only final Observations are within the scopes.
    let constrained = constrained_clinician();
    assert_eq!(methods(&constrained, ""), [put.clone(), post.clone()]);
    assert_eq!(methods(&own, ""), [put.clone(), put.clone(), post]);
    // A part of a history shows each version as the whole history does.
    let since = "?_since=2026-07-01T00:00:03Z";
    for party in [&constrained, &own] {
        assert_eq!(methods(party, since), std::slice::from_ref(&put));
    }
}

#[test]
fn ids_of_audit_events_tell_nothing_of_other_accesses() {
    let clock = Arc::new(SetClock::default());
    clock.set(START);
    let world = World::new(clock, 1);
    let own = Arc::new(Party::open("Organization/hospital"));
    for id in ["p2", "q"] {
        let patient = json!({"resourceType": "Patient", "id": id});
        let asked = Asked::new(Verb::Put, format!("Patient/{id}")).with(&patient);
        assert_eq!(world.ask(&own, &asked).status, 201);
    }
    // One access to both files, then one to the single file.
    for url in ["Patient", "Patient/p2"] {
        assert_eq!(world.ask(&own, &Asked::new(Verb::Get, url)).status, 200);
    }
    let party = patient();
    let told = world.ask(&party, &Asked::new(Verb::Get, "AuditEvent?patient=Patient/p2"));
    let bundle: Value = serde_json::from_str(&told.body).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    assert!(entries.len() >= 3, "{bundle}");
    for entry in entries {
        let id = entry["resource"]["id"].as_str().unwrap();
        // The id consists of two opaque parts, and perhaps the kind of event.
        let parts: Vec<&str> = id.split('-').collect();
        assert!(parts[..2].iter().all(|part| part.starts_with("~16.") && part.ends_with('~')), "{id}");
        let read = world.ask(&party, &Asked::new(Verb::Get, format!("AuditEvent/{id}")));
        assert_eq!((read.status, read.body), (200, entry["resource"].to_string()));
    }
}

#[test]
fn binaries_may_be_each_others_security_context() {
    let clock = Arc::new(SetClock::default());
    clock.set(START);
    let world = World::new(clock, 1);
    let own = Arc::new(Party::open("Organization/hospital"));
    for (id, context) in [("a", "Binary/b"), ("b", "Binary/a"), ("c", "Binary/c")] {
        let binary = json!({"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "aGVsbG8=",
            "securityContext": {"reference": context}});
        assert_eq!(world.ask(&own, &Asked::new(Verb::Put, format!("Binary/{id}")).with(&binary)).status, 201);
    }
    for id in ["a", "b", "c"] {
        let status =
            |party: &Arc<Party>| world.ask(party, &Asked::new(Verb::Get, format!("Binary/{id}"))).status;
        assert_eq!((status(&own), status(&another_hospital())), (200, 404), "{id}");
    }
}

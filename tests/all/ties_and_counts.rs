//! Pages in an order in which many rows are alike, counts that are decided once for all rows of a type, and chains with many
//! targets: each is what looking at every single resource gives.
use std::collections::BTreeMap;
use std::sync::Arc;

use chartward::auth::{Party, Role};
use chartward::operations::{Headers, Verb};
use serde_json::{Value, json};

use crate::audit::{HOSPITAL, ask, doctor, get, officer, party, patient, put};
use crate::in_process::Server;

/// The ids on all pages of a search, following the links of this relation.
fn walked(server: &Server, party: &Arc<Party>, first: &str, relation: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(url) = next {
        let page = get(server, party, &url);
        let matches = page["entry"].as_array().into_iter().flatten();
        let matches = matches.filter(|entry| entry["search"]["mode"] == "match");
        pages.push(matches.map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect());
        next = link(&page, relation);
    }
    pages
}

fn link(page: &Value, relation: &str) -> Option<String> {
    let links = page["link"].as_array().unwrap();
    let url = links.iter().find(|link| link["relation"] == relation)?["url"].as_str().unwrap();
    Some(url.strip_prefix("http://127.0.0.1/fhir/").unwrap().to_owned())
}

fn transaction(server: &Server, resources: &[Value]) {
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
            json!({"resource": resource, "request": {"method": "PUT", "url": format!("{kind}/{id}")}})
        })
        .collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    server.send(Verb::Post, "", Headers::default(), Some(&bundle)).unwrap();
}

/// The status and date of each Observation, in the order of their creation. Dates of one start end at different times.
fn observations() -> Vec<(String, &'static str, Option<&'static str>)> {
    const STATUS: [&str; 7] = ["final", "final", "final", "amended", "final", "cancelled", "final"];
    const DATES: [Option<&str>; 5] =
        [Some("2020"), Some("2020-01-01T00:00:00Z"), Some("2021-05-02"), None, Some("2020-01")];
    (0..900).map(|number| (format!("o{number:03}"), STATUS[number % 7], DATES[number % 5])).collect()
}

#[test]
fn rows_that_sort_alike_come_in_the_order_of_their_creation_on_every_page() {
    let server = Server::in_memory();
    let all = observations();
    let resources: Vec<Value> = all
        .iter()
        .map(|(id, status, date)| {
            let mut resource =
                json!({"resourceType": "Observation", "id": id, "status": status, "code": {"text": "x"}});
            if let Some(date) = date {
                resource["effectiveDateTime"] = json!(date);
            }
            resource
        })
        .collect();
    resources.chunks(300).for_each(|some| transaction(&server, some));
    let year = |date: Option<&str>| date.map(|date| date[..4].to_owned());
    for (sort, is_by_status, is_down) in
        [("status", true, false), ("-status", true, true), ("date", false, false), ("-date", false, true)]
    {
        let mut expected: Vec<(Option<String>, String)> = all
            .iter()
            .map(|(id, status, date)| {
                let value = if is_by_status { Some((*status).to_owned()) } else { year(*date) };
                (value, id.clone())
            })
            .collect();
        // Stable, so what is alike stays in the order of its creation; what has no value comes last in both directions.
        expected.sort_by(|(a, _), (b, _)| {
            b.is_some().cmp(&a.is_some()).then(if is_down { b.cmp(a) } else { a.cmp(b) })
        });
        let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
        for filter in ["", "&status=final,amended"] {
            let kept = |id: &&String| {
                let (_, status, _) = &all[id[1..].parse::<usize>().unwrap()];
                filter.is_empty() || *status != "cancelled"
            };
            let expected: Vec<&String> = expected.iter().filter(kept).collect();
            let url = format!("Observation?_sort={sort}&_count=67{filter}");
            let pages = walked(&server, &server.party, &url, "next");
            assert_eq!(pages.iter().flatten().collect::<Vec<_>>(), expected, "{url}");
            // Back from the last page.
            let mut last = url.clone();
            while let Some(next) = link(&get(&server, &server.party, &last), "next") {
                last = next;
            }
            let mut back = walked(&server, &server.party, &last, "previous");
            back.reverse();
            assert_eq!(back.iter().flatten().collect::<Vec<_>>(), expected, "{url} backward");
        }
    }
}

fn observation(id: &str, subject: &Value, labels: &Value) -> Value {
    let mut resource =
        json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"}});
    if !subject.is_null() {
        resource["subject"] = subject.clone();
    }
    if !labels.is_null() {
        resource["meta"] = json!({"security": labels});
    }
    resource
}

fn consent(id: &str, patient: &str, kind: &str, actor: &str) -> Value {
    json!({
        "resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": format!("Patient/{patient}")}, "policy": [{"uri": "urn:policy"}],
        "provision": {"type": kind, "actor": [{"role": {"text": "recipient"}, "reference": {"reference": actor}}]}
    })
}

/// Compares the count of each type with the matches on all pages, for everybody.
fn counts_are_right(server: &Server, what: &str) -> BTreeMap<(usize, &'static str), usize> {
    let asking = [
        server.party.clone(),
        doctor(),
        officer(),
        patient("p1"),
        party(Role::Insurer, Some("Organization/acme"), None, "HPAYMT"),
        party(Role::System, Some("Organization/clinic"), None, "TREAT"),
    ];
    let mut counts = BTreeMap::new();
    for (asker, number) in asking.iter().zip(0..) {
        for query in [
            "Observation?status=final",
            "Observation?code:text=x",
            "Patient?active=true",
            "Organization?name=a",
        ] {
            let Ok(answer) = ask(server, asker, Verb::Get, &format!("{query}&_summary=count"), None) else {
                continue;
            };
            let answer: Value = serde_json::from_str(answer.body.json().unwrap()).unwrap();
            let count = usize::try_from(answer["total"].as_u64().unwrap()).unwrap();
            let shown = walked(server, asker, &format!("{query}&_count=50"), "next");
            assert_eq!(count, shown.iter().flatten().count(), "{what}: {query} by {number}");
            counts.insert((number, query), count);
        }
    }
    counts
}

#[test]
fn a_count_is_the_number_of_matches_on_all_pages_whatever_is_decided_for_all() {
    let server = Server::in_memory();
    for id in ["hospital", "acme", "clinic"] {
        put(&server, &json!({"resourceType": "Organization", "id": id, "name": format!("a {id}")}));
    }
    assert!(HOSPITAL.ends_with("hospital"));
    for number in 0..6 {
        put(&server, &json!({"resourceType": "Patient", "id": format!("p{number}"), "active": true}));
    }
    let of = |number: usize| json!({"reference": format!("Patient/p{}", number % 6)});
    let plain: Vec<Value> =
        (0..60).map(|number| observation(&format!("o{number}"), &of(number), &Value::Null)).collect();
    transaction(&server, &plain);
    let before = counts_are_right(&server, "nobody has consented");
    assert_eq!(before[&(0, "Observation?status=final")], 60);
    let nobody = [observation("nobody", &Value::Null, &Value::Null)];
    transaction(&server, &nobody);
    counts_are_right(&server, "one is of nobody");
    let label = |system: &str, code: &str| json!([{"system": system, "code": code}]);
    let apart = [
        observation("psy", &of(1), &label("http://terminology.hl7.org/CodeSystem/v3-ActCode", "PSY")),
        observation(
            "secret",
            &of(2),
            &label("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "V"),
        ),
        observation(
            "unknown",
            &json!({"identifier": {"system": "urn:elsewhere", "value": "7"}}),
            &Value::Null,
        ),
    ];
    transaction(&server, &apart);
    counts_are_right(&server, "some are set apart");
    put(&server, &consent("permits", "p2", "permit", "Organization/acme"));
    let permitted = counts_are_right(&server, "the insurer may see one patient");
    put(&server, &consent("denies", "p3", "deny", "Practitioner/day"));
    let denied = counts_are_right(&server, "the doctor may not see another");
    assert!(permitted[&(4, "Observation?status=final")] > before[&(4, "Observation?status=final")]);
    assert!(denied[&(1, "Observation?status=final")] < permitted[&(1, "Observation?status=final")]);
    // What is denied in one file is denied in those that are joined with it.
    put(
        &server,
        &json!({"resourceType": "Patient", "id": "p4", "active": true,
        "link": [{"other": {"reference": "Patient/p3"}, "type": "replaces"}]}),
    );
    let joined = counts_are_right(&server, "two files are of one person");
    assert!(joined[&(1, "Observation?status=final")] < denied[&(1, "Observation?status=final")]);
    for id in ["permits", "denies"] {
        server.send(Verb::Delete, &format!("Consent/{id}"), Headers::default(), None).unwrap();
    }
    counts_are_right(&server, "the Consents are gone");
    server.send(Verb::Delete, "Observation/psy", Headers::default(), None).unwrap();
    counts_are_right(&server, "one that was set apart is deleted");
}

#[test]
fn a_chain_finds_what_visible_targets_lead_to_in_the_order_of_creation() {
    let server = Server::in_memory();
    // Forty patients of one name; what refers to them was made in another order.
    let patients: Vec<Value> = (0..40)
        .map(|number| json!({"resourceType": "Patient", "id": format!("p{number}"), "name": [{"family": "Alike"}]}))
        .collect();
    transaction(&server, &patients);
    let all: Vec<Value> = (0..200)
        .map(|number| {
            observation(
                &format!("o{number}"),
                &json!({"reference": format!("Patient/p{}", (number * 7) % 40)}),
                &Value::Null,
            )
        })
        .collect();
    transaction(&server, &all);
    let url = "Observation?patient.family=Alike&_count=9";
    let ids = |hidden: &[usize]| -> Vec<String> {
        let is_shown = |number: &usize| !hidden.contains(&((number * 7) % 40));
        (0..200).filter(is_shown).map(|number| format!("o{number}")).collect()
    };
    let pages = walked(&server, &doctor(), url, "next");
    assert_eq!(pages.concat(), ids(&[]));
    for number in [3, 11, 29] {
        put(&server, &consent(&format!("denies{number}"), &format!("p{number}"), "deny", "Practitioner/day"));
    }
    let pages = walked(&server, &doctor(), url, "next");
    assert_eq!(pages.concat(), ids(&[3, 11, 29]));
    assert!(pages.iter().rev().skip(1).all(|page| page.len() == 9), "every page but the last is full");
}

//! The changes that `Consent/$preview` predicts are those that reads before and after show, for random Consents on random files.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chartward::auth::{Party, Role};
use chartward::cli::generated;
use chartward::model::parse;
use chartward::operations::{Headers, Payload, Verb};
use serde_json::{Value, json};

use crate::in_process::Server;
use crate::oracle::Random;
use crate::who_writes::party;

const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const PURPOSES: [&str; 4] = ["TREAT", "HPAYMT", "HOPERAT", "HRESCH"];

/// A reader: the name under which the preview lists it, its role, purpose, organization and user.
type Reader = (&'static str, Role, &'static str, Option<&'static str>, Option<&'static str>);

const READERS: [Reader; 14] = [
    ("anybody", Role::System, "TREAT", None, None),
    ("anybody", Role::Insurer, "HPAYMT", None, None),
    ("anybody", Role::Researcher, "HRESCH", None, None),
    ("Organization/lakeside", Role::System, "TREAT", Some("Organization/lakeside"), None),
    ("Organization/lakeside", Role::Clinician, "TREAT", Some("Organization/lakeside"), None),
    ("Organization/acme", Role::Insurer, "HPAYMT", Some("Organization/acme"), None),
    ("Organization/acme", Role::Researcher, "HRESCH", Some("Organization/acme"), None),
    ("Organization/hospital", Role::Clinician, "TREAT", Some("Organization/hospital"), None),
    ("Organization/hospital", Role::System, "HRESCH", Some("Organization/hospital"), None),
    ("Organization/hospital", Role::Technician, "HOPERAT", Some("Organization/hospital"), None),
    ("Organization/hospital", Role::PrivacyOfficer, "HOPERAT", Some("Organization/hospital"), None),
    ("Practitioner/d1", Role::Clinician, "TREAT", Some("Organization/hospital"), Some("Practitioner/d1")),
    ("Practitioner/d2", Role::Clinician, "TREAT", Some("Organization/hospital"), Some("Practitioner/d2")),
    ("RelatedPerson/kin", Role::Representative, "PATRQT", None, Some("RelatedPerson/kin")),
];

struct Hospital {
    server: Server,
    references: Vec<String>,
}

fn put(server: &Server, resource: &Value) -> String {
    let text = |name: &str| resource[name].as_str().unwrap().to_owned();
    let url = format!("{}/{}", text("resourceType"), text("id"));
    server.send(Verb::Put, &url, Headers::default(), Some(resource)).unwrap();
    url
}

impl Hospital {
    fn new(seed: u64) -> Self {
        let server = Server::in_memory();
        let mut all: Vec<Value> =
            generated(3, seed).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let subject = json!({"reference": "Patient/p1"});
        let label = |system: &str, code: &str| json!({"security": [{"system": system, "code": code}]});
        all.retain(|resource| resource["resourceType"] != "Consent");
        all.extend([
            json!({"resourceType": "RelatedPerson", "id": "kin", "active": true, "patient": subject}),
            json!({"resourceType": "Group", "id": "team", "type": "practitioner", "actual": true, "member": [
                {"entity": {"reference": "Practitioner/d1"}}, {"entity": {"reference": "PractitionerRole/role"}}]}),
            json!({"resourceType": "PractitionerRole", "id": "role", "active": true,
                "practitioner": {"reference": "Practitioner/d2"}, "organization": {"reference": "Organization/hospital"}}),
            json!({"resourceType": "Observation", "id": "mh", "status": "final", "code": {"text": "x"}, "subject": subject,
                "meta": label(ACT_CODE, "MH")}),
            json!({"resourceType": "Observation", "id": "note", "status": "final", "code": {"text": "x"}, "subject": subject,
                "meta": label(ACT_CODE, "PSYTHPN")}),
            json!({"resourceType": "Observation", "id": "old", "status": "final", "code": {"text": "x"}, "subject": subject,
                "effectiveDateTime": "2010-01-01"}),
            json!({"resourceType": "Binary", "id": "scan", "contentType": "text/plain", "data": "aGVsbG8="}),
            json!({"resourceType": "DocumentReference", "id": "doc", "status": "current", "subject": subject,
                "content": [{"attachment": {"url": "Binary/scan"}}]}),
            json!({"resourceType": "Provenance", "id": "prov", "target": [{"reference": "Observation/mh"}],
                "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": {"reference": "Practitioner/d1"}}]}),
            json!({"resourceType": "Task", "id": "task", "status": "requested", "intent": "order",
                "focus": {"reference": "Observation/old"}}),
        ]);
        let references = all.iter().map(|resource| put(&server, resource)).collect();
        Self { server, references }
    }

    /// The resources that a party can read, except the one that is being written.
    fn readable(&self, party: &Arc<Party>, but: &str) -> BTreeSet<String> {
        let is_read = |reference: &&String| {
            self.server.send_as(party, Verb::Get, reference, Headers::default(), Payload::None).is_ok()
        };
        self.references.iter().filter(|reference| *reference != but).filter(is_read).cloned().collect()
    }

    /// The predicted changes, by actor, role, purpose and, for a person, organization: gains and losses by type.
    fn preview(&self, consent: &Value) -> BTreeMap<[String; 4], BTreeMap<(String, String), usize>> {
        let officer = party(Role::PrivacyOfficer, Some("Organization/hospital"), None, "HOPERAT");
        let payload = Payload::Resource(parse(consent.to_string().into_bytes()).unwrap());
        let answer =
            self.server.send_as(&officer, Verb::Post, "Consent/$preview", Headers::default(), payload);
        let answer = answer.unwrap_or_else(|refusal| panic!("{}", refusal.outcome.to_json()));
        let told: Value = serde_json::from_str(answer.body.json().unwrap()).unwrap();
        let mut found: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
        for change in told["parameter"].as_array().into_iter().flatten() {
            let Some(parts) = change["part"].as_array() else { continue };
            let part =
                |name: &str| parts.iter().find(|part| part["name"] == name).cloned().unwrap_or_default();
            let code = |name: &str| part(name)["valueCode"].as_str().unwrap_or_default().to_owned();
            let actor = part("actor")["valueReference"].clone();
            let actor = actor["reference"].as_str().or(actor["display"].as_str()).unwrap().to_owned();
            let count = usize::try_from(part("count")["valueInteger"].as_u64().unwrap()).unwrap();
            let organization =
                part("organization")["valueReference"]["reference"].as_str().unwrap_or_default().to_owned();
            let who = [actor, code("role"), code("purpose"), organization];
            let what = (change["name"].as_str().unwrap().to_owned(), code("type"));
            *found.entry(who).or_default().entry(what).or_default() += count;
        }
        found
    }
}

fn coding(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// A random rule with some criteria, and sometimes exceptions.
fn provision(random: &mut Random, depth: usize) -> Value {
    const ACTORS: [&str; 8] = [
        "Organization/lakeside",
        "Organization/acme",
        "Organization/hospital",
        "Practitioner/d1",
        "Practitioner/d2",
        "PractitionerRole/role",
        "Group/team",
        "RelatedPerson/kin",
    ];
    let mut rule = json!({"type": if random.below(2) == 0 { "permit" } else { "deny" }});
    let one_of = |random: &mut Random, list: &[&'static str]| list[random.below(list.len())];
    if random.below(3) > 0 {
        let actor = one_of(random, &ACTORS);
        let role = coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP");
        rule["actor"] = json!([{"role": role, "reference": {"reference": actor}}]);
    }
    if random.below(3) == 0 {
        rule["purpose"] = json!([{"system": ACT_REASON, "code": one_of(random, &PURPOSES)}]);
    }
    if random.below(3) == 0 {
        let name = one_of(random, &["Observation", "Condition", "Patient", "DocumentReference"]);
        rule["class"] = json!([{"system": "http://hl7.org/fhir/resource-types", "code": name}]);
    }
    if random.below(4) == 0 {
        rule["securityLabel"] =
            json!([{"system": ACT_CODE, "code": one_of(random, &["MH", "PSYTHPN", "SPI"])}]);
    }
    if random.below(5) == 0 {
        rule["dataPeriod"] = json!({"start": "2015-01-01", "end": "2026-12-31"});
    }
    if depth < 2 && random.below(3) == 0 {
        rule["provision"] = json!([provision(random, depth + 1)]);
    }
    rule
}

#[test]
fn previews_say_what_reads_say() {
    let rounds = if std::env::var_os("LONG_TESTS").is_some() { 400 } else { 12 };
    let mut hospital = Hospital::new(5);
    let mut random = Random::new(17);
    let readers: Vec<(Reader, Arc<Party>)> =
        READERS.into_iter().map(|reader| (reader, party(reader.1, reader.3, reader.4, reader.2))).collect();
    let mut changed = 0;
    for round in 0..rounds {
        let consent = json!({
            "resourceType": "Consent", "id": format!("c{}", random.below(3)), "status": "active",
            "scope": coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coding("http://loinc.org", "59284-0")], "policy": [{"uri": "urn:example:policy"}],
            "patient": {"reference": "Patient/p1"}, "provision": provision(&mut random, 0),
        });
        let written = format!("Consent/{}", consent["id"].as_str().unwrap());
        let preview = hospital.preview(&consent);
        let before: Vec<BTreeSet<String>> =
            readers.iter().map(|(_, party)| hospital.readable(party, &written)).collect();
        put(&hospital.server, &consent);
        for (((name, role, purpose, _, user), party), before) in readers.iter().zip(before) {
            let after = hospital.readable(party, &written);
            let mut expected: BTreeMap<(String, String), usize> = BTreeMap::new();
            for (change, references) in
                [("gains", after.difference(&before)), ("loses", before.difference(&after))]
            {
                for reference in references {
                    let type_name = reference.split('/').next().unwrap().to_owned();
                    *expected.entry((change.to_owned(), type_name)).or_default() += 1;
                }
            }
            let told = |name: &str| {
                let organization =
                    user.and(party.organization.clone()).filter(|_| name.starts_with("Practitioner/"));
                let who = [
                    name.to_owned(),
                    role.code().to_owned(),
                    (*purpose).to_owned(),
                    organization.unwrap_or_default(),
                ];
                preview.get(&who).cloned().unwrap_or_default()
            };
            changed += usize::from(!expected.is_empty());
            // A reader that no Consent names is listed under its role, in the own organization or anywhere.
            let by_role = if party.organization.as_deref() == Some("Organization/hospital") {
                "Organization/hospital"
            } else {
                "anybody"
            };
            let is_named = told(name) == expected;
            assert!(
                is_named || told(by_role) == expected,
                "round {round}, {name} as {} for {purpose}: reads {expected:?}, preview {:?} {:?}\n{consent}",
                role.code(),
                told(name),
                told(by_role)
            );
        }
        if !hospital.references.contains(&written) {
            hospital.references.push(written);
        }
    }
    assert!(changed > rounds, "only {changed} changes");
}

//! Whether response times reveal if a resource is hidden or absent: `cargo bench --bench timing -- [PAIRS] [RUNS]`. Sends the
//! same requests for a hidden and an absent resource in alternating pairs over one connection, and prints the medians in
//! microseconds and two z values, without and with the time grid of answers: the difference of the means over its standard
//! error, and that of the ranks (Mann and Whitney), which is robust against outliers.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing
)]
use std::time::Instant;

use chartward::auth::AccessToken;
use chartward::cli::{Config, ConsentConfig, House, Running, claims, start};
use serde_json::{Value, json};

struct Site {
    house: House,
    running: Running,
    agent: ureq::Agent,
}

impl Site {
    fn new(data: &std::path::Path, answer_grid_millis: u64) -> Self {
        let consent = ConsentConfig { answer_grid_millis, ..ConsentConfig::default() };
        let listen = "127.0.0.1:0".to_owned();
        let config = Config { data: data.to_owned(), listen, consent, ..Config::default() };
        let house = House::open(&config).unwrap();
        let running = start(&config, &house, false, None).unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { house, running, agent }
    }

    fn token(&self, role: &str, organization: &str, user: Option<&str>, scope: &str) -> String {
        let base = &self.running.base_url;
        let token = AccessToken {
            sub: format!("{role} of {organization}"),
            role: role.to_owned(),
            organization: Some(organization.to_owned()),
            fhir_user: user.map(str::to_owned),
            purpose_of_use: vec![if role == "insurer" { "HPAYMT" } else { "TREAT" }.to_owned()],
            scope: scope.to_owned(),
            assign_ids: organization == "Organization/hospital" && role == "system",
            ..claims(base, 36_000).unwrap()
        };
        self.house.issuer(base).unwrap().sign(&token).unwrap()
    }

    /// Sends a request; gives the status and the time in microseconds.
    fn send(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, f64) {
        let url = format!("{}/{path}", self.running.base_url);
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/fhir+json");
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).unwrap();
        let begun = Instant::now();
        let mut answer = self.agent.run(request).unwrap();
        answer.body_mut().read_to_vec().unwrap();
        (answer.status().as_u16(), begun.elapsed().as_secs_f64() * 1e6)
    }
}

/// A kind of request: the token, the method, and the path and body by the pair's number and whether the resource is hidden.
struct Shape<'s> {
    name: &'s str,
    token: &'s str,
    method: &'s str,
    path: fn(usize, bool) -> String,
    body: fn(usize, bool) -> Option<Value>,
}

fn nothing(_: usize, _: bool) -> Option<Value> {
    None
}

/// An id or identifier; the hidden ones belong to stored Patients.
fn id(number: usize, hidden: bool) -> String {
    format!("{}{number:06}", if hidden { "h" } else { "a" })
}

fn registered(number: usize, hidden: bool) -> Option<Value> {
    Some(json!({"resourceType": "Patient", "name": [{"family": "New"}],
        "identifier": [{"system": "urn:mrn", "value": id(number, hidden)}]}))
}

fn mean_and_variance(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

/// The z value of one sample's rank sum among both samples.
fn rank_z(one: &[f64], other: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ranks = all.iter().zip(1..).filter(|((_, of_one), _)| *of_one).map(|(_, rank)| f64::from(rank));
    let (m, n) = (one.len() as f64, other.len() as f64);
    let expected = m * (m + n + 1.0) / 2.0;
    (ranks.sum::<f64>() - expected) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let (pairs, runs) = (numbers.first().copied().unwrap_or(400), numbers.get(1).copied().unwrap_or(3));
    for grid in [0, ConsentConfig::default().answer_grid_millis] {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::new(folder.path(), grid);
        let ehr = site.token("system", "Organization/hospital", None, "system/*.cruds");
        for chunk in 0..(pairs * runs).div_ceil(200) {
            let entries: Vec<Value> = (chunk * 200..(chunk + 1) * 200)
                .flat_map(|number| {
                    let id = id(number, true);
                    let entry = |resource: Value| {
                        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
                        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
                    };
                    [
                        entry(json!({"resourceType": "Patient", "id": id,
                            "identifier": [{"system": "urn:mrn", "value": id}]})),
                        entry(json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
                            "subject": {"reference": format!("Patient/{id}")}})),
                        entry(denial(&id)),
                    ]
                })
                .collect();
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
            assert_eq!(site.send(&ehr, "POST", "", Some(&bundle)).0, 200);
        }
        let insurer = site.token("insurer", "Organization/acme", None, "system/*.cruds");
        let clinic = site.token("system", "Organization/clinic", None, "system/*.cruds");
        let doctor =
            site.token("clinician", "Organization/hospital", Some("Practitioner/denied"), "user/*.cruds");
        let shapes = [
            Shape {
                name: "insurer reads a Patient",
                token: &insurer,
                method: "GET",
                path: |number, hidden| format!("Patient/{}", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "insurer searches by identifier",
                token: &insurer,
                method: "GET",
                path: |number, hidden| format!("Patient?identifier=urn:mrn%7C{}", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "insurer searches by patient",
                token: &insurer,
                method: "GET",
                path: |number, hidden| format!("Observation?patient=Patient/{}", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "insurer reads a history",
                token: &insurer,
                method: "GET",
                path: |number, hidden| format!("Observation/{}/_history", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "denied doctor reads",
                token: &doctor,
                method: "GET",
                path: |number, hidden| format!("Observation/{}", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "clinic deletes",
                token: &clinic,
                method: "DELETE",
                path: |number, hidden| format!("Observation/{}", id(number, hidden)),
                body: nothing,
            },
            Shape {
                name: "clinic registers a number",
                token: &clinic,
                method: "POST",
                path: |_, _| "Patient".to_owned(),
                body: registered,
            },
        ];
        println!("grid {grid} ms, {pairs} pairs");
        for Shape { name, token, method, path, body } in shapes {
            let mut line = format!("  {name}:");
            for run in 0..runs {
                let mut times = [Vec::new(), Vec::new()];
                let mut statuses = [0, 0];
                for number in run * pairs..(run + 1) * pairs {
                    // Which of the two comes first alternates.
                    for turn in 0..2 {
                        let hidden = (number + turn) % 2 == 0;
                        let sent =
                            site.send(token, method, &path(number, hidden), body(number, hidden).as_ref());
                        statuses[usize::from(hidden)] = sent.0;
                        times[usize::from(hidden)].push(sent.1);
                    }
                }
                assert_eq!(statuses[0], statuses[1], "{name}");
                let [absent, hidden] = times;
                let ((mean, variance), (of_hidden, of_hidden_variance)) =
                    (mean_and_variance(&absent), mean_and_variance(&hidden));
                let error = ((variance + of_hidden_variance) / pairs as f64).sqrt();
                let z = (of_hidden - mean) / error;
                let ranks = rank_z(&hidden, &absent);
                line.push_str(&format!(
                    " {:.0}/{:.0} z {z:.1} {ranks:.1};",
                    median(&hidden),
                    median(&absent)
                ));
            }
            println!("{line}");
        }
    }
}

/// A Consent that hides a file from the doctor.
fn denial(id: &str) -> Value {
    let code = |system: &str, code: &str| json!([{"coding": [{"system": system, "code": code}]}]);
    json!({"resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": code("http://loinc.org", "59284-0"),
        "patient": {"reference": format!("Patient/{id}")},
        "policy": [{"uri": "https://example.org/policy"}],
        "provision": {"type": "deny", "actor": [{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
            "reference": {"reference": "Practitioner/denied"}}]}})
}
